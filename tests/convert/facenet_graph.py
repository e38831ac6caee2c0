"""FaceNet's graph (Inception-ResNet-v1, as davidsandberg/facenet trained 20180402-114759), built anew with seeded weights.

In the style of TensorFlow 1: reference variables, a queue in front, a `phase_train` placeholder that chooses by Switch and Merge between
batch statistics (which update moving averages by AssignSub) and the moving averages, and a dropout that it chooses too.
Names of the ends are those of the official file: `input`, `phase_train`, `label_batch`, `embeddings`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

Tensor = Any
SIZE = 160
EMBEDDING = 512
_DECAY, _EPSILON, _KEEP = 0.995, 0.001, 0.8


@dataclass(frozen=True, slots=True)
class Form:
    """How large it is; `Form()` is the official one, 22.8 M parameters."""

    width: float = 1.0
    """Channels are multiplied by this."""
    blocks: tuple[int, int, int] = (5, 10, 5)
    embedding: int = EMBEDDING


SMALL = Form(width=0.125, blocks=(1, 1, 1), embedding=32)


class FaceNet:
    """Writes the graph that is the default one while it is built."""

    def __init__(self, tf: Any, form: Form, seed: int) -> None:
        self._tf = tf.compat.v1
        self._form = form
        self._random = np.random.default_rng(seed)
        self._phase: Tensor = None

    def build(self) -> Tensor:
        """The whole graph; returns `embeddings`."""
        tf = self._tf
        self._phase = tf.placeholder(tf.bool, name="phase_train")
        queue = tf.FIFOQueue(8, [tf.float32, tf.int64], [(SIZE, SIZE, 3), ()], name="batch_join/fifo_queue")
        images, labels = queue.dequeue_up_to(tf.placeholder(tf.int32, name="batch_size"), name="batch_join")
        images.set_shape((None, SIZE, SIZE, 3))
        tf.identity(labels, name="label_batch")
        net = tf.identity(tf.identity(images, name="image_batch"), name="input")
        with tf.variable_scope("InceptionResnetV1"):
            net = self._body(self._stem(net))
            net = self._bottleneck(net)
        return tf.nn.l2_normalize(net, 1, 1e-10, name="embeddings")

    def _stem(self, net: Tensor) -> Tensor:
        net = self._conv(net, 32, 3, "Conv2d_1a_3x3", stride=2, padding="VALID")
        net = self._conv(net, 32, 3, "Conv2d_2a_3x3", padding="VALID")
        net = self._conv(net, 64, 3, "Conv2d_2b_3x3")
        net = self._pool(net, "MaxPool_3a_3x3")
        net = self._conv(net, 80, 1, "Conv2d_3b_1x1", padding="VALID")
        net = self._conv(net, 192, 3, "Conv2d_4a_3x3", padding="VALID")
        return self._conv(net, 256, 3, "Conv2d_4b_3x3", stride=2, padding="VALID")

    def _body(self, net: Tensor) -> Tensor:
        first, second, third = self._form.blocks
        for index in range(first):
            net = self._block(
                net, f"Repeat/block35_{index + 1}", 0.17, [[(32, 1)], [(32, 1), (32, 3)], [(32, 1), (32, 3), (32, 3)]]
            )
        net = self._reduction(net, "Mixed_6a", [[(384, 3)], [(192, 1), (192, 3), (256, 3)]])
        for index in range(second):
            net = self._block(
                net, f"Repeat_1/block17_{index + 1}", 0.10, [[(128, 1)], [(128, 1), (128, (1, 7)), (128, (7, 1))]]
            )
        net = self._reduction(
            net, "Mixed_7a", [[(256, 1), (384, 3)], [(256, 1), (256, 3)], [(256, 1), (256, 3), (256, 3)]]
        )
        branches: list[list[tuple[int, Any]]] = [[(192, 1)], [(192, 1), (192, (1, 3)), (192, (3, 1))]]
        for index in range(third):
            net = self._block(net, f"Repeat_2/block8_{index + 1}", 0.20, branches)
        return self._block(net, "Block8", 1.0, branches, activated=False)

    def _bottleneck(self, net: Tensor) -> Tensor:
        tf = self._tf
        with tf.variable_scope("Logits"):
            net = tf.nn.avg_pool2d(net, net.shape[1:3].as_list(), 1, "VALID", name="AvgPool_1a_8x8")
            net = tf.reshape(net, (-1, int(net.shape[-1])), name="Flatten/Reshape")
            held = net
            net = tf.cond(
                self._phase,
                lambda: tf.nn.dropout(held, rate=1 - _KEEP, seed=0),
                lambda: tf.identity(held),
                name="Dropout/cond",
            )
        with tf.variable_scope("Bottleneck"):
            weights = self._variable("weights", (int(net.shape[-1]), self._form.embedding), 1.0)
            return self._batch_norm(tf.matmul(net, weights), fused=False)

    def _channels(self, count: int) -> int:
        return max(4, round(count * self._form.width))

    def _conv(
        self, net: Tensor, channels: int, kernel: Any, scope: str, *, stride: int = 1, padding: str = "SAME"
    ) -> Tensor:
        tf = self._tf
        height, width = (kernel, kernel) if isinstance(kernel, int) else kernel
        with tf.variable_scope(scope):
            shape = (height, width, int(net.shape[-1]), self._channels(channels))
            made = tf.nn.conv2d(net, self._variable("weights", shape, 2.0), stride, padding)
            return tf.nn.relu(self._batch_norm(made, fused=True))

    def _block(self, net: Tensor, scope: str, scale: float, branches: list[Any], *, activated: bool = True) -> Tensor:
        tf = self._tf
        with tf.variable_scope(scope):
            mixed = tf.concat([self._chain(net, branch, f"Branch_{index}") for index, branch in enumerate(branches)], 3)
            with tf.variable_scope("Conv2d_1x1"):
                channels = int(net.shape[-1])
                up = tf.nn.conv2d(
                    mixed, self._variable("weights", (1, 1, int(mixed.shape[-1]), channels), 1.0), 1, "SAME"
                )
                up = tf.nn.bias_add(up, self._plain("biases", self._random.normal(0, 0.05, channels)))
            net += scale * up
            return tf.nn.relu(net) if activated else net

    def _chain(self, net: Tensor, layers: list[tuple[int, Any]], scope: str) -> Tensor:
        with self._tf.variable_scope(scope):
            for index, (channels, kernel) in enumerate(layers):
                net = self._conv(net, channels, kernel, f"Conv2d_0{index}")
        return net

    def _reduction(self, net: Tensor, scope: str, branches: list[Any]) -> Tensor:
        tf = self._tf
        with tf.variable_scope(scope):
            made = []
            for number, layers in enumerate(branches):
                with tf.variable_scope(f"Branch_{number}"):
                    branch = net
                    for index, (channels, kernel) in enumerate(layers[:-1]):
                        branch = self._conv(branch, channels, kernel, f"Conv2d_0{index}")
                    channels, kernel = layers[-1]
                    made.append(self._conv(branch, channels, kernel, "Conv2d_1a", stride=2, padding="VALID"))
            made.append(self._pool(net, "MaxPool_1a_3x3"))
            return tf.concat(made, 3)

    def _pool(self, net: Tensor, name: str) -> Tensor:
        return self._tf.nn.max_pool2d(net, 3, 2, "VALID", name=name)

    def _batch_norm(self, net: Tensor, *, fused: bool) -> Tensor:
        """As slim writes it: no gamma, statistics chosen by `phase_train`, moving averages updated in the training branch."""
        tf = self._tf
        channels = int(net.shape[-1])
        with tf.variable_scope("BatchNorm"):
            beta = self._plain("beta", self._random.normal(0, 0.1, channels))
            mean = self._plain("moving_mean", self._random.normal(0, 0.1, channels), trainable=False)
            variance = self._plain("moving_variance", self._random.uniform(0.5, 1.5, channels), trainable=False)
            return (self._fused if fused else self._written_out)(net, beta, mean, variance)

    def _fused(self, net: Tensor, beta: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
        tf = self._tf
        gamma = tf.constant(np.ones(int(net.shape[-1]), np.float32))

        def training() -> Tensor:
            made, batch_mean, batch_variance = tf.nn.fused_batch_norm(
                net, gamma, beta, epsilon=_EPSILON, is_training=True
            )
            with tf.control_dependencies(self._updates((mean, batch_mean), (variance, batch_variance))):
                return tf.identity(made)

        def inference() -> Tensor:
            return tf.nn.fused_batch_norm(net, gamma, beta, mean, variance, epsilon=_EPSILON, is_training=False)[0]

        return tf.cond(self._phase, training, inference)

    def _written_out(self, net: Tensor, beta: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
        tf = self._tf

        def training() -> tuple[Tensor, Tensor]:
            batch_mean, batch_variance = tf.nn.moments(net, [0])
            with tf.control_dependencies(self._updates((mean, batch_mean), (variance, batch_variance))):
                return tf.identity(batch_mean), tf.identity(batch_variance)

        chosen_mean, chosen_variance = tf.cond(
            self._phase, training, lambda: (tf.identity(mean), tf.identity(variance))
        )
        return tf.nn.batch_normalization(net, chosen_mean, chosen_variance, beta, None, _EPSILON)

    def _updates(self, *pairs: tuple[Tensor, Tensor]) -> list[Tensor]:
        return [
            self._tf.assign_sub(kept, (kept - fresh) * (1 - _DECAY), name="AssignMovingAvg") for kept, fresh in pairs
        ]

    def _variable(self, name: str, shape: tuple[int, ...], gain: float) -> Tensor:
        return self._plain(name, self._random.normal(0, np.sqrt(gain / np.prod(shape[:-1])), shape))

    def _plain(self, name: str, value: Any, *, trainable: bool = True) -> Tensor:
        # A placeholder's value as the initialiser keeps 90 MB of constants out of the graph's definition.
        tf = self._tf
        return tf.get_variable(
            name,
            value.shape,
            tf.float32,
            lambda *_args, **_more: tf.constant(value.astype(np.float32)),
            trainable=trainable,
            use_resource=False,
        )


def save_checkpoint(tf: Any, folder: Path, form: Form = SMALL, seed: int = 0) -> Path:
    """Write `model.meta`, `.index` and `.data-00000-of-00001` into a folder; returns the path of the first."""
    v1 = tf.compat.v1
    v1.disable_control_flow_v2()
    try:
        with v1.Graph().as_default(), v1.Session() as session:
            FaceNet(tf, form, seed).build()
            session.run(v1.global_variables_initializer())
            prefix = v1.train.Saver().save(session, str(folder / "model"), write_state=False)
    finally:
        v1.enable_control_flow_v2()
    return Path(f"{prefix}.meta")


def frozen_graph(tf: Any, checkpoint: Path) -> bytes:
    """The checkpoint as the official project freezes it: variables as constants, RefSwitch, AssignSub and AssignAdd replaced."""
    v1 = tf.compat.v1
    with v1.Graph().as_default(), v1.Session() as session:
        saver = v1.train.import_meta_graph(str(checkpoint), clear_devices=True)
        saver.restore(session, str(checkpoint).removesuffix(".meta"))
        definition = session.graph.as_graph_def()
        for node in definition.node:
            _without_references(node)
        outputs = ["embeddings", "label_batch", "phase_train"]
        frozen = v1.graph_util.convert_variables_to_constants(session, definition, outputs)
    return bytes(frozen.SerializeToString())


def _without_references(node: Any) -> None:
    """As facenet/src/freeze_graph.py does: what works on a variable works on its value."""
    if node.op == "RefSwitch":
        node.op = "Switch"
        for index, name in enumerate(node.input):
            if "moving_" in name and not name.endswith("/read"):
                node.input[index] = f"{name}/read"
    elif node.op in {"AssignSub", "AssignAdd"}:
        node.op = node.op.removeprefix("Assign")
        node.attr.pop("use_locking", None)
