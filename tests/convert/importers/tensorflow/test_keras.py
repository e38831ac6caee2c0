from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from convert.importers import open_file
from convert.importers.base import Request
from convert.importers.tensorflow.keras import import_keras
from convert.network import Network
from convert.passes.upsample import upsampling_as_transposed_convolution
from convert.runners.onnx_runtime import OnnxRuntimeRunner
from tests.convert.importers.tensorflow.keras_files import (
    OLD_WEIGHTS,
    functional,
    layer,
    modern,
    numbers,
    old_network,
    rewrite_zip,
    tf_function,
    write_h5,
)

tf = pytest.importorskip("tensorflow", reason="tensorflow is not installed (pip install 'ostiary[convert]')")
pytest.importorskip("onnxruntime", reason="onnxruntime is not installed (pip install 'ostiary[convert]')")
h5py = pytest.importorskip("h5py", reason="h5py comes with TensorFlow")
keras = pytest.importorskip("keras", reason="keras comes with TensorFlow")
# Keras 3.15 makes arrays of its variables in a way that numpy 2 calls old.
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)
X = np.random.default_rng(3).normal(size=(2, 3, 8, 6)).astype(np.float32)


def read(path: Path, **request: Any) -> Any:
    return import_keras(Request((path,), **request))


def run(imported: Any, image: Any = X) -> Any:
    """What the network gives, which is what the reference gives."""
    feeds = {imported.network.input_name: image}
    made, expected = OnnxRuntimeRunner(imported.network).run(feeds), imported.reference.run(feeds)
    for name in imported.network.outputs:
        assert made[name].shape == expected[name].shape
        assert np.abs(made[name] - expected[name]).max() <= 1e-5 * max(1.0, np.abs(expected[name]).max())
    return made


def counts(network: Network) -> Counter[str]:
    return Counter(node.op for node in network.nodes)


@pytest.mark.filterwarnings("ignore:.*HDF5:UserWarning")  # Keras 3 calls its older format old
@pytest.mark.parametrize("name", ["model.h5", "model.keras"])
def test_what_the_installed_keras_writes(name: str, tmp_path: Path) -> None:
    model = modern(keras)
    model.save(tmp_path / name)
    imported = open_file(tmp_path / name)
    assert imported.format == "keras"
    assert imported.reference.label == f"Keras {keras.__version__}"
    assert (imported.network.input_name, imported.network.output_name) == ("image", "embedding")
    expected = model(X.transpose(0, 2, 3, 1), training=False).numpy()
    assert np.abs(run(imported)["embedding"] - expected).max() <= 1e-5
    found = counts(imported.network)
    assert (found["Resize"], found["PRelu"], found["Conv"], found["Transpose"], found["Tile"]) == (3, 1, 3, 0, 0)
    rewritten = upsampling_as_transposed_convolution(imported.network)
    assert (counts(rewritten)["Resize"], counts(rewritten)["ConvTranspose"]) == (0, 3)
    assert np.abs(OnnxRuntimeRunner(rewritten).run({"image": X})["embedding"] - expected).max() <= 1e-5


def test_inner_tensors_and_other_outputs(tmp_path: Path) -> None:
    modern(keras).save(tmp_path / "m.keras")
    imported = read(tmp_path / "m.keras")
    names = imported.reference.tensors
    assert len(names) > 8
    made, expected = (
        OnnxRuntimeRunner(imported.network).run({"image": X}, names),
        imported.reference.run({"image": X}, names),
    )
    for name in names:
        assert np.abs(made[name] - expected[name]).max() <= 1e-5, name
    inner = read(tmp_path / "m.keras", outputs=(names[0],))
    assert inner.network.outputs == (names[0],)
    assert np.abs(run(inner)[names[0]] - expected[names[0]]).max() <= 1e-5


def expected_of_old(image: Any) -> Any:
    """The network of old_network by TensorFlow's functions alone."""
    values = {name: dict(each) for name, each in OLD_WEIGHTS.items()}
    x = tf.constant(image.transpose(0, 2, 3, 1))
    x = tf.nn.conv2d(x, values["conv"]["kernel"], 1, "SAME") + values["conv"]["bias"]
    bn = values["bn"]
    x = tf.nn.batch_normalization(x, bn["moving_mean"], bn["moving_variance"], bn["beta"], bn["gamma"], 0.001)
    x = tf.where(x < 0, x * values["prelu"]["alpha"], x)
    x = tf.nn.depthwise_conv2d(x, values["dw"]["depthwise_kernel"], [1, 2, 2, 1], "SAME") + values["dw"]["bias"]
    x = tf.nn.relu6(x)
    x = tf.repeat(tf.repeat(x, 2, 1), 2, 2) + tf.image.resize(x, (8, 6))
    x = tf.nn.conv2d_transpose(x, values["up"]["kernel"], (len(image), 16, 12, 2), 2, "SAME") + values["up"]["bias"]
    x = tf.reduce_mean(tf.nn.relu(x) * 0.25, [1, 2])
    return (x @ values["embedding"]["kernel"] + values["embedding"]["bias"]).numpy()


@pytest.mark.parametrize("kind", ["Functional", "Model"])
def test_an_old_file(kind: str, tmp_path: Path) -> None:
    imported = read(write_h5(tmp_path / "old.h5", old_network(kind), OLD_WEIGHTS))
    assert np.abs(run(imported)["embedding"] - expected_of_old(X)).max() <= 1e-5
    assert counts(imported.network)["Resize"] == 2
    for part in ("Written by Keras 2.4.0", "BatchNormalization", "'groups' of DepthwiseConv2D", "tf.math.multiply"):
        assert any(part in note for note in imported.notes), part


def test_an_old_configuration_in_a_zip(tmp_path: Path) -> None:
    """Keras 2.12 to 2.15 wrote .keras files as Keras 3 does, but for the configuration."""
    model = modern(keras)
    model.save(tmp_path / "new.keras")
    config = json.loads(json.dumps(json.loads(model.to_json())))
    first = config["config"]["layers"][0]["config"]
    first["batch_input_shape"] = first.pop("batch_shape")
    first["ragged"] = False
    rewrite_zip(tmp_path / "new.keras", tmp_path / "old.keras", {"config.json": json.dumps(config).encode()})
    expected = model(X.transpose(0, 2, 3, 1), training=False).numpy()
    assert np.abs(run(read(tmp_path / "old.keras"))["embedding"] - expected).max() <= 1e-5


def test_an_old_sequential_model_has_its_shape_in_its_first_layer(tmp_path: Path) -> None:
    conv = layer("Conv2D", "c/1", batch_input_shape=[None, 8, 6, 3], filters=2, kernel_size=[3, 3], activation="relu")
    steps = [conv, layer("LeakyReLU", "l", alpha=0.25), layer("Flatten", "f"), layer("Dense", "d", units=3)]
    plain = [{"class_name": step["class_name"], "config": step["config"]} for step in steps]
    weights = {
        "c/1": [("kernel", numbers(3, 3, 3, 2)), ("bias", numbers(2))], "l": [], "f": [],
        "d": [("kernel", numbers(48, 3)), ("bias", numbers(3))],
    }  # fmt: skip
    config = {"class_name": "Sequential", "config": plain}
    imported = read(write_h5(tmp_path / "s.h5", config, weights, version="2.1.6"))
    assert imported.network.input_shape == (1, 3, 8, 6)
    assert run(imported)["d"].shape == (2, 3)


@pytest.mark.parametrize(
    ("function", "arguments", "expected"),
    [
        ("math.add", {"y": 2.0}, lambda x: x + 2),
        ("__operators__.add", {"y": ["image", 0, 0]}, lambda x: x + x),
        ("math.subtract", {"y": 127.5}, lambda x: x - 127.5),
        ("math.truediv", {"y": 128.0}, lambda x: x / 128),
        ("nn.relu", {}, lambda x: np.maximum(x, 0)),
        ("math.reduce_mean", {"axis": [1, 2], "keepdims": True}, lambda x: x.mean((2, 3), keepdims=True)),
    ],
)
def test_functions_that_keras_2_made_layers_of(function: str, arguments: Any, expected: Any, tmp_path: Path) -> None:
    layers = [
        layer("InputLayer", "image", batch_input_shape=[None, 8, 6, 3]),
        tf_function("f", function, ["image", 0, 0, arguments]),
    ]
    imported = read(write_h5(tmp_path / "f.h5", functional(layers, ["f"]), {"image": [], "f": []}))
    assert np.abs(run(imported)["f"] - expected(X)).max() <= 1e-6 * np.abs(X).max() * 128
