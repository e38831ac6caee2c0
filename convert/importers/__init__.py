"""One module or package for each source format; every one gives the same: a network, and the source itself to run beside it."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path

from convert.importers.base import Imported, Request
from convert.importers.formats import companions, format_of

__all__ = ["IMPORTERS", "Imported", "Request", "companions", "format_of", "open_file", "open_source"]

IMPORTERS = {
    "onnx": "convert.importers.onnx:import_onnx",
    "frozen-graph": "convert.importers.tensorflow.graph_def:import_frozen_graph",
    "tf1-checkpoint": "convert.importers.tensorflow.checkpoint:import_checkpoint",
    "saved-model": "convert.importers.tensorflow.saved_model:import_saved_model",
    "keras": "convert.importers.tensorflow.keras:import_keras",
    "pytorch": "convert.importers.pytorch:import_pytorch",
    "mxnet": "convert.importers.mxnet:import_mxnet",
    "caffe": "convert.importers.caffe:import_caffe",
    "tflite": "convert.importers.tflite:import_tflite",
    "numpy": "convert.importers.numpy_weights:import_numpy_weights",
}
"""Format -> module:function. Loaded when needed: each brings a framework or a parser that the others do not want."""


def open_source(request: Request, source_format: str = "") -> Imported:
    """Read a source; its format is found out when not given. UsageError or ModelError where that is not possible."""
    module, _, name = IMPORTERS[source_format or format_of(request.files)].partition(":")
    function: Callable[[Request], Imported] = getattr(importlib.import_module(module), name)
    return function(request)


def open_file(path: Path) -> Imported:
    """Read one file, with what belongs to it by name."""
    return open_source(Request(companions(path)))
