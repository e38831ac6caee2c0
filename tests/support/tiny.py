"""The tiny networks in tests/support/models, and one like them for OpenCV."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.bundle.manifest import Embedder, Normalisation, Quantisation
from edge.datatypes import Floats, Image
from edge.quant import dequantise, quantise

MODELS = Path(__file__).parent / "models"
WEIGHTS = np.array([[1.0, -0.5, 0.25, 0.5], [-0.25, 1.0, -0.5, 0.25], [0.5, 0.25, 1.0, -0.75]], np.float32)
"""Those of models/make.py: the mean of each channel, times this, is the embedding."""
UNIT_PIXELS = Normalisation("fixed", 127.5, 127.5)
QUANTISATIONS = {
    "float32": (Quantisation("float32"), Quantisation("float32")),
    "uint8": (Quantisation("uint8", 0.007843137718737125, 127), Quantisation("uint8", 0.013725490309298038, 127)),
    "int8": (Quantisation("int8", 0.007843137718737125, -1), Quantisation("int8", 0.013725490309298038, -1)),
}
"""Of the files, input and output, as TensorFlow chose them."""


def spec_of(name: str, dtype: str = "float32", **changes: Any) -> Embedder:
    """What a manifest would say of a file in MODELS."""
    source, result = QUANTISATIONS[dtype]
    fields: dict[str, Any] = {
        "artifact": name, "runtime": "tflite", "embedder_id": "tiny-1", "alignment_template": "arcface-112x112",
        "embedding_length": 4, "colour_order": "RGB", "normalisation": UNIT_PIXELS, "input": source, "output": result,
    }  # fmt: skip
    return Embedder(**{**fields, **changes})


def expected_embedding(picture: Image, dtype: str = "float32") -> Floats:
    """What a network must give for a BGR picture that it takes as RGB; before it is brought to length 1."""
    source, result = QUANTISATIONS[dtype]
    real = dequantise(quantise((picture[..., ::-1].astype(np.float64) - 127.5) / 127.5, source), source)
    return dequantise(quantise(real.reshape(-1, 3).mean(0) @ WEIGHTS, result), result)


def write_onnx(path: Path, *, side: int = 112, length: int = 4) -> Path:
    """The same as ONNX, 1x3xHxW -> 1xN; further values of the embedding repeat the first ones."""
    onnx = pytest.importorskip("onnx", reason="onnx is not installed (dev dependency)")
    helper, floats = onnx.helper, onnx.TensorProto.FLOAT
    weights = np.tile(WEIGHTS, (1, -(-length // 4)))[:, :length]
    nodes = [
        helper.make_node("GlobalAveragePool", ["picture"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["means"]),
        helper.make_node("Gemm", ["means", "weights"], ["embedding"]),
    ]
    graph = helper.make_graph(
        nodes, "tiny",
        [helper.make_tensor_value_info("picture", floats, (1, 3, side, side))],
        [helper.make_tensor_value_info("embedding", floats, (1, length))],
        [helper.make_tensor("weights", floats, weights.shape, weights.ravel())],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path
