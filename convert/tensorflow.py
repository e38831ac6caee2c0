"""TensorFlow, loaded where something needs it, and what its names allow."""

from __future__ import annotations

import os
import re
from typing import Any

from edge.errors import MissingDependencyError


def import_tensorflow(purpose: str = "writing a TensorFlow or TFLite file") -> Any:
    """The TensorFlow module, without its start-up messages and on the CPU. MissingDependencyError where it is not installed."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
    try:
        import tensorflow as tf
    except ImportError as error:
        raise MissingDependencyError("tensorflow", extra="convert", purpose=purpose) from error
    tf.get_logger().setLevel("ERROR")
    return tf


def plain_name(name: str) -> str:
    """The name that a tensor of the network has in a TensorFlow graph: what is not allowed there becomes `_`."""
    plain = re.sub(r"[^A-Za-z0-9_./-]", "_", name)
    return plain if re.match(r"[A-Za-z0-9.]", plain) else f"t{plain}"
