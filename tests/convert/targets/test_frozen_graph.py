from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from convert.importers.base import Request
from convert.importers.onnx import import_onnx
from convert.network import Node
from convert.passes.tidy import tidy
from convert.runners.opencv import OpenCvRunner
from convert.targets.base import Options
from convert.targets.frozen_graph import frozen_graph, prove, write_frozen_graph
from edge.errors import ModelError
from tests.convert.networks import CASES, conv, network, step
from tests.convert.targets.tensorflow_ops.cases import CASES as MORE
from tests.convert.targets.tensorflow_ops.running import expected_of, feeds_of
from tests.support.data import test_data

pytest.importorskip("tensorflow", reason="TensorFlow is not installed (pip install 'ostiary[convert]')")
pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed (pip install 'ostiary[convert]')")
# TensorFlow and its dependencies warn about themselves.
pytestmark = pytest.mark.filterwarnings("ignore")


def test_one_file_the_same_bytes_every_time(tmp_path: Path) -> None:
    first, second = tmp_path / "a.pb", tmp_path / "b.pb"
    assert write_frozen_graph(CASES["prelu"](), first, Options()) == [first]
    write_frozen_graph(CASES["prelu"](), second, Options())
    assert first.read_bytes() == second.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.pb", "b.pb"]


def test_a_text_graph_when_asked_for(tmp_path: Path) -> None:
    made, path = CASES["prelu"](), tmp_path / "a.pb"
    written = write_frozen_graph(made, path, Options(batch=2, with_text=True))
    assert written == [path, tmp_path / "a.pbtxt"]
    feeds = feeds_of(made, 2)
    found = OpenCvRunner(path, config=written[1]).run(feeds)
    assert np.abs(found["t1"] - expected_of(made, feeds)["t1"]).max() < 1e-5


def test_an_open_batch_is_proved_on_two_pictures(tmp_path: Path) -> None:
    made, path = CASES["residual"](), tmp_path / "a.pb"
    write_frozen_graph(made, path, Options(batch=None))
    feeds = feeds_of(made, 3)
    assert np.abs(OpenCvRunner(path).run(feeds)["t2"] - expected_of(made, feeds)["t2"]).max() < 1e-5


def test_a_batch_that_opencv_cannot_leave_open(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="OpenCV") as caught:
        write_frozen_graph(MORE["conv transpose"](), tmp_path / "a.pb", Options(batch=None))
    assert "fixed number of pictures" in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_what_opencv_does_not_have_is_not_written(tmp_path: Path) -> None:
    made = network(conv(4, 3), step("Relu"))
    unknown = replace(made, nodes=(*made.nodes, Node("ArgMax", "best", ("t1",), ("t2",))), outputs=("t2",))
    with pytest.raises(ModelError, match="ArgMax 'best'"):
        write_frozen_graph(unknown, tmp_path / "a.pb", Options())
    assert not list(tmp_path.iterdir())


def test_what_opencv_reads_wrongly_is_found(tmp_path: Path) -> None:
    made, other = (frozen_graph(network(conv(4, 3, pads=pads))) for pads in ((1, 1, 1, 1), (2, 0, 2, 0)))
    path = tmp_path / "a.pb"
    path.write_bytes(other.graph_def.SerializeToString())
    with pytest.raises(ModelError, match="otherwise than TensorFlow"):
        prove(network(conv(4, 3, pads=(1, 1, 1, 1))), made, path, None)


@pytest.mark.parametrize(
    "file", [("yunet", "yunet_n_320_320.onnx"), ("ultralight", "version-RFB-320_without_postprocessing.onnx")]
)
def test_published_detectors(file: tuple[str, str], tmp_path: Path) -> None:
    imported = import_onnx(Request((test_data("models", *file),)))
    made, path = tidy(imported.network), tmp_path / "a.pb"
    write_frozen_graph(made, path, Options())
    feeds = {name: value * 255 for name, value in feeds_of(made, 1).items()}
    runner = OpenCvRunner(path)
    assert set(runner.outputs) == set(made.outputs)
    found, expected = runner.run(feeds), imported.reference.run(feeds)
    for name in made.outputs:
        assert np.abs(found[name] - expected[name]).max() <= 1e-4 * np.abs(expected[name]).max()
