"""`python -m convert` in a process of its own: without a network, piped, and with exit codes a shell sees."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from edge.errors import EXIT_OK, EXIT_REJECTED, EXIT_UNAVAILABLE, EXIT_USAGE
from tests.convert.cli.commands import AS_EMBEDDER, command, environment, run_apart
from tests.convert.every_format import tensorflow_makers
from tests.convert.every_format.design import weights

pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed (pip install 'ostiary[convert]')")
# TensorFlow 2.19 announces what its next version drops.
pytestmark = pytest.mark.filterwarnings("ignore")


def cut_off() -> list[str]:
    """What to write before a command to run it without any network; skips the test where that is not permitted."""
    words = ["unshare", "-rn"]
    if shutil.which("unshare") is None or subprocess.run([*words, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine lets no program be cut off from the network (unshare -rn)")
    return words


def test_a_bundle_without_a_network(model: Path, faces: Path, tmp_path: Path) -> None:
    asked = ["--embedder", "opencv-float32", "--calibration", faces, "-o", "bundle"]
    built = run_apart([*cut_off(), *command("build", model, *AS_EMBEDDER, *asked)], tmp_path)
    assert built.code == EXIT_OK, built.err
    seen = run_apart([*cut_off(), *command("inspect", "bundle/embedder.onnx", "--json")], tmp_path)
    assert seen.code == EXIT_OK, seen.err
    assert json.loads(seen.out)["inputs"] == {"image": [1, 3, 112, 112]}


@pytest.mark.slow
def test_a_tensorflow_graph_without_a_network(faces: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorflow", reason="TensorFlow is not installed", exc_type=ImportError)
    (graph,) = tensorflow_makers.frozen_graph(tmp_path, weights())
    asked = ["--target", "tflite-uint8", "--target", "onnx", "--calibration", faces, "--std", "255", "-o", "out"]
    built = run_apart([*cut_off(), *command("build", graph, *asked)], tmp_path)
    assert built.code == EXIT_OK, built.err
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"report.json", "small.onnx", "small.uint8.tflite"}
    seen = run_apart([*cut_off(), *command("inspect", graph, "--json")], tmp_path)
    assert seen.code == EXIT_OK, seen.err
    assert json.loads(seen.out)["format"] == "frozen-graph"


def test_fetching_without_a_network_says_what_to_do(tmp_path: Path) -> None:
    said = run_apart([*cut_off(), *command("fetch", "yunet", "-o", "here")], tmp_path)
    assert said.code == EXIT_UNAVAILABLE
    assert "cannot be fetched" in said.err
    assert "copy the files to here from a machine that has one" in said.err


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        ([], EXIT_USAGE, "usage: ostiary-convert"),
        (["build", "x.onnx"], EXIT_USAGE, "the following arguments are required: -o/--output"),
        (["inspect", "x.onnx"], EXIT_USAGE, "ostiary-convert: x.onnx: no such file or folder"),
        (["report", "."], EXIT_REJECTED, "report.json: cannot be read"),
    ],
)
def test_exit_codes(words: list[str], code: int, told: str, tmp_path: Path) -> None:
    said = run_apart(command(*words), tmp_path)
    assert (said.code, said.out) == (code, "")
    assert told in said.err


def test_names_that_a_terminal_cannot_show(model: Path, tmp_path: Path) -> None:
    shutil.copy(model, tmp_path / "gesicht-ä.onnx")
    done = subprocess.run(
        command("inspect", "gesicht-ä.onnx"),
        cwd=tmp_path,
        env={**environment(), "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, "Traceback" in done.stderr) == (EXIT_OK, False), done.stderr
    assert "gesicht-\\xe4.onnx" in done.stdout


def test_a_reader_that_leaves(tmp_path: Path) -> None:
    script = f"set -o pipefail; {' '.join(command('models'))} | true"
    done = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
