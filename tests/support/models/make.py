"""Makes the tiny TFLite networks beside this file. Needs TensorFlow (pip install 'ostiary[convert]'), once:

    python tests/support/models/make.py

All take 1x112x112x3 and give 1x4: the mean of each channel times WEIGHTS, so that a test can say what must come out.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

import numpy as np
import tensorflow as tf

FOLDER = Path(__file__).parent
SHAPE = (1, 112, 112, 3)
WEIGHTS = [[1.0, -0.5, 0.25, 0.5], [-0.25, 1.0, -0.5, 0.25], [0.5, 0.25, 1.0, -0.75]]
"""Row: channel of the input; column: value of the embedding."""

Network = Callable[[Any], Any]


def embedder(picture: Any) -> Any:
    """Means of the channels, mixed. A pooling layer, which integers are good at."""
    means = tf.reshape(tf.nn.avg_pool2d(picture, 112, 112, "VALID"), (1, 3))
    return tf.matmul(means, tf.constant(WEIGHTS))


def with_two_outputs(picture: Any) -> tuple[Any, Any]:
    """The embedding, and another one of the same shape: Identity and Identity_1."""
    made = embedder(picture)
    return made, -made


def with_unknown_op(picture: Any) -> Any:
    """No TFLite runtime has acosh: the converter writes it as a custom operator."""
    return embedder(tf.math.acosh(picture + 3.0))


def examples() -> Iterator[list[Any]]:
    """Plain pictures that fill the range -1 to 1."""
    for level in np.linspace(-1, 1, 9, dtype=np.float32):
        for other in (-1.0, 0.0, 1.0):
            picture = np.full(SHAPE, level, np.float32)
            picture[..., 1] = other
            yield [picture]


def converted(network: Network, dtype: Any = tf.float32, *, custom: bool = False) -> bytes:
    """The network as a TFLite file with tensors of `dtype` at both ends."""
    signature = [tf.TensorSpec(SHAPE, tf.float32, name="picture")]
    function = tf.function(network, input_signature=signature).get_concrete_function()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function])
    converter.allow_custom_ops = custom
    # Debugging information is half of such a small file.
    converter.exclude_conversion_metadata = True
    if dtype != tf.float32:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = examples
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = dtype
    return bytes(converter.convert())


def main() -> None:
    """Write them all."""
    files = {
        "float32.tflite": converted(embedder),
        "uint8.tflite": converted(embedder, tf.uint8),
        "int8.tflite": converted(embedder, tf.int8),
        "two-outputs.tflite": converted(with_two_outputs),
        "unknown-op.tflite": converted(with_unknown_op, custom=True),
    }
    for name, data in files.items():
        (FOLDER / name).write_bytes(data)


if __name__ == "__main__":
    main()
