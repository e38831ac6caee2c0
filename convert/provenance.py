"""What an artifact is made with, and what it takes and gives: what every manifest says."""

from __future__ import annotations

import importlib.metadata
import platform
from pathlib import Path

from convert.network import Network
from convert.shapes import infer_shapes
from edge import __version__
from edge.bundle.manifest import Quantisation
from edge.errors import ModelError
from edge.interpreter import TfliteModel

_PACKAGES = (
    "tensorflow", "tensorflow-cpu", "onnx", "onnxruntime", "torch", "ai-edge-litert", "tflite-runtime", "numpy",
    "opencv-python-headless", "opencv-python",
)  # fmt: skip


def tool_versions(*more: str) -> dict[str, str]:
    """Versions of Ostiary, Python and the packages that convert uses, as far as they are installed."""
    found = {"ostiary": __version__, "python": platform.python_version()}
    for name in (*_PACKAGES, *more):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def quantisation_of(artifact: Path, network: Network) -> tuple[Quantisation, Quantisation, int]:
    """(of the input, of the output, length of the embedding) of an embedder's artifact."""
    if artifact.suffix == ".tflite":
        model = TfliteModel(artifact)
        return model.inputs[0].quantisation, model.outputs[0].quantisation, model.outputs[0].shape[-1]
    shape = infer_shapes(network).get(network.output_name)
    if shape is None or len(shape) != 2 or shape[1] is None:
        raise ModelError(f"output {network.output_name!r} of shape {shape}", expected="(N, length of the embedding)")
    return Quantisation("float32"), Quantisation("float32"), shape[1]
