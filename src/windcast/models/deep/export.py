"""From PyTorch to ONNX: the form in which a network forecasts, from its training on."""

import io
import warnings
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save
from torch import nn

from windcast.errors import TaskError
from windcast.models.deep.inputs import Inputs
from windcast.models.deep.network import Production, Quantiles

OPSET = 18
TOLERANCE = 1e-4  # shares of capacity between PyTorch and ONNX


def export(networks: list[Quantiles], levels: tuple[float, ...], like: Inputs) -> bytes:
    """One ONNX graph for the mean of the networks at `levels`, whose inputs are named as in `like`, of any batch.

    like: a few windows. Traced with two of them: with one, the batch would be taken for a constant.
    """
    production = Production(networks, levels).eval()
    two = {name: np.resize(like[name], (2, *like[name].shape[1:])) for name in production.names}
    return traced(production, two, dynamic_axes={name: {0: "batch"} for name in (*two, "quantiles")})


def traced(module: nn.Module, like: Inputs, **options: Any) -> bytes:
    """A module of inputs in the order and of the shapes of `like` as ONNX, its one output named `quantiles`."""
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the tracing exporter, a second faster than its successor by ten
        torch.onnx.export(
            module,
            tuple(torch.from_numpy(values) for values in like.values()),
            file,
            input_names=list(like),
            output_names=["quantiles"],
            opset_version=OPSET,
            dynamo=False,
            **options,
        )
    return file.getvalue()


def answers(network: Quantiles, levels: tuple[float, ...], inputs: Inputs) -> NDArray[np.float32]:
    """[B, H, Q] shares of capacity from one network, which may still be in training and then goes on unchanged."""
    learning, device = network.training, network.unit.device
    production = Production([network], levels).to(device).eval()
    try:
        with torch.no_grad():
            given = (torch.from_numpy(inputs[name]).to(device) for name in production.names)
            found: NDArray[np.float32] = production(*given).float().cpu().numpy()
    finally:
        network.train(learning)
    return found


def check(networks: list[Quantiles], levels: tuple[float, ...], like: Inputs, found: NDArray[np.float32]) -> None:
    """Raises TaskError unless the exported graph's answers `found` [B, H, Q] to `like` are those of PyTorch."""
    production = Production(networks, levels).eval()
    compare(production, {name: like[name] for name in production.names}, found)


class Eager:
    """Networks forecasting in PyTorch, on one thread, through the `run` of an ONNX Runtime session."""

    def __init__(self, networks: list[Quantiles], levels: tuple[float, ...], *, compiled: bool) -> None:
        """compiled: by torch.compile, which needs a C++ compiler; it works at the first call of each shape."""
        production = Production(networks, levels).eval()
        self.names = production.names
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the compiler, about itself
            self.call = torch.compile(production, dynamic=True) if compiled else production

    def run(self, _names: None, inputs: Inputs) -> list[NDArray[np.float32]]:
        before = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            with torch.inference_mode(), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return [self.call(*(torch.from_numpy(inputs[name]) for name in self.names)).numpy()]
        finally:
            torch.set_num_threads(before)


def compare(module: nn.Module, like: Inputs, found: NDArray[np.float32]) -> None:
    """Raises TaskError unless `found` is what the module answers to inputs `like`, in their order."""
    with torch.no_grad():
        due = module(*(torch.from_numpy(values) for values in like.values())).numpy()
    worst = float(np.abs(due - found).max(initial=0))
    if not worst <= TOLERANCE:
        raise TaskError(
            f"the exported network's forecasts differ from the trained one's by {worst:.2g} of capacity. "
            "Use the versions of torch, onnx and onnxruntime that windcast[deep] names."
        )


def weights(networks: list[Quantiles]) -> bytes:
    """Every network's weights as safetensors, from which fine-tuning can go on; read back into `network.build`."""
    named = {
        f"{number}.{name}": value for number, one in enumerate(networks) for name, value in one.state_dict().items()
    }
    return save(named)
