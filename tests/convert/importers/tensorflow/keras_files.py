"""Keras files of older versions, written by hand as those versions wrote them: no version of Keras does it any more."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

Config = dict[str, Any]
Weights = Mapping[str, Sequence[tuple[str, Any]]]
"""Layer -> (name of the weights, their value)."""


def layer(kind: str, name: str, *sources: str, calls: Config | None = None, **settings: Any) -> Config:
    """A layer of a functional model as Keras 2 describes it, reading the first output of `sources`."""
    config = {"name": name, "trainable": True, "dtype": "float32", **settings}
    nodes = [[[source, 0, 0, calls or {}] for source in sources]] if sources else []
    return {"class_name": kind, "name": name, "config": config, "inbound_nodes": nodes}


def initializer(kind: str) -> Config:
    """As Keras 2 has one in every layer with weights."""
    return {"class_name": kind, "config": {"seed": None} if "Uniform" in kind else {}}


def functional(layers: list[Config], outputs: list[str], kind: str = "Functional") -> Config:
    """A model of one input, the first layer."""
    ends = {"input_layers": [[layers[0]["name"], 0, 0]], "output_layers": [[name, 0, 0] for name in outputs]}
    return {"class_name": kind, "config": {"name": "model", "layers": layers, **ends}}


def write_h5(path: Path, config: Any, weights: Weights, *, version: str = "2.4.0", whole: bool = True) -> Path:
    """The layout of model.save(NAME.h5), or of save_weights without `whole`."""
    import h5py

    with h5py.File(path, "w") as file:
        if config is not None:
            file.attrs["model_config"] = json.dumps(config).encode()
        file.attrs["keras_version"], file.attrs["backend"] = version.encode(), b"tensorflow"
        group = file.create_group("model_weights") if whole else file
        group.attrs["layer_names"] = [name.encode() for name in weights]
        for name, values in weights.items():
            inside = group.create_group(name)
            inside.attrs["weight_names"] = [f"{name}/{each}:0".encode() for each, _ in values]
            for each, value in values:
                inside.create_dataset(f"{name}/{each}:0", data=np.asarray(value, np.float32))
    return path


def numbers(*shape: int, seed: int = 0) -> Any:
    """float32, about -1 to 1."""
    return np.random.default_rng([seed, *shape]).normal(0, 0.5, shape).astype(np.float32)


def variances(count: int) -> Any:
    """Positive."""
    return np.abs(numbers(count, seed=9)) + 0.2


OLD_WEIGHTS: Weights = {
    "image": [],
    "conv": [("kernel", numbers(3, 3, 3, 4)), ("bias", numbers(4))],
    "bn": [("gamma", numbers(4, seed=1)), ("beta", numbers(4, seed=2)), ("moving_mean", numbers(4, seed=3)), ("moving_variance", variances(4))],
    "prelu": [("alpha", numbers(1, 1, 4, seed=4))],
    "dw": [("depthwise_kernel", numbers(3, 3, 4, 1, seed=5)), ("bias", numbers(4, seed=6))],
    "up_nearest": [],
    "up_bilinear": [],
    "sum": [],
    "up": [("kernel", numbers(3, 3, 2, 4, seed=7)), ("bias", numbers(2))],
    "scaled": [],
    "gap": [],
    "embedding": [("kernel", numbers(2, 5, seed=8)), ("bias", numbers(5))],
}  # fmt: skip


def old_network(kind: str = "Functional") -> Config:
    """What was in use from Keras 2.2 to 2.15, with all that Keras 3 does not read."""
    some, zeros = initializer("GlorotUniform"), initializer("Zeros")
    layers = [
        layer("InputLayer", "image", batch_input_shape=[None, 8, 6, 3], sparse=False, ragged=False),
        layer(
            "Conv2D", "conv", "image", filters=4, kernel_size=[3, 3], strides=[1, 1], padding="same", groups=1,
            data_format="channels_last", dilation_rate=[1, 1], activation="linear", use_bias=True,
            kernel_initializer=some, bias_initializer=zeros, kernel_constraint=None,
            kernel_regularizer={"class_name": "L1L2", "config": {"l1": 0.0, "l2": 0.0005}},
        ),
        layer(
            "BatchNormalization", "bn", "conv", axis=[3], momentum=0.99, epsilon=0.001, center=True, scale=True, renorm=False,
            beta_initializer=zeros, gamma_initializer=initializer("Ones"),
        ),
        layer("PReLU", "prelu", "bn", alpha_initializer=zeros, shared_axes=[1, 2]),
        layer(
            "DepthwiseConv2D", "dw", "prelu", kernel_size=[3, 3], strides=[2, 2], padding="same", groups=1,
            depth_multiplier=1, activation={"class_name": "ReLU", "config": {"name": "r", "max_value": 6.0}}, use_bias=True,
            depthwise_initializer=some, dtype={"class_name": "Policy", "config": {"name": "float32"}},
        ),
        layer("UpSampling2D", "up_nearest", "dw", size=[2, 2], data_format="channels_last", interpolation="nearest"),
        layer("UpSampling2D", "up_bilinear", "dw", size=[2, 2], data_format="channels_last", interpolation="bilinear"),
        layer("Add", "sum", "up_nearest", "up_bilinear"),
        layer(
            "Conv2DTranspose", "up", "sum", filters=2, kernel_size=[3, 3], strides=[2, 2], padding="same", groups=1,
            output_padding=None, activation="relu", use_bias=True, kernel_initializer=some,
        ),
        {
            "class_name": "TFOpLambda", "name": "scaled", "inbound_nodes": [["up", 0, 0, {"y": 0.25, "name": None}]],
            "config": {"name": "scaled", "trainable": True, "dtype": "float32", "function": "math.multiply"},
        },
        layer("GlobalAveragePooling2D", "gap", "scaled", data_format="channels_last"),
        layer("Dense", "embedding", "gap", units=5, activation="linear", use_bias=True, kernel_initializer=some),
    ]  # fmt: skip
    return functional(layers, ["embedding"], kind)


def tf_function(name: str, function: str, node: list[Any]) -> Config:
    """A TensorFlow function that Keras 2 made a layer of; `node` is what it reads."""
    config = {"name": name, "function": function}
    return {"class_name": "TFOpLambda", "name": name, "config": config, "inbound_nodes": [node]}


def _with_random_weights(model: Any) -> Any:
    for index, weights in enumerate(model.weights):
        value = numbers(*weights.shape, seed=index)
        weights.assign(np.abs(value) + 0.2 if "variance" in weights.path else value)
    return model


def modern(keras: Any) -> Any:
    """A model of the installed Keras: what an embedder may hold, and both kinds of UpSampling2D."""
    layers = keras.layers
    image = layers.Input((8, 6, 3), name="image")
    made = layers.Conv2D(4, 3, padding="same", use_bias=False, name="conv")(image)
    made = layers.PReLU(shared_axes=[1, 2])(layers.BatchNormalization()(made))
    made = layers.DepthwiseConv2D(3, strides=2, padding="same", activation="relu6")(made)
    nearest, bilinear = layers.UpSampling2D(2)(made), layers.UpSampling2D(2, interpolation="bilinear")(made)
    made = layers.Dropout(0.3)(layers.Add()([nearest, bilinear]) * 0.5 + 0.25)
    inner = keras.Sequential([layers.Input((8, 6, 4)), layers.Conv2D(2, 1), layers.UpSampling2D((3, 1))], name="inner")
    made = layers.GlobalAveragePooling2D()(inner(made))
    return _with_random_weights(keras.Model(image, layers.Dense(5, name="embedding")(made)))


def rewrite_zip(source: Path, target: Path, replaced: dict[str, bytes], **how: Any) -> Path:
    """A copy with other contents for some entries."""
    with zipfile.ZipFile(source) as before, zipfile.ZipFile(target, "w", **how) as after:
        for name in before.namelist():
            after.writestr(name, replaced.get(name, before.read(name)))
    return target
