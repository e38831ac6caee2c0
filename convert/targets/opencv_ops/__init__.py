"""ONNX operators as those TensorFlow operators that OpenCV's reader of frozen graphs knows, and reads rightly."""

from __future__ import annotations

from collections.abc import Mapping

from convert.targets.opencv_ops.arithmetic import ARITHMETIC
from convert.targets.opencv_ops.emission import OpenCvEmission
from convert.targets.opencv_ops.places import PLACES
from convert.targets.opencv_ops.shapes import SHAPES
from convert.targets.tensorflow_ops import EMITTERS, Emitter

__all__ = ["OPENCV_EMITTERS", "UNKNOWN_TO_OPENCV", "OpenCvEmission"]

UNKNOWN_TO_OPENCV = frozenset({"ArgMax", "Not", "And", "Or", "Equal", "Greater", "Less", "Where"})
"""Operators on whole numbers and truth values, which OpenCV's reader does not have."""

OPENCV_EMITTERS: Mapping[str, Emitter] = {
    op: emit for op, emit in {**EMITTERS, **ARITHMETIC, **PLACES, **SHAPES}.items() if op not in UNKNOWN_TO_OPENCV
}
