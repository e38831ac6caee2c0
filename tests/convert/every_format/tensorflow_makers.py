"""The network as TensorFlow and Keras save it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from convert.tensorflow import import_tensorflow
from tests.convert.every_format.design import CHANNELS, EPSILON, FLAT, NORMS, SHAPE, Weights

Prelu = Callable[[Any, Any, Any], Any]
"""TensorFlow, tensor, slopes -> tensor."""
NHWC = (None, *SHAPE[2:], SHAPE[1])
_DECAY = 0.99


def in_tensorflow_layout(held: Weights) -> Weights:
    """HWIO, depthwise HWCM; the dense layer reads what was flattened as HWC."""
    made = {}
    for name, value in held.items():
        if name == "depth.weight":
            made[name] = value.transpose(2, 3, 0, 1)
        elif name == "dense.weight":
            made[name] = value.reshape(-1, *FLAT).transpose(2, 3, 1, 0).reshape(-1, len(value))
        else:
            made[name] = value.transpose(2, 3, 1, 0) if value.ndim == 4 else value
    return {name: np.ascontiguousarray(value) for name, value in made.items()}


@dataclass(frozen=True, slots=True)
class Body:
    """Writes the network's operators; how weights, norms and slopes are written differs from file to file."""

    tf: Any
    value: Callable[[str], Any]
    """Name of a weight -> constant or variable."""
    norm: Callable[[Any, str], Any]
    prelu: Prelu

    def __call__(self, image: Any) -> Any:
        """NHWC pictures -> embeddings."""
        nn, value = self.tf.nn, self.value
        stem = self._activated(nn.conv2d(image, value("stem.weight"), 2, "VALID"), "stem")
        depth = self._activated(nn.depthwise_conv2d(stem, value("depth.weight"), [1, 1, 1, 1], "SAME"), "depth")
        point = nn.bias_add(nn.conv2d(depth, value("point.weight"), 1, "SAME"), value("point.bias"))
        pool = nn.max_pool2d(point + stem, 3, 2, "VALID")
        last = nn.bias_add(nn.conv2d(pool, value("last.weight"), 1, "VALID"), value("last.bias"))
        flat = self.tf.reshape(last, [-1, int(np.prod(FLAT))])
        return self.tf.add(self.tf.matmul(flat, value("dense.weight")), value("dense.bias"))

    def _activated(self, tensor: Any, name: str) -> Any:
        return self.prelu(self.tf, self.norm(tensor, f"{name}_norm"), self.value(f"{name}_prelu.weight"))


def by_two_relus(tf: Any, x: Any, slopes: Any) -> Any:
    """As Keras writes it; TFLite's converter knows it where slopes have one axis less than x."""
    return tf.nn.relu(x) + -tf.reshape(slopes, [1, 1, -1]) * tf.nn.relu(-x)


def by_absolute_value(tf: Any, x: Any, slopes: Any) -> Any:
    """As programs of TensorFlow 1 write it."""
    return tf.nn.relu(x) + slopes * (x - tf.abs(x)) * 0.5


def frozen_graph(folder: Path, held: Weights) -> tuple[Path]:
    """Constants alone; batch norms written out as tf.nn.batch_normalization did."""
    tf, turned = import_tensorflow(), in_tensorflow_layout(held)

    def norm(tensor: Any, name: str) -> Any:
        gamma, beta, mean, variance = (turned[f"{name}.{part}"] for part in NORMS)
        return tf.nn.batch_normalization(tensor, mean, variance, beta, gamma, EPSILON)

    with tf.Graph().as_default() as graph:
        image = tf.compat.v1.placeholder(tf.float32, NHWC, name="image")
        body = Body(tf, lambda name: tf.constant(turned[name]), norm, by_absolute_value)
        tf.identity(body(image), name="embedding")
    path = folder / "small.pb"
    path.write_bytes(graph.as_graph_def().SerializeToString())
    return (path,)


def checkpoint(folder: Path, held: Weights) -> tuple[Path]:
    """`phase_train` chooses between a batch's statistics, which update the moving ones, and those."""
    tf, turned = import_tensorflow(), in_tensorflow_layout(held)
    v1 = tf.compat.v1
    v1.disable_control_flow_v2()
    try:
        with v1.Graph().as_default(), v1.Session() as session:
            phase = v1.placeholder(tf.bool, name="phase_train")
            image = v1.placeholder(tf.float32, NHWC, name="image")

            def variable(name: str) -> Any:
                return v1.get_variable(name.replace(".", "/"), initializer=turned[name], use_resource=False)

            body = Body(v1, variable, _chosen_by(v1, phase, variable), by_absolute_value)
            v1.identity(body(image), name="embedding")
            session.run(v1.global_variables_initializer())
            prefix = v1.train.Saver().save(session, str(folder / "small"), write_state=False)
    finally:
        v1.enable_control_flow_v2()
    return (Path(f"{prefix}.meta"),)


def _chosen_by(v1: Any, phase: Any, variable: Callable[[str], Any]) -> Callable[[Any, str], Any]:
    def norm(tensor: Any, name: str) -> Any:
        gamma, beta, mean, variance = (variable(f"{name}.{part}") for part in NORMS)

        def training() -> Any:
            made, *batch = v1.nn.fused_batch_norm(tensor, gamma, beta, epsilon=EPSILON)
            updates = [
                v1.assign_sub(kept, (kept - fresh) * (1 - _DECAY))
                for kept, fresh in zip((mean, variance), batch, strict=True)
            ]
            with v1.control_dependencies(updates):
                return v1.identity(made)

        def use() -> Any:
            return v1.nn.fused_batch_norm(tensor, gamma, beta, mean, variance, epsilon=EPSILON, is_training=False)[0]

        return v1.cond(phase, training, use)

    return norm


def _module(tf: Any, held: Weights, prelu: Prelu = by_two_relus) -> Any:
    """A tf.Module with variables, and its function with a signature."""
    turned, module = in_tensorflow_layout(held), tf.Module()
    module.weights = {name.replace(".", "/"): tf.Variable(value) for name, value in turned.items()}

    def value(name: str) -> Any:
        return module.weights[name.replace(".", "/")]

    def norm(tensor: Any, name: str) -> Any:
        gamma, beta, mean, variance = (value(f"{name}.{part}") for part in NORMS)
        return tf.compat.v1.nn.fused_batch_norm(
            tensor, gamma, beta, mean, variance, epsilon=EPSILON, is_training=False
        )[0]

    body = Body(tf, value, norm, prelu)
    module.serve = tf.function(
        lambda image: {"embedding": body(image)}, input_signature=[tf.TensorSpec(NHWC, name="image")]
    )
    return module


def saved_model(folder: Path, held: Weights) -> tuple[Path]:
    tf = import_tensorflow()
    module = _module(tf, held)
    path = folder / "small_saved_model"
    tf.saved_model.save(module, str(path), signatures={"serving_default": module.serve})
    return (path,)


def tflite_file(folder: Path, held: Weights, prelu: Prelu = by_two_relus) -> tuple[Path]:
    tf = import_tensorflow()
    module = _module(tf, held, prelu)
    fixed = module.serve.get_concrete_function(tf.TensorSpec((1, *NHWC[1:]), name="image"))
    path = folder / "small.tflite"
    path.write_bytes(tf.lite.TFLiteConverter.from_concrete_functions([fixed], module).convert())
    return (path,)


def keras_file(folder: Path, held: Weights, suffix: str) -> tuple[Path]:
    """`suffix` .h5 or .keras."""
    model, turned = _keras_model(import_tensorflow().keras), in_tensorflow_layout(held)
    for layer in model.layers:
        kinds = NORMS if layer.name.endswith("_norm") else ("weight", "bias")
        found = [turned[name] for kind in kinds if (name := f"{layer.name}.{kind}") in turned]
        layer.set_weights([value.reshape(1, 1, -1) for value in found] if "prelu" in layer.name else found)
    path = folder / f"small{suffix}"
    model.save(path)
    return (path,)


def _keras_model(keras: Any) -> Any:
    layers = keras.layers

    def activated(tensor: Any, name: str) -> Any:
        normal = layers.BatchNormalization(epsilon=EPSILON, name=f"{name}_norm")(tensor)
        return layers.PReLU(shared_axes=[1, 2], name=f"{name}_prelu")(normal)

    image = keras.Input(NHWC[1:], name="image")
    stem = activated(layers.Conv2D(CHANNELS, 3, 2, use_bias=False, name="stem")(image), "stem")
    depth = activated(layers.DepthwiseConv2D(3, padding="same", use_bias=False, name="depth")(stem), "depth")
    total = layers.Add(name="sum")([layers.Conv2D(CHANNELS, 1, name="point")(depth), stem])
    pool = layers.MaxPooling2D(3, 2, name="pool")(total)
    flat = layers.Flatten(name="flat")(layers.Conv2D(FLAT[0], 3, name="last")(pool))
    return keras.Model(image, layers.Dense(16, name="dense")(flat))
