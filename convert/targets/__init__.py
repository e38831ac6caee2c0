"""What a network can be written as."""

from __future__ import annotations

import importlib
from pathlib import Path

from convert.network import Network
from convert.targets.base import Options, Target

SUFFIXES = {
    "onnx": ".onnx",
    "opencv-pb": ".pb",
    "saved-model": ".saved_model",
    "tflite-float32": ".float32.tflite",
    "tflite-float16": ".float16.tflite",
    "tflite-dynamic": ".dynamic.tflite",
    "tflite-int8": ".int8.tflite",
    "tflite-uint8": ".uint8.tflite",
    "tflite-uint8-legacy": ".uint8-legacy.tflite",
}
"""Target -> how the names of its artifacts end. A `saved-model` is a folder."""

_PLACES = {
    "onnx": "convert.targets.onnx:write_onnx",
    "opencv-pb": "convert.targets.frozen_graph:write_frozen_graph",
    "saved-model": "convert.targets.saved_model:write_saved_model",
}


def target_named(name: str) -> Target:
    """The function that writes this target; loaded when needed, for most bring TensorFlow."""
    if name.startswith("tflite-"):
        from convert.targets.tflite import TARGETS

        return TARGETS[name]
    module, _, function = _PLACES[name].partition(":")
    found: Target = getattr(importlib.import_module(module), function)
    return found


def write_target(name: str, network: Network, path: Path, options: Options) -> list[Path]:
    """Write one artifact; every file that was written."""
    return target_named(name)(network, path, options)
