"""Networks made smaller: hidden units that count least are taken out, or weights and activations become bytes."""

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from windcast.errors import ConfigError
from windcast.models.deep.inputs import Inputs
from windcast.models.deep.network import PatchTransformer, Perceptron, Quantiles, Shape, build

WHOLE = 8  # hidden units are kept in multiples of it
CALIBRATION_BATCH = 256
PRODUCTS = ("MatMul", "Gemm")


def restored(weights: bytes, shape: Shape, config: Any) -> list[Quantiles]:
    """The networks that `export.weights` wrote, in evaluation mode."""
    from safetensors.torch import load

    stored, networks = load(weights), []
    for number in range(config.seeds):
        mine = {key.partition(".")[2]: value for key, value in stored.items() if key.startswith(f"{number}.")}
        network = _blank(shape, config)
        network.load_state_dict(mine)
        networks.append(network.eval())
    return networks


def pruned(networks: list[Quantiles], config: Any, share: float) -> tuple[list[Quantiles], Any]:
    """The networks without that share of the hidden units between two layers, and the configuration of what is left.

    Units go by the product of the norms of what comes in and what goes out. Raises ConfigError where there are none to
    spare.
    """
    whole, config = config, _narrower(config, share)
    if config == whole:
        raise ConfigError(f"no hidden units to spare: at least {WHOLE} are kept in a row, and multiples of it.")
    found = []
    for network in networks:
        smaller = _blank(network.shape, config)
        state = {name: value.clone() for name, value in network.state_dict().items()}
        for (first, second), count in zip(_pairs(network), _counts(config), strict=True):
            into, out = state[f"{first}.weight"], state[f"{second}.weight"]
            units = torch.sort((into.norm(dim=1) * out.norm(dim=0)).topk(count).indices).values
            state[f"{first}.weight"], state[f"{first}.bias"] = into[units], state[f"{first}.bias"][units]
            state[f"{second}.weight"] = out[:, units]
        smaller.load_state_dict(state)
        found.append(smaller.eval())
    return found, config


def _blank(shape: Shape, config: Any) -> Quantiles:
    """A network to be filled; the random numbers of others stay as they are."""
    with torch.random.fork_rng(devices=()):
        return build(shape, config, np.ones(len(shape.leads), np.float32))


def _narrower(config: Any, share: float) -> Any:
    def left(units: int) -> int:
        return max(WHOLE, round(units * (1 - share) / WHOLE) * WHOLE) if units > WHOLE else units

    if config.network == "patchtst":
        return replace(config, feedforward=left(config.feedforward))
    return replace(config, hidden=tuple(map(left, config.hidden)))


def _counts(config: Any) -> list[int]:
    return [config.feedforward] * config.depth if config.network == "patchtst" else list(config.hidden)


def _pairs(network: Quantiles) -> Iterator[tuple[str, str]]:
    """Names of the linear layers before and after each row of hidden units."""
    trunk = network.trunk
    if isinstance(trunk, PatchTransformer):
        for number in range(len(trunk.layers)):
            yield f"trunk.layers.{number}.widen", f"trunk.layers.{number}.narrow"
    elif isinstance(trunk, Perceptron):
        linear = [f"trunk.layers.{k}" for k, layer in enumerate(trunk.layers) if isinstance(layer, nn.Linear)]
        yield from pairwise([*linear, "trunk.out"])


def quantised(graph: bytes, like: Inputs) -> bytes:
    """The graph with the weights of its trunk, and what goes into them, as bytes; what comes out stays as it is.

    Weights take seven bits, so that sums cannot overflow on processors without VNNI: the same numbers everywhere.
    like: windows from which the ranges of activations are found, once and for all: found anew for every batch, they
    would let a forecast depend on those beside it.
    """
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Reader(CalibrationDataReader):  # type: ignore[misc, unused-ignore]
        def __init__(self) -> None:
            self.starts = iter(range(0, len(like["base"]), CALIBRATION_BATCH))

        def get_next(self) -> Inputs | None:
            start = next(self.starts, None)
            return None if start is None else {k: v[start : start + CALIBRATION_BATCH] for k, v in like.items()}

    model = onnx.load_from_string(graph)
    named = {initial.name for initial in model.graph.initializer}
    products = [node for node in model.graph.node if node.op_type in PRODUCTS and named & set(node.input)]
    with tempfile.TemporaryDirectory() as folder, _quiet():
        out = Path(folder) / "int8.onnx"
        quantize_static(
            model,
            out,
            Reader(),
            quant_format=QuantFormat.QDQ,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            per_channel=True,
            reduce_range=True,
            nodes_to_quantize=[node.name for node in products if "/trunk/" in node.name],
            extra_options={"OpTypesToExcludeOutputQuantization": list(PRODUCTS)},
        )
        return out.read_bytes()


@contextmanager
def _quiet() -> Iterator[None]:
    """ONNX Runtime advises a step that changes nothing here, in the root logger and twice."""
    logger = logging.getLogger()
    logger.addFilter(_is_no_advice)
    try:
        yield
    finally:
        logger.removeFilter(_is_no_advice)


def _is_no_advice(record: logging.LogRecord) -> bool:
    return "pre-processing before quantization" not in record.getMessage()
