"""Files of checkpoints: which belong together, and damaged or hostile ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from convert.importers import open_source
from convert.importers.base import Request
from convert.importers.tensorflow.checkpoint import find_checkpoint, import_checkpoint, variables_of
from convert.importers.tensorflow.graph_def import import_frozen_graph
from convert.inspection.inspect import inspect
from edge.errors import ModelError, OstiaryError, UsageError
from tests.convert.importers.tensorflow.checkpoints import net, save
from tests.convert.importers.tensorflow.graphs import numbers

tf = pytest.importorskip("tensorflow", reason="tensorflow is not installed (pip install 'ostiary[convert]')")
v1 = tf.compat.v1


def files_of(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).write_bytes(b"")


@pytest.mark.parametrize("name", ["m.meta", "m", "m.index", "m.data-00000-of-00001", ""])
def test_any_of_the_files_will_do(name: str, tmp_path: Path) -> None:
    files_of(tmp_path, "m.meta", "m.index", "m.data-00000-of-00001")
    found = find_checkpoint((tmp_path / name if name else tmp_path,))
    assert (found.meta, found.prefix) == (tmp_path / "m.meta", tmp_path / "m")


def test_the_names_of_facenets_official_archive(tmp_path: Path) -> None:
    base = "model-20180402-114759"
    files_of(tmp_path, f"{base}.meta", f"{base}.ckpt-90.index", f"{base}.ckpt-275.index")
    found = find_checkpoint((tmp_path / f"{base}.meta",))
    assert found.prefix.name == f"{base}.ckpt-275"
    assert found.notes == (f"Of 2 checkpoints the newest was taken: {base}.ckpt-275.",)
    assert find_checkpoint((tmp_path / f"{base}.ckpt-90.index",)).meta == tmp_path / f"{base}.meta"
    both = find_checkpoint((tmp_path / f"{base}.meta", tmp_path / f"{base}.ckpt-90.index"))
    assert both.prefix.name == f"{base}.ckpt-90"


def test_the_newest_of_a_folder_is_what_its_state_says(tmp_path: Path) -> None:
    files_of(tmp_path, *(f"m-{step}.{part}" for step in (10, 200, 30) for part in ("meta", "index")))
    with pytest.raises(UsageError, match="3 checkpoints: m-10, m-200, m-30"):
        find_checkpoint((tmp_path,))
    (tmp_path / "checkpoint").write_text(
        'model_checkpoint_path: "/home/ann/run/m-30"\nall_model_checkpoint_paths: "m-10"\n'
    )
    found = find_checkpoint((tmp_path,))
    assert (found.prefix.name, found.notes) == ("m-30", ("Of 3 checkpoints the newest was taken: m-30.",))


def test_a_state_cannot_point_out_of_its_folder(tmp_path: Path) -> None:
    files_of(tmp_path, "m.meta", "m.index")
    (tmp_path / "checkpoint").write_text('model_checkpoint_path: "../../etc/passwd"\n')
    assert find_checkpoint((tmp_path,)).prefix == tmp_path / "m"


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        (".index", "no tiny.index"),
        (".data-00000-of-00001", "no tiny.data-00000-of-00001"),
        (".meta", "values without a graph"),
    ],
)
def test_a_missing_file_is_told(missing: str, message: str, tmp_path: Path) -> None:
    meta = save(tf, tmp_path, net)
    meta.with_suffix(missing).unlink()
    with pytest.raises(UsageError, match=message):
        import_checkpoint(Request((meta.with_suffix(".index") if missing == ".meta" else meta,)))


def test_a_folder_without_a_checkpoint_and_files_of_two(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no checkpoint"):
        import_checkpoint(Request((tmp_path,)))
    with pytest.raises(UsageError, match="several checkpoints"):
        import_checkpoint(Request((tmp_path / "a.index", tmp_path / "b.index")))


def test_variables_are_listed_and_inspected(tmp_path: Path) -> None:
    meta = save(tf, tmp_path, net)
    rows = [("b", (4,), "float32"), ("w", (3, 3, 3, 4), "float32")]
    assert variables_of(tmp_path) == rows
    meta.unlink()
    assert variables_of(tmp_path / "tiny.index") == rows
    assert variables_of(tmp_path / "tiny") == rows
    details = inspect(Request((tmp_path / "tiny",)))
    assert details["details"]["variables"] == ["b  float32  4", "w  float32  3x3x3x4"]
    assert "values without a graph" in details["problem"]


# Hostile


def test_python_in_a_graph_is_refused_and_not_run(tmp_path: Path) -> None:
    ran = []

    def build(tf: Any, x: Any) -> None:
        tf.identity(v1.py_func(lambda value: ran.append(1) or value, [net(tf, x)], tf.float32), name="z")

    meta = save(tf, tmp_path, build)
    with pytest.raises(ModelError, match="run code or touch files: PyFunc"):
        import_checkpoint(Request((meta,), outputs=("z",)))
    assert import_checkpoint(Request((meta,), outputs=("y",))).network.output_name == "y"
    assert ran == []


def test_a_file_is_never_written(tmp_path: Path) -> None:
    target = tmp_path / "written"

    def build(tf: Any, x: Any) -> None:
        with tf.control_dependencies([tf.io.write_file(str(target), "x")]):
            tf.identity(net(tf, x), name="z")

    meta = save(tf, tmp_path, build)
    with pytest.raises(ModelError, match="WriteFile"):
        import_checkpoint(Request((meta,), outputs=("z",)))
    with v1.Graph().as_default() as graph:
        x = v1.placeholder(tf.float32, (1, 6, 5, 3), name="x")
        with tf.control_dependencies([tf.io.write_file(str(target), "x")]):
            tf.nn.relu(x, name="z")
    frozen = tmp_path / "frozen.pb"
    frozen.write_bytes(graph.as_graph_def().SerializeToString())
    imported = import_frozen_graph(Request((frozen,), outputs=("z",)))
    with pytest.raises(ModelError, match="WriteFile"):
        imported.reference.run({"x": numbers(1, 3, 6, 5)})
    assert not target.exists()


@pytest.mark.parametrize("part", ["meta", "index", "data-00000-of-00001"])
@pytest.mark.parametrize("kept", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_files_that_are_cut_off(part: str, kept: float, tmp_path: Path) -> None:
    meta = save(tf, tmp_path, net)
    damaged = meta.with_suffix(f".{part}")
    data = damaged.read_bytes()
    damaged.write_bytes(data[: int(len(data) * kept)])
    with pytest.raises(OstiaryError) as caught:
        import_checkpoint(Request((meta,))).reference.run({"x": numbers(1, 3, 6, 5)})
    assert isinstance(caught.value, ModelError | UsageError)


@pytest.mark.parametrize("part", ["meta", "index", "data-00000-of-00001"])
@pytest.mark.parametrize("seed", range(8))
def test_files_with_other_bytes(part: str, seed: int, tmp_path: Path) -> None:
    meta = save(tf, tmp_path, net)
    damaged = meta.with_suffix(f".{part}")
    data = bytearray(damaged.read_bytes())
    random = np.random.default_rng(seed)
    for place in random.integers(0, len(data), 20):
        data[place] = random.integers(0, 256)
    damaged.write_bytes(data)
    try:
        network = open_source(Request((meta,))).network
    except (ModelError, UsageError) as error:
        assert str(error)  # noqa: PT017  either of both is right
    else:
        assert network.nodes
