"""Network -> TFLite, float32 or with integers throughout."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import numpy as np

from convert.network import Floats, Network
from convert.targets.tensorflow_ops import Emission
from edge.errors import MissingDependencyError, ModelError
from edge.interpreter import caught_stderr


def to_float(network: Network) -> bytes:
    """A float32 TFLite file. Its input is NHWC and holds (pixel - network.mean) / network.std."""
    return _converted(_converter(network))


def to_uint8(network: Network, examples: Floats) -> bytes:
    """A TFLite file of integers: uint8 in and out, int8 inside with one scale for each output channel of the weights.

    `examples` is float32 NxHxWxC, what the float network would be fed; it gives the ranges of all activations
    (Jacob et al. 2018, Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference).
    """
    height, width, channels = network.input_shape[2], network.input_shape[3], network.input_shape[1]
    if examples.ndim != 4 or examples.shape[1:] != (height, width, channels) or not len(examples):
        raise ModelError(f"examples of shape {examples.shape}", expected=f"(N, {height}, {width}, {channels})")

    def feed() -> Iterator[list[Floats]]:
        for example in examples:
            yield [example[np.newaxis].astype(np.float32)]

    tf = import_tensorflow()
    converter = _converter(network)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = feed
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.uint8
    # tflite-runtime 2.14 refuses the newer version of FULLY_CONNECTED that has a scale for each channel.
    converter._experimental_disable_per_channel_quantization_for_dense_layers = True  # noqa: SLF001  no public name
    return _converted(converter)


def import_tensorflow() -> Any:
    """The TensorFlow module, without its start-up messages. MissingDependencyError where it is not installed."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
    try:
        import tensorflow as tf
    except ImportError as error:
        raise MissingDependencyError("tensorflow", extra="convert", purpose="writing a TFLite file") from error
    tf.get_logger().setLevel("ERROR")
    return tf


def _converter(network: Network) -> Any:
    tf = import_tensorflow()
    shape = (1, network.input_shape[2], network.input_shape[3], network.input_shape[1])
    module = tf.Module()
    emission = Emission(network, tf)
    spec = tf.TensorSpec(shape, tf.float32, name=_plain_name(network.input_name))
    module.run = tf.function(emission.run, input_signature=[spec], autograph=False)
    return tf.lite.TFLiteConverter.from_concrete_functions([module.run.get_concrete_function()], module)


def _plain_name(name: str) -> str:
    return "".join(letter if letter.isalnum() else "_" for letter in name)


def _converted(converter: Any) -> bytes:
    try:
        # The converter's C++ code writes its progress to descriptor 2, whatever log level is set.
        with caught_stderr([]):
            return bytes(converter.convert())
    except (RuntimeError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ModelError(f"TensorFlow cannot write it as TFLite ({reason})") from error
