"""What distinguishes one precision from another: a row of settings of TensorFlow's converter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Precision:
    """Settings of `tf.lite.TFLiteConverter`; dtypes by their names."""

    name: str
    says: str
    """Of the artifact, for its description."""
    input: str = "float32"
    output: str = "float32"
    optimised: bool = False
    weights: str = ""
    """A dtype of the weights that the converter is told; "" leaves it to the converter."""
    integers_only: bool = False
    """Activations are integers too: examples are needed, and an operator without integer kernel is refused."""


FLOAT32 = Precision("tflite-float32", "float32")
FLOAT16 = Precision("tflite-float16", "float16 weights, float32 arithmetic", optimised=True, weights="float16")
DYNAMIC = Precision("tflite-dynamic", "int8 weights, activations quantised while it runs", optimised=True)
INT8 = Precision(
    "tflite-int8",
    "int8, one scale for each output channel of a convolution's weights",
    input="int8",
    output="int8",
    optimised=True,
    integers_only=True,
)
UINT8 = Precision(
    "tflite-uint8",
    "uint8 in and out, int8 inside, one scale for each output channel of a convolution's weights",
    input="uint8",
    output="uint8",
    optimised=True,
    integers_only=True,
)


def set_up(converter: Any, precision: Precision, tf: Any) -> None:
    """Tell `converter` of one precision. An integer one needs its `representative_dataset` besides."""
    # It names the host's TensorFlow and paths, and would differ from machine to machine.
    converter.exclude_conversion_metadata = True
    if not precision.optimised:
        return
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    # tflite-runtime 2.14 refuses the newer versions of FULLY_CONNECTED that have a scale for each channel.
    converter._experimental_disable_per_channel_quantization_for_dense_layers = True  # noqa: SLF001  no public name
    if precision.weights:
        converter.target_spec.supported_types = [getattr(tf, precision.weights)]
    if precision.integers_only:
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = getattr(tf, precision.input)
        converter.inference_output_type = getattr(tf, precision.output)
