"""Keras files that must not be taken, and damaged ones."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from convert.importers.base import Request
from convert.importers.tensorflow.keras import import_keras
from edge.errors import ModelError, UsageError
from tests.convert.importers.tensorflow.keras_files import (
    OLD_WEIGHTS,
    functional,
    layer,
    modern,
    old_network,
    rewrite_zip,
    tf_function,
    variances,
    write_h5,
)

pytest.importorskip("tensorflow", reason="tensorflow is not installed (pip install 'ostiary[convert]')")
h5py = pytest.importorskip("h5py", reason="h5py comes with TensorFlow")
keras = pytest.importorskip("keras", reason="keras comes with TensorFlow")
# Keras 3.15 makes arrays of its variables in a way that numpy 2 calls old.
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)


def read(path: Path) -> Any:
    return import_keras(Request((path,)))


def code(kind: str = "Lambda", **settings: Any) -> Any:
    return functional(
        [layer("InputLayer", "image", batch_input_shape=[None, 8, 6, 3]), layer(kind, "odd", "image", **settings)],
        ["odd"],
    )


REFUSED = {
    "a Lambda": (code("Lambda", function=["4wEAAAA=", None, None], function_type="lambda"), r"Lambda 'odd' \(a Lambda layer holds code\)"),
    "a custom layer": (code("CosFace", units=3), r"CosFace 'odd'"),
    "a layer that loads another model": (code("TFSMLayer", filepath="m"), "TFSMLayer 'odd'"),
    "a layer of another module": (code("Dense", units=3), "not a layer of Keras"),
    "a slice of Keras 2": (code("SlicingOpLambda", function="__operators__.getitem"), "SlicingOpLambda 'odd'"),
    "a function that is not known": (functional([layer("InputLayer", "image", batch_input_shape=[None, 8]), tf_function("odd", "py_function", ["image", 0, 0, {}])], ["odd"]), "tf.py_function"),
    "a custom activation": (code("Activation", activation="my_mish"), "my_mish"),
    "a function for an activation": (code("Activation", activation={"class_name": "function", "module": "os", "config": "system"}), "system"),
    "a tensor that is ragged": (functional([layer("InputLayer", "image", batch_input_shape=[None, 8], ragged=True)], ["image"]), "ragged"),
    "groups where there are none": (code("DepthwiseConv2D", kernel_size=3, groups=2), "2 groups"),
    "a size beyond all measure": (code("Dense", units=1 << 40), "1099511627776"),
    "a setting that is not known": (code("Dense", units=3, spectral=True), "setting 'spectral'"),
    "a model that is a class": ({"class_name": "FaceNet", "config": {"name": "f"}}, "a configuration of 'FaceNet'"),
}  # fmt: skip
REFUSED["a layer of another module"][0]["config"]["layers"][1]["module"] = "os"


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str, tmp_path: Path) -> None:
    config, message = REFUSED[case]
    with pytest.raises(ModelError, match=message):
        read(write_h5(tmp_path / "m.h5", config, {}))


def test_everything_that_is_refused_is_told_at_once(tmp_path: Path) -> None:
    layers = [
        layer("InputLayer", "image", batch_input_shape=[None, 8]),
        layer("Lambda", "a", "image"),
        layer("CosFace", "b", "a"),
    ]
    with pytest.raises(ModelError, match=r"Lambda 'a' .*, CosFace 'b'"):
        read(write_h5(tmp_path / "m.h5", functional(layers, ["b"]), {}))


@pytest.mark.filterwarnings("ignore:.*HDF5:UserWarning")  # Keras 3 calls its older format old
@pytest.mark.parametrize("name", ["m.h5", "m.keras"])
def test_code_is_never_run(name: str, tmp_path: Path) -> None:
    target = tmp_path / "ran"

    def touch(x: Any, path: str = str(target)) -> Any:
        Path(path).touch()
        return x

    image = keras.Input((8, 6, 3))
    keras.Model(image, keras.layers.Lambda(lambda x, act=touch: act(x), name="code")(image)).save(tmp_path / name)
    assert target.exists(), "making the model runs it"
    target.unlink()
    with pytest.raises(ModelError, match="Lambda 'code'"):
        read(tmp_path / name)
    assert not target.exists()


def test_weights_alone_are_explained(tmp_path: Path) -> None:
    path = write_h5(tmp_path / "w.h5", None, OLD_WEIGHTS, whole=False)
    with pytest.raises(ModelError, match="weights without a network") as caught:
        read(path)
    assert "model.save" in str(caught.value)


def test_weights_of_another_shape_are_told(tmp_path: Path) -> None:
    weights = {**OLD_WEIGHTS, "bn": [(name, variances(3)) for name in ("a", "b", "c", "d")]}
    with pytest.raises(ModelError, match=r"weights of layer 'bn' of shapes \[3\]"):
        read(write_h5(tmp_path / "m.h5", old_network(), weights))


# Hostile files


def test_an_external_link_is_refused(tmp_path: Path) -> None:
    write_h5(tmp_path / "other.h5", None, OLD_WEIGHTS, whole=False)
    path = write_h5(tmp_path / "m.h5", old_network(), OLD_WEIGHTS)
    with h5py.File(path, "a") as file:
        del file["model_weights/conv"]
        file["model_weights/conv"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "/conv")
    with pytest.raises(ModelError, match="'/model_weights/conv' is a link to elsewhere: refused"):
        read(path)


def test_values_in_another_file_are_refused(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(bytes(432))
    path = write_h5(tmp_path / "m.h5", old_network(), OLD_WEIGHTS)
    with h5py.File(path, "a") as file:
        inside = file["model_weights/conv/conv"]
        del inside["kernel:0"]
        inside.create_dataset("kernel:0", (3, 3, 3, 4), np.float32, external=[(str(secret), 0, 432)])
    with pytest.raises(ModelError, match="is stored in another file: refused"):
        read(path)


def test_a_small_file_with_huge_weights_is_refused(tmp_path: Path) -> None:
    path = write_h5(tmp_path / "m.h5", old_network(), OLD_WEIGHTS)
    with h5py.File(path, "a") as file:
        file["model_weights"].create_dataset("bomb", (1 << 14, 1 << 14), np.float32, compression="gzip", fillvalue=0)
    with pytest.raises(ModelError, match="bytes of weights in a file of"):
        read(path)


@pytest.mark.parametrize("entry", ["model.weights.h5", "assets/bomb"])
def test_a_zip_bomb_is_refused(entry: str, tmp_path: Path) -> None:
    modern(keras).save(tmp_path / "m.keras")
    path = rewrite_zip(
        tmp_path / "m.keras", tmp_path / "bomb.keras", {entry: bytes(64 << 20)}, compression=zipfile.ZIP_DEFLATED
    )
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        if entry not in archive.namelist():
            archive.writestr(entry, bytes(64 << 20))
    with pytest.raises(ModelError, match="bytes in compressed entries: refused"):
        read(path)


@pytest.mark.parametrize("kept", [0.0, 0.01, 0.2, 0.5, 0.8, 0.99])
@pytest.mark.parametrize("name", ["m.h5", "m.keras"])
def test_files_that_are_cut_off(name: str, kept: float, tmp_path: Path) -> None:
    path = tmp_path / name
    if name == "m.h5":
        write_h5(path, old_network(), OLD_WEIGHTS)
    else:
        modern(keras).save(path)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * kept)])
    with pytest.raises((ModelError, UsageError)):
        read(path)


@pytest.mark.parametrize(
    "config",
    ["", "[]", "{", "null", '{"class_name": "Functional"}', '{"class_name": "Sequential", "config": {"layers": [1]}}'],
)
def test_configurations_that_are_none(config: str, tmp_path: Path) -> None:
    path = write_h5(tmp_path / "m.h5", old_network(), OLD_WEIGHTS)
    with h5py.File(path, "a") as file:
        file.attrs["model_config"] = config
    with pytest.raises(ModelError):
        read(path)


@pytest.mark.parametrize("seed", range(40))
def test_configurations_with_a_value_gone_wrong(seed: int, tmp_path: Path) -> None:
    """Any value of the configuration in place of another: an error that is ours, or a network."""
    random = np.random.default_rng(seed)
    config = json.loads(json.dumps(old_network()))
    others = [
        None,
        -1,
        0,
        1 << 50,
        "x",
        [],
        {},
        [[1, 2]],
        {"class_name": "__lambda__", "config": {"value": "x"}},
        True,
        1.5,
    ]
    places: list[tuple[Any, Any]] = []

    def walk(value: Any) -> None:
        for key in value if isinstance(value, dict) else range(len(value)):
            places.append((value, key))
            if isinstance(value[key], dict | list):
                walk(value[key])

    walk(config)
    holder, key = places[random.integers(len(places))]
    holder[key] = others[random.integers(len(others))]
    try:
        imported = read(write_h5(tmp_path / "m.h5", config, OLD_WEIGHTS))
    except (ModelError, UsageError) as error:
        assert str(error)  # noqa: PT017  either of both is right
    else:
        assert imported.network.nodes
