"""`ostiary-convert compare` as a person and as a program meet it."""

from __future__ import annotations

import json
import math
from pathlib import Path

import cv2
import numpy as np
import pytest

from convert.cli import main
from convert.cli.compare import parse_count, parse_positive, parse_size, parse_value
from convert.cli.table import decibels, number, shortened, table
from edge.bundle import default_bundle_folder
from edge.errors import EXIT_OK, EXIT_OTHER, EXIT_REJECTED, EXIT_USAGE
from tests.convert import onnx_files

pytest.importorskip("onnx", reason="the onnx package is not installed")
EMBEDDER = str(default_bundle_folder() / "embedder.tflite")
OPENCV = ("--reference-runtime", "opencv", "--artifact-runtime", "opencv", "--random", "2")


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    """A network, and the same with a changed weight in its third layer."""
    made = onnx_files.five_layers()
    right = onnx_files.write(made, tmp_path / "right.onnx")
    return str(right), str(onnx_files.write(onnx_files.with_changed_weight(made, "c2_1"), tmp_path / "wrong.onnx"))


def test_the_same_network_passes(files: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    right, _ = files
    assert main(["compare", right, right, *OPENCV, "--layers"]) == EXIT_OK
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("reference  right.onnx in cv2.dnn ")
    assert lines[2] == "inputs     2 pictures of random pixels, seed 0"
    assert lines[4].split() == [
        "output",
        "cosine",
        "1",
        "%",
        "worst",
        "difference",
        "std",
        "max",
        "relative",
        "SNR",
        "dB",
    ]
    assert lines[5].split() == ["t5", *["1.000000"] * 3, "0", "0", "0", "0", "exact"]
    assert "6 layers of 6 compared; the lowest SNR:" in lines
    assert "No layer differs by more than 0.001 of its largest magnitude." in lines
    assert lines[-1] == "within the tolerance: relative difference 0, at most 1.0e-04"
    assert max(map(len, lines)) <= 100


def test_a_changed_weight_is_exit_code_4_and_its_layer_is_named(
    files: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", *files, *OPENCV, "--layers"]) == EXIT_REJECTED
    lines = capsys.readouterr().out.splitlines()
    first = lines.index("The first layer that differs by more than 0.001 of its largest magnitude:")
    assert lines[first + 2].split()[:2] == ["t2", "1x4x8x8"]
    assert lines[-1].startswith("BEYOND the tolerance")


def test_json(files: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", *files, *OPENCV, "--layers", "--json"]) == EXIT_REJECTED
    found = json.loads(capsys.readouterr().out)
    assert found["passed"] is False
    assert found["layers"]["first_beyond"]["layer"] == "t2"
    assert found["outputs"][0]["difference_relative"] > found["tolerance"] == 1e-4
    assert {"cosine_mean", "cosine_p1", "cosine_worst", "difference_mean", "difference_std", "difference_max"} <= set(
        found["outputs"][0]
    )


def test_integers_are_judged_only_when_asked(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", EMBEDDER, EMBEDDER, "--random", "1"]) == EXIT_OK
    assert capsys.readouterr().out.splitlines()[-1] == "uint8: not judged without --tolerance"
    other = ["--artifact-mean", "60", "--tolerance", "0.01"]
    assert (
        main(["compare", EMBEDDER, EMBEDDER, "--random", "1", "--mean", "127.5", "--std", "127.5", *other])
        == EXIT_REJECTED
    )


def test_mistakes_get_a_sentence_and_an_exit_code(
    files: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    right, _ = files
    (tmp_path / "empty").mkdir()
    (tmp_path / "faceless").mkdir()
    (tmp_path / "damaged").mkdir()
    cv2.imwrite(str(tmp_path / "faceless" / "grey.png"), np.full((200, 200, 3), 128, np.uint8))
    (tmp_path / "damaged" / "picture.jpg").write_bytes(b"damaged")
    (tmp_path / "cut.onnx").write_bytes(Path(right).read_bytes()[:200])
    (tmp_path / "cut.tflite").write_bytes(Path(EMBEDDER).read_bytes()[:2000])
    align = ["--align", "arcface-112x112", "--images"]
    same, of_opencv = [EMBEDDER, EMBEDDER], ["--artifact-runtime", "opencv"]
    cases = [
        ([right, str(tmp_path / "absent.onnx"), "--reference-runtime", "opencv"], EXIT_USAGE, "no such file"),
        ([str(tmp_path / "cut.onnx"), right, "--reference-runtime", "opencv"], EXIT_REJECTED, "cut.onnx"),
        ([str(tmp_path / "cut.tflite"), EMBEDDER], EXIT_REJECTED, "cut.tflite"),
        ([*same, "--images", str(tmp_path / "absent")], EXIT_USAGE, "no such file or folder"),
        ([*same, "--images", str(tmp_path / "empty")], EXIT_USAGE, "holds no pictures"),
        ([*same, "--images", str(tmp_path / "damaged")], EXIT_OTHER, "picture.jpg"),
        ([*same, *align, str(tmp_path / "faceless")], EXIT_USAGE, "no face in 1 picture"),
        ([*same, "--align", "arcface-112x112"], EXIT_USAGE, "--align without pictures"),
        ([*same, *of_opencv], EXIT_USAGE, "opencv does not run it"),
        ([right, EMBEDDER, "--reference-runtime", "opencv"], EXIT_REJECTED, "expected"),
    ]
    for arguments, code, said in cases:
        assert main(["compare", *arguments]) == code, arguments
        shown = capsys.readouterr()
        assert said in shown.err
        assert "Traceback" not in shown.err
        assert shown.out == ""


@pytest.mark.parametrize("arguments", [["--tolerance", "0"], ["--random", "0"], ["--size", "240"], ["--set", "x=a"]])
def test_options_that_cannot_be_meant(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["compare", EMBEDDER, EMBEDDER, *arguments])
    assert caught.value.code == EXIT_USAGE
    assert "expected" in capsys.readouterr().err


def test_options() -> None:
    assert parse_size("240x320") == (240, 320)
    assert parse_count("7") == 7
    assert parse_positive("1e-4") == 1e-4
    name, value = parse_value("thresholds=0.6,0.7,0.7")
    assert name == "thresholds"
    np.testing.assert_array_equal(value, np.array([0.6, 0.7, 0.7], np.float32))
    assert parse_value("a=b=20") == ("a=b", 20.0)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.0, "0"),
        (1.23456, "1.23"),
        (0.00145, "0.00145"),
        (4.8e-6, "4.8e-06"),
        (math.inf, "infinite"),
        (123456.0, "1.2e+05"),
    ],
)
def test_numbers_of_any_size_are_short(value: float, shown: str) -> None:
    assert number(value) == shown


def test_a_table_that_is_too_wide_becomes_paragraphs(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"name": "a", "value": "1"}, {"name": "long", "value": "22"}]
    assert table(rows, left=("name",)) == "  name  value\n  a         1\n  long     22"
    monkeypatch.setenv("COLUMNS", "12")
    assert table(rows) == "  name   a\n  value  1\n\n  name   long\n  value  22"
    assert shortened("abcdefghij", 5) == "ab…ij"
    assert (decibels(math.inf), decibels(-math.inf), decibels(12.345)) == ("exact", "none", "12.3")
