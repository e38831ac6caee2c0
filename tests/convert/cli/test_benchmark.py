"""`ostiary-convert benchmark`: which runtimes take part, and what is printed; never how fast."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from convert.cli import main
from edge.bundle import default_bundle_folder
from edge.errors import EXIT_OK, EXIT_REJECTED, EXIT_USAGE
from tests.convert import onnx_files
from tests.support.data import ROOT

pytest.importorskip("onnx", reason="the onnx package is not installed")
MODELS = ROOT / "tests" / "support" / "models"
HAS_ONNX_RUNTIME = importlib.util.find_spec("onnxruntime") is not None


@pytest.fixture
def network(tmp_path: Path) -> str:
    """An ONNX file."""
    return str(onnx_files.write(onnx_files.five_layers(), tmp_path / "net.onnx"))


def test_one_network_in_every_runtime(network: str, capsys: pytest.CaptureFixture[str]) -> None:
    files = [network, str(MODELS / "float32.tflite"), str(MODELS / "uint8.tflite")]
    assert main(["benchmark", *files, "--runs", "5", "--json"]) == EXIT_OK
    shown = capsys.readouterr()
    found = json.loads(shown.out)
    runners = [row["runner"].split()[0] for row in found["results"]]
    assert runners[-3] == "cv2.dnn"
    assert runners[-2] == runners[-1]
    assert runners[-1] in {"ai-edge-litert", "tflite-runtime"}
    assert ("onnxruntime" in runners) == HAS_ONNX_RUNTIME
    assert [row["precision"] for row in found["results"]][-2:] == ["float32", "uint8"]
    assert {row["runs"] for row in found["results"]} == {5}
    assert found["results"][0]["ratio"] == 1.0
    assert not any(row["includes_layout"] for row in found["results"])
    assert (found["threads"], found["baseline"]) == (1, "net.onnx")
    # What cannot take part is told, and the rest goes on.
    assert ("onnxruntime is not installed" in shown.err) != HAS_ONNX_RUNTIME


def test_for_a_person(capsys: pytest.CaptureFixture[str]) -> None:
    files = [str(MODELS / "float32.tflite"), str(default_bundle_folder() / "embedder.tflite")]
    assert main(["benchmark", *files, "--runs", "5", "--baseline", files[1]]) == EXIT_OK
    lines = capsys.readouterr().out.splitlines()
    assert lines[1:3] == ["threads  1", "rounds   5"]
    assert lines[4].split() == ["file", "runtime", "weights", "median", "ms", "p95", "ms", "ratio"]
    assert lines[-1].split()[0] == "embedder.tflite"
    assert lines[-1].split()[-1] == "1.00"


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["absent.onnx"], EXIT_USAGE, "no such file"),
        ([str(ROOT / "pyproject.toml")], EXIT_REJECTED, "a format that is not known"),
        ([str(MODELS / "float32.tflite"), "--baseline", "other.tflite"], EXIT_USAGE, "no file other.tflite"),
        ([str(MODELS / "unknown-op.tflite")], EXIT_REJECTED, "refuses it"),
    ],
)
def test_mistakes(arguments: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["benchmark", *arguments, "--runs", "1"]) == code
    shown = capsys.readouterr()
    assert said in shown.err
    assert shown.out == ""
