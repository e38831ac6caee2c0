"""`ostiary-convert quantise`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edge.errors import EXIT_OK, EXIT_REJECTED, EXIT_USAGE
from tests.convert import onnx_files
from tests.convert.cli.commands import AS_EMBEDDER, run
from tests.convert.networks import FLATTEN, conv, network, step
from tests.convert.quantise.prelus import spread

pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed (pip install 'ostiary[convert]')")
pytest.importorskip("tensorflow", reason="TensorFlow is not installed", exc_type=ImportError)


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """112x112 to a row of 16, with a PReLU."""
    made = network(conv(8, 3, (7, 7), strides=(7, 7)), spread(8), conv(16, 8, (16, 16)), FLATTEN, size=112)
    return onnx_files.write(made, tmp_path_factory.mktemp("nets") / "net.onnx")


def test_it_writes_the_artifact_the_recipe_and_the_picture(
    net: Path, faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "out"
    asked = ("--calibration", faces, "--count", "6", "--evaluations", "30", "-o", folder)
    said = run(capsys, "quantise", net, *AS_EMBEDDER, *asked)
    assert said.code == EXIT_OK
    assert {path.name for path in folder.iterdir()} == {
        "net.uint8.tflite", "quantisation.json", "sensitivity.svg", "sensitivity.png",
    }  # fmt: skip
    told = json.loads((folder / "quantisation.json").read_text(encoding="utf-8"))
    assert told["nodes"] == told["delegated_nodes"] > 0
    assert told["bytes"] == pytest.approx((folder / "net.uint8.tflite").stat().st_size, abs=200)
    assert told["normalisation"] == {"mean": 128.0, "std": 128.0}
    assert [one["unit"] for one in told["sensitivity"]] == ["node0", "node2"]
    assert "balance 0.5 by extremes" in said.out
    assert "cosine" in said.err


def test_json_and_a_short_budget(net: Path, faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ("--calibration", faces, "--count", "6", "--evaluations", "3", "--json", "-o", tmp_path / "out")
    said = run(capsys, "quantise", net, *AS_EMBEDDER, *asked)
    assert said.code == EXIT_OK
    assert len(json.loads(said.out)["tried"]) == 3
    assert not (tmp_path / "out" / "sensitivity.svg").exists()


def test_a_network_that_is_no_embedder_is_refused(
    net: Path, faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = run(capsys, "quantise", net, "--calibration", faces, "-o", tmp_path / "out")
    assert said.code == EXIT_USAGE
    assert "a model of role other; expected an embedder" in said.err
    assert not (tmp_path / "out").exists()


def test_a_network_without_integers_leaves_nothing(
    faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = network(conv(8, 3, (7, 7), strides=(7, 7)), step("Elu"), conv(16, 8, (16, 16)), FLATTEN, size=112)
    path = onnx_files.write(made, tmp_path / "elu.onnx")
    said = run(capsys, "quantise", path, *AS_EMBEDDER, "--calibration", faces, "--count", "6", "-o", tmp_path / "out")
    assert said.code == EXIT_REJECTED
    assert "Elu 'node1'" in said.err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("option", [("--evaluations", "0"), ("--minutes", "-1")])
def test_a_budget_of_nothing_is_a_mistake(
    option: tuple[str, str], net: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = run(capsys, "quantise", net, *AS_EMBEDDER, *option, "-o", tmp_path / "out")
    assert said.code == EXIT_USAGE
    assert option[0] in said.err
