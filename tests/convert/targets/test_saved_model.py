from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from convert.network import Network
from convert.targets.base import Options
from convert.targets.saved_model import SIGNATURE, write_saved_model
from convert.targets.tensorflow_ops import import_tensorflow
from edge.errors import ModelError, UsageError
from tests.convert.networks import CASES
from tests.convert.targets.tensorflow_ops.cases import CASES as MORE
from tests.convert.targets.tensorflow_ops.running import expected_of, feeds_of, nchw, nhwc

pytest.importorskip("tensorflow", reason="TensorFlow is not installed (pip install 'ostiary[convert]')")
pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed (pip install 'ostiary[convert]')")
# TensorFlow and its dependencies warn about themselves.
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module", autouse=True)
def _tensorflow() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import_tensorflow()
        yield


def signature(folder: Path) -> Any:
    loaded = import_tensorflow().saved_model.load(str(folder / "1"))
    assert list(loaded.signatures) == [SIGNATURE]
    return loaded.signatures[SIGNATURE], loaded


def served(folder: Path, feeds: dict[str, Any]) -> dict[str, Any]:
    run, _kept = signature(folder)
    tf = import_tensorflow()
    return {
        name: nchw(value.numpy())
        for name, value in run(**{name: tf.constant(nhwc(value)) for name, value in feeds.items()}).items()
    }


@pytest.mark.parametrize(
    "name", ["two inputs, three outputs", "ssd heads", "squeeze and excite", "conv transpose, lopsided", "shuffle"]
)
@pytest.mark.parametrize("count", [1, 3])
def test_any_number_of_pictures(name: str, count: int, tmp_path: Path) -> None:
    made = MORE[name]()
    write_saved_model(made, tmp_path / "model", Options())
    feeds = feeds_of(made, count)
    found, expected = served(tmp_path / "model", feeds), expected_of(made, feeds)
    assert found.keys() == expected.keys()
    assert all(np.abs(found[name] - expected[name]).max() < 1e-5 for name in expected)


def test_layout_of_tensorflow_serving(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    written = write_saved_model(CASES["prelu"](), folder, Options(colour_order="RGB"))
    assert written == [folder / "1" / "saved_model.pb", folder / "1" / "assets.extra" / "preprocessing.json"]
    assert sorted(path for path in folder.rglob("*") if path.is_file()) == sorted(written)
    run, _kept = signature(folder)
    (spec,) = run.structured_input_signature[1].values()
    assert (spec.name, spec.shape.as_list(), spec.dtype.name) == ("image", [None, 9, 9, 3], "float32")


def test_notes_say_what_a_signature_does_not(tmp_path: Path) -> None:
    made = MORE["two inputs, three outputs"]()
    scaled = Network(made.inputs, made.outputs, made.nodes, made.constants, mean=127.5, std=128.0)
    notes = json.loads(write_saved_model(scaled, tmp_path / "model", Options(colour_order="BGR"))[1].read_text())
    assert notes["inputs"] == ["image", "other"]
    assert notes["outputs"] == ["t3", "both", "t1"]
    assert (notes["normalisation"]["mean"], notes["normalisation"]["std"], notes["colour"]) == (127.5, 128.0, "BGR")


def test_the_same_bytes_every_time(tmp_path: Path) -> None:
    files = [write_saved_model(MORE["ssd heads"](), tmp_path / name, Options()) for name in ("a", "b")]
    assert [path.read_bytes() for path in files[0]] == [path.read_bytes() for path in files[1]]


@pytest.mark.parametrize(("case", "batch", "size"), [("sum of all", None, 1), ("conv, uneven strides", 4, 4)])
def test_batches_that_are_fixed(case: str, batch: int | None, size: int, tmp_path: Path) -> None:
    write_saved_model(MORE[case](), tmp_path / "model", Options(batch=batch))
    run, _kept = signature(tmp_path / "model")
    (spec,) = run.structured_input_signature[1].values()
    assert spec.shape[0] == size


def test_a_version_is_never_overwritten(tmp_path: Path) -> None:
    write_saved_model(CASES["prelu"](), tmp_path, Options())
    with pytest.raises(UsageError, match="version 1 is there"):
        write_saved_model(CASES["prelu"](), tmp_path, Options())


def test_nothing_is_left_of_what_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(ModelError):
        write_saved_model(MORE["sum of all"](), tmp_path / "model", Options(batch=3))
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(OSError, match="file"):
        write_saved_model(CASES["prelu"](), blocked, Options())
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert blocked.read_text() == ""


def test_tflite_and_other_tools_read_it(tmp_path: Path) -> None:
    write_saved_model(CASES["prelu"](), tmp_path / "model", Options())
    data = import_tensorflow().lite.TFLiteConverter.from_saved_model(str(tmp_path / "model" / "1")).convert()
    assert data[4:8] == b"TFL3"
