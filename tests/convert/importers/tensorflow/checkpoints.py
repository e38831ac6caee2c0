"""Checkpoints of TensorFlow 1 that the tests write."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.convert.importers.tensorflow.graphs import numbers


def save(tf: Any, folder: Path, build: Any, name: str = "tiny", **saver: Any) -> Path:
    """A checkpoint of what `build` makes of TensorFlow and a placeholder x."""
    v1 = tf.compat.v1
    with v1.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, (None, 6, 5, 3), name="x")
        build(tf, x)
        session.run(v1.global_variables_initializer())
        return Path(f"{v1.train.Saver(**saver).save(session, str(folder / name), write_state=False)}.meta")


def net(tf: Any, x: Any, *, resource: bool = True) -> Any:
    """A convolution with bias and ReLU, called y."""
    v1 = tf.compat.v1
    w = v1.get_variable("w", initializer=numbers(3, 3, 3, 4), use_resource=resource)
    b = v1.get_variable("b", initializer=numbers(4), use_resource=resource)
    return tf.nn.relu(tf.nn.conv2d(x, w, 1, "SAME") + b, name="y")
