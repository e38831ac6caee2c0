from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from convert.importers import open_file
from convert.importers.base import Request
from convert.importers.tensorflow.saved_model import import_saved_model, signatures_of
from convert.inspection.inspect import inspect
from convert.runners.onnx_runtime import OnnxRuntimeRunner
from convert.runners.tensorflow import open_tensorflow
from edge.errors import ModelError, UsageError
from tests.convert.importers.tensorflow.graphs import numbers

tf = pytest.importorskip("tensorflow", reason="tensorflow is not installed (pip install 'ostiary[convert]')")
pytest.importorskip("onnxruntime", reason="onnxruntime is not installed (pip install 'ostiary[convert]')")
v1 = tf.compat.v1
X = numbers(2, 3, 8, 7)
SPEC = [tf.TensorSpec((None, 8, 7, 3), tf.float32, name="image")]


class Module(tf.Module):
    """Two variables of one name, and two functions."""

    def __init__(self) -> None:
        super().__init__()
        self.w = tf.Variable(numbers(3, 3, 3, 4), name="v")
        self.b = tf.Variable(numbers(4), name="v")

    @tf.function(input_signature=SPEC)
    def embed(self, image: Any) -> Any:
        return {"embeddings": tf.math.l2_normalize(tf.reduce_mean(self.layer(image), [1, 2]), 1)}

    @tf.function(input_signature=SPEC)
    def both(self, image: Any) -> Any:
        made = self.layer(image)
        return {"image": tf.nn.relu(made), "mean": tf.reduce_mean(made, [1, 2])}

    @tf.function
    def layer(self, image: Any) -> Any:
        return tf.nn.conv2d(image, self.w, 2, "SAME") + self.b


@pytest.fixture(scope="module")
def second(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """TensorFlow 2's."""
    folder = tmp_path_factory.mktemp("second") / "3"
    module = Module()
    tf.saved_model.save(module, str(folder), {"serving_default": module.embed, "both": module.both})
    return folder


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """TensorFlow 1's: a variable by reference and one as a resource."""
    folder = tmp_path_factory.mktemp("first") / "model"
    with v1.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, (None, 8, 7, 3), name="x")
        w = v1.get_variable("w", initializer=numbers(3, 3, 3, 4), use_resource=False)
        b = v1.get_variable("b", initializer=numbers(4), use_resource=True)
        y = tf.nn.relu(tf.nn.conv2d(x, w, 1, "SAME") + b, name="y")
        mean = tf.reduce_mean(y, [1, 2], name="mean")
        session.run(v1.global_variables_initializer())
        made = v1.saved_model.predict_signature_def
        signatures = {"one": made({"x": x}, {"y": mean}), "two": made({"image": x}, {"mean": mean, "y": y})}
        builder = v1.saved_model.Builder(str(folder))
        builder.add_meta_graph_and_variables(session, ["serve"], signature_def_map=signatures)
        builder.save()
    return folder


def assert_is_the_signature(folder: Path, name: str, fed: str) -> Any:
    """Network and reference, against TensorFlow's own way of using a SavedModel."""
    imported = import_saved_model(Request((folder,), signature=name))
    function = tf.saved_model.load(str(folder)).signatures[name]
    expected = function(**{fed: tf.constant(X.transpose(0, 2, 3, 1))})
    feeds = {imported.network.input_name: X}
    made, reference = OnnxRuntimeRunner(imported.network).run(feeds), imported.reference.run(feeds)
    assert set(imported.network.outputs) == set(expected)
    for output, value in expected.items():
        plain = value.numpy().transpose(0, 3, 1, 2) if value.ndim == 4 else value.numpy()
        assert made[output].shape == plain.shape
        assert np.abs(made[output] - plain).max() <= 1e-5 * np.abs(plain).max()
        assert np.abs(reference[output] - plain).max() <= 1e-6
    return imported


def test_the_default_signature(second: Path) -> None:
    imported = assert_is_the_signature(second, "serving_default", "image")
    assert imported.format == "saved-model"
    assert (imported.network.input_name, imported.network.output_name) == ("image", "embeddings")
    assert open_file(second).network.outputs == ("embeddings",)
    assert [node.op for node in imported.network.nodes[:3]] == ["Conv", "Add", "ReduceMean"]


def test_another_signature_with_one_name_for_an_input_and_an_output(second: Path) -> None:
    imported = assert_is_the_signature(second, "both", "image")
    assert imported.network.input_name == "both_image"
    assert set(imported.network.outputs) == {"image", "mean"}


@pytest.mark.parametrize(("name", "fed"), [("one", "x"), ("two", "image")])
def test_tensorflow_1(name: str, fed: str, first: Path) -> None:
    imported = assert_is_the_signature(first, name, fed)
    assert "2 variables became constants." in imported.notes
    assert imported.network.input_name == fed


def test_one_of_several_outputs(first: Path) -> None:
    imported = import_saved_model(Request((first,), signature="two", outputs=("mean",)))
    assert imported.network.outputs == ("mean",)
    with pytest.raises(UsageError, match="no output z"):
        import_saved_model(Request((first,), signature="two", outputs=("z",)))


def test_inner_tensors_can_be_asked_for(second: Path) -> None:
    imported = import_saved_model(Request((second,)))
    names = imported.reference.tensors
    assert len(names) >= 4
    made, expected = (
        OnnxRuntimeRunner(imported.network).run({"image": X}, names),
        imported.reference.run({"image": X}, names),
    )
    for name in names:
        assert np.abs(made[name] - expected[name]).max() <= 1e-5, name


def test_signatures_are_listed_and_must_be_chosen(first: Path, second: Path) -> None:
    assert signatures_of(first) == ["one", "two"]
    assert signatures_of(second) == ["both", "serving_default"]
    with pytest.raises(ModelError, match="2 signatures: one, two"):
        import_saved_model(Request((first,)))
    with pytest.raises(UsageError, match="no signature three"):
        import_saved_model(Request((first,), signature="three"))
    assert inspect(Request((first,)))["details"] == {"signatures": "one, two"}


def test_the_newest_version_is_taken(second: Path, tmp_path: Path) -> None:
    for version in ("3", "20", "notes"):
        shutil.copytree(second, tmp_path / version)
    imported = import_saved_model(Request((tmp_path,)))
    assert "Of 3 versions the newest was taken: 20." not in imported.notes
    assert "Of 2 versions the newest was taken: 20." in imported.notes


def test_it_runs_as_a_folder_too(second: Path) -> None:
    runner = open_tensorflow(second)
    assert runner.outputs == ("embeddings",)
    assert runner.run({"image": X})["embeddings"].shape == (2, 4)


def test_text_form(first: Path, tmp_path: Path) -> None:
    from google.protobuf import text_format
    from tensorflow.core.protobuf import saved_model_pb2

    folder = Path(shutil.copytree(first, tmp_path / "text"))
    saved = saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    (folder / "saved_model.pb").unlink()
    (folder / "saved_model.pbtxt").write_text(text_format.MessageToString(saved))
    assert signatures_of(folder) == ["one", "two"]
    (folder / "saved_model.pbtxt").write_text("graph {")
    with pytest.raises(ModelError, match="not a sound SavedModel"):
        signatures_of(folder)


class Writer(tf.Module):
    """Writes a file when it is loaded, and when it is run."""

    def __init__(self, target: str) -> None:
        super().__init__()
        self.target = target

    @tf.function(input_signature=SPEC)
    def run(self, image: Any) -> Any:
        tf.io.write_file(self.target, "x")
        return {"y": tf.nn.relu(image)}


def test_a_file_is_never_written(tmp_path: Path) -> None:
    target = tmp_path / "written"
    module = Writer(str(target))
    tf.saved_model.save(module, str(tmp_path / "m"), {"serving_default": module.run})
    with pytest.raises(ModelError, match="WriteFile"):
        import_saved_model(Request((tmp_path / "m",)))
    assert not target.exists()


PARTS = ("saved_model.pb", "variables/variables.index", "variables/variables.data-00000-of-00001")
CUTS = [(part, kept) for part in PARTS for kept in (0.0, 0.1, 0.3, 0.7, 0.99) if "data" not in part or kept < 0.5]
"""What lies last in the values of TensorFlow 2 is not a variable."""


@pytest.mark.parametrize(("part", "kept"), CUTS)
@pytest.mark.parametrize("version", ["first", "second"])
def test_files_that_are_cut_off(version: str, part: str, kept: float, request: Any, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(request.getfixturevalue(version), tmp_path / "copy"))
    data = (folder / part).read_bytes()
    (folder / part).write_bytes(data[: int(len(data) * kept)])
    signature = "one" if version == "first" else "both"
    with pytest.raises(ModelError):
        import_saved_model(Request((folder,), signature=signature))


@pytest.mark.parametrize("missing", ["variables", "variables/variables.index", "saved_model.pb"])
def test_a_missing_part_is_told(missing: str, second: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(second, tmp_path / "copy"))
    path = folder / missing
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises((ModelError, UsageError), match=r"without values|no variables.index|no saved_model.pb"):
        import_saved_model(Request((folder,)))
