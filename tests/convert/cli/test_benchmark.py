"""`ostiary-convert benchmark`: which runtimes take part, and what is printed; never how fast."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from convert.benchmark import BOARDS
from convert.benchmark.emulated import Counted, Difference
from convert.benchmark.emulator import Count
from convert.cli import benchmark, main
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
        ([str(MODELS / "float32.tflite"), "--emulate", "pi4", "--threads", "2"], EXIT_USAGE, "one thread"),
        ([str(MODELS / "float32.tflite"), "--emulate", "pi4", "--size", "8x8"], EXIT_USAGE, "networks of one size"),
        # Whatever is missing first: the emulator, the compiler, or the root.
        ([str(MODELS / "float32.tflite"), "--emulate", "pi5", "--root", "absent"], EXIT_USAGE, "ostiary-convert: "),
    ],
)
def test_mistakes(arguments: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["benchmark", *arguments, "--runs", "1"]) == code
    shown = capsys.readouterr()
    assert said in shown.err
    assert shown.out == ""


def test_the_boards_of_the_command_line_are_all_there_are() -> None:
    assert set(benchmark.BOARD_NAMES) == set(BOARDS)


def counted(file: str, count: Count, ratio: float | None, difference: Difference) -> Counted:
    return Counted(file, "test 1.0", "uint8", count, 3, ratio, difference)


def test_counts_for_a_person() -> None:
    results = [
        counted("a.tflite", Count(90_123_456, 0), 1.0, Difference(2e-6, is_steps=False, cosine=1.0)),
        counted("c.tflite", Count(1_000_000, 0), None, Difference(0.0, is_steps=True, cosine=1.0)),
        counted("b.tflite", Count(45_061_728, 13_443_328), 0.5, Difference(3.0, is_steps=True, cosine=0.99876)),
    ]
    lines = benchmark.shown_counts(results, BOARDS["pi4"], "qemu-aarch64 7.2").splitlines()
    assert "Raspberry Pi 4: cortex-a72, emulated by qemu-aarch64 7.2" in lines[0]
    assert lines[-2].split() == ["c.tflite", "test", "1.0", "uint8", "1.00", "0.00", "-", "0", "steps", "1.00000"]
    assert lines[-3].split() == ["a.tflite", "test", "1.0", "uint8", "90.12", "0.00", "1.00", "2.0e-06", "1.00000"]
    assert lines[-1].split() == ["b.tflite", "test", "1.0", "uint8", "45.06", "13.44", "0.50", "3", "steps", "0.99876"]


def test_counts_for_a_program() -> None:
    row = counted(
        "b.tflite", Count(45_061_728, 13_443_328), 1 / 3, Difference(3.0, is_steps=True, cosine=0.99876)
    ).as_dict()
    assert (row["instructions"], row["dot_products"], row["spread"], row["ratio"]) == (
        45_061_728,
        13_443_328,
        3,
        0.3333,
    )
    assert (row["greatest_difference"], row["difference_in_steps"], row["cosine"]) == (3.0, True, 0.99876)
