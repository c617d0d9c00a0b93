"""Networks on disk and in production: an ONNX graph that is run without PyTorch, and weights that are whole."""

import json
from typing import Any

from windcast.errors import ConfigError

GRAPH, WEIGHTS = "network.onnx", "weights.safetensors"


def opened(graph: bytes, *, model: str) -> Any:
    """An ONNX Runtime session. Raises ConfigError without ONNX Runtime, ValueError where the graph cannot be run."""
    try:
        import onnxruntime
    except ImportError:
        raise ConfigError(
            f"model {model} forecasts with ONNX Runtime, which is missing. "
            "Install it with: pip install 'windcast[serve]', or 'windcast[deep]' to train"
        ) from None
    options = onnxruntime.SessionOptions()
    # many issue times are dealt out to threads of our own, and one thread gives the same bits on every machine size
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's own errors share no narrower class
        reason = str(error).splitlines()[0][:200]
        raise ValueError(f"{GRAPH} is no network that can be run: {reason}") from None


def check_weights(content: bytes) -> None:
    """Raises ValueError unless it is safetensors and whole. Forecasts do not need the weights; fine-tuning does."""
    end = 8 + int.from_bytes(content[:8], "little")
    if not 8 < end <= len(content):
        raise ValueError(f"{WEIGHTS} is not complete")
    parts = json.loads(content[8:end])
    if end + max(part["data_offsets"][1] for name, part in parts.items() if name != "__metadata__") != len(content):
        raise ValueError(f"{WEIGHTS} is not complete")
