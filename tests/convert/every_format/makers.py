"""The one small network in every source format: a row for each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest

from convert.network import Shape
from tests.convert.every_format import plain_makers, tensorflow_makers
from tests.convert.every_format.design import SHAPE, Weights

Make = Callable[[Path, Weights], tuple[Path, ...]]

_TRUNK = ("Conv", "PRelu", "Conv", "PRelu", "Conv", "Add", "MaxPool", "Conv")
FLATTENED = (*_TRUNK, "Flatten", "Gemm")
RESHAPED = (*_TRUNK, "Reshape", "Gemm")
MULTIPLIED = (*_TRUNK, "Reshape", "MatMul", "Add")
"""The dense layers of formats with channels last read pixels with their channels: their rows are turned, and not the map."""


@dataclass(frozen=True, slots=True)
class Source:
    """One file, or files that belong together."""

    format: str
    """As Imported.format has it."""
    make: Make
    reference: str
    """How the label of its reference begins."""
    operators: tuple[str, ...] = FLATTENED
    """Once it is simplified."""
    shapes: Mapping[str, Shape] = field(default_factory=dict)
    """As Request has them, where the file does not say."""


def _torch(name: str) -> Make:
    def make(folder: Path, held: Weights) -> tuple[Path, ...]:
        pytest.importorskip("torch", reason="PyTorch is not installed (pip install 'ostiary[torch]')")
        from tests.convert.every_format import torch_makers

        made: tuple[Path, ...] = getattr(torch_makers, name)(folder, held)
        return made

    return make


def _onnx(opset: int) -> Source:
    return Source("onnx", partial(plain_makers.onnx_file, opset=opset), "onnxruntime")


def _keras(suffix: str) -> Source:
    return Source("keras", partial(tensorflow_makers.keras_file, suffix=suffix), "Keras", MULTIPLIED)


def _tflite(prelu: tensorflow_makers.Prelu) -> Source:
    return Source("tflite", partial(tensorflow_makers.tflite_file, prelu=prelu), "ai-edge-litert", RESHAPED)


SOURCES = {
    "onnx opset 7": _onnx(7),
    "onnx opset 11": _onnx(11),
    "onnx opset 13": _onnx(13),
    "onnx opset 17": _onnx(17),
    "frozen graph": Source("frozen-graph", tensorflow_makers.frozen_graph, "TensorFlow", MULTIPLIED),
    "tf1 checkpoint": Source("tf1-checkpoint", tensorflow_makers.checkpoint, "TensorFlow", MULTIPLIED),
    "saved model": Source("saved-model", tensorflow_makers.saved_model, "TensorFlow", MULTIPLIED),
    "keras h5": _keras(".h5"),
    "keras": _keras(".keras"),
    "torchscript": Source("pytorch", _torch("script"), "torch"),
    "torch.export": Source("pytorch", _torch("exported"), "torch", RESHAPED),
    "state dict": Source("pytorch", _torch("state_dict"), "onnxruntime"),
    "mxnet": Source("mxnet", plain_makers.mxnet_files, "onnxruntime", shapes={"data": SHAPE}),
    "caffe": Source("caffe", plain_makers.caffe_model, "cv2.dnn"),
    "tflite": _tflite(tensorflow_makers.by_two_relus),
    "tflite, PReLU written out": _tflite(tensorflow_makers.by_absolute_value),
    "numpy": Source("numpy", plain_makers.numpy_file, "onnxruntime"),
}
