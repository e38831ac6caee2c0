"""TensorFlow, loaded where something needs it, and what its names allow."""

from __future__ import annotations

import functools
import os
import re
from typing import Any

from edge.errors import MissingDependencyError
from edge.interpreter import caught_stderr


def import_tensorflow(purpose: str = "writing a TensorFlow or TFLite file") -> Any:
    """The TensorFlow module, without its start-up messages and on the CPU. MissingDependencyError where it is not installed."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
    try:
        import tensorflow as tf
    except ImportError as error:
        raise MissingDependencyError("tensorflow", extra="convert", purpose=purpose) from error
    tf.get_logger().setLevel("ERROR")
    _first_session(tf)
    return tf


@functools.cache
def _first_session(tf: Any) -> None:
    """The first session of a process writes notes for TensorFlow's developers to descriptor 2, whatever log level is set."""
    with caught_stderr([]), tf.Graph().as_default(), tf.compat.v1.Session() as session:
        session.run(tf.constant(0))


def plain_name(name: str) -> str:
    """The name that a tensor of the network has in a TensorFlow graph: what is not allowed there becomes `_`."""
    plain = re.sub(r"[^A-Za-z0-9_./-]", "_", name)
    return plain if re.match(r"[A-Za-z0-9.]", plain) else f"t{plain}"
