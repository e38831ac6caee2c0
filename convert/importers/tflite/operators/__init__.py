"""TFLite's operators, written as those of convert.network: one table."""

from convert.importers.tflite.operators.arithmetic import ARITHMETIC
from convert.importers.tflite.operators.axes import AXES
from convert.importers.tflite.operators.call import Emitter
from convert.importers.tflite.operators.layers import LAYERS
from convert.importers.tflite.operators.slices import SLICES

OPERATORS: dict[str, Emitter] = {**LAYERS, **ARITHMETIC, **AXES, **SLICES}
"""Name in BuiltinOperator -> what writes it."""

__all__ = ["OPERATORS"]
