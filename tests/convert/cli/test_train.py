"""`ostiary-convert train`: from a teacher's file to a uint8 student, and on from where it stopped."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from convert.cli import main
from convert.targets.tflite import describe_tflite
from convert.train.embedder.faces import Faces, save
from convert.train.embedder.student import network_of, parts_of, student
from edge.errors import EXIT_OK, EXIT_REJECTED, EXIT_USAGE
from tests.support.data import test_data

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")
pytest.importorskip("tensorflow", reason="TensorFlow is not installed")

PEOPLE = 45


@pytest.fixture
def arguments(tmp_path: Path) -> list[str]:
    """A run whose faces are found already; its teacher is a network of the student's form and other weights."""
    from convert.targets.base import Options
    from convert.targets.onnx import write_onnx

    torch.manual_seed(11)
    parts = parts_of()
    teacher = network_of(student(parts).eval(), parts, input_name="face", output_name="embedding")
    write_onnx(teacher, tmp_path / "teacher.onnx", Options())
    picture = tmp_path / "pictures" / "P0" / "P0_0001.jpg"
    picture.parent.mkdir(parents=True)
    cv2.imwrite(str(picture), np.zeros((64, 64, 3), np.uint8))
    (tmp_path / "people.txt").write_text("P0\n")
    faces = np.random.default_rng(8).integers(0, 256, (PEOPLE, 144, 144, 3), dtype=np.uint8)
    save(Faces(faces, tuple(f"P{place}/P{place}_0001.jpg" for place in range(PEOPLE))), tmp_path / "run")
    given = {
        "--teacher": tmp_path / "teacher.onnx",
        "--images": tmp_path / "pictures",
        "--people": tmp_path / "people.txt",
        "--threads": 1,
        "-o": tmp_path / "run",
    }
    return [str(word) for pair in given.items() for word in pair]


@pytest.mark.slow
def test_it_makes_a_student_and_goes_on(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    steps = ["--parts", "1", "--joined", "1", "--search", "2", "--integer", "1"]
    assert main(["train", "embedder", *arguments, *steps]) == EXIT_OK
    run = tmp_path / "run"
    told = capsys.readouterr()
    assert told.out == f"{run / 'student.tflite'}\n"
    assert "differs from what was trained by 0 steps at most" in told.err
    view = describe_tflite((run / "student.tflite").read_bytes())
    assert [(port.dtype, port.shape) for port in (*view.inputs, *view.outputs)] == [
        ("uint8", (1, 112, 112, 3)),
        ("uint8", (1, 128)),
    ]
    record = json.loads((run / "training.json").read_text())
    assert [phase["name"] for phase in record["phases"]] == ["parts", "joined-1", "integer-1"]
    assert [phase["steps_taken"] for phase in record["phases"]] == [1, 1, 1]
    assert record["faces"] == PEOPLE
    assert "teacher.onnx" in record["teacher"]
    assert {"parts.svg", "joined-1.svg", "integer-1.svg"} <= {path.name for path in run.iterdir()}
    before = (run / "student.tflite").read_bytes()
    assert main(["train", "embedder", *arguments, *steps]) == EXIT_OK
    assert (run / "student.tflite").read_bytes() == before
    assert "going on from step 1 of 1" in capsys.readouterr().err


@pytest.mark.slow
def test_a_teacher_is_tuned_itself(arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "tune", *arguments, "--search", "2", "--integer", "1"]) == EXIT_OK
    assert "differs from what was trained by 0 steps" in capsys.readouterr().err
    record = json.loads((tmp_path / "run" / "training.json").read_text())
    assert [phase["name"] for phase in record["phases"]] == ["integer-1"]


@pytest.mark.parametrize(
    ("changed", "code", "said"),
    [
        (["--parts", "0"], EXIT_USAGE, "--parts 0; expected 1 or more"),
        (["--search", "1"], EXIT_USAGE, "--search 1; expected 2 or more"),
        (["--integer", "-1"], EXIT_USAGE, "--integer -1; expected 0 or more"),
        (["--teacher", "no.onnx"], EXIT_USAGE, "no.onnx"),
        (["--people", "no.txt"], EXIT_USAGE, "no.txt"),
        (["--images", "no.tar"], EXIT_USAGE, "no.tar"),
    ],
)
def test_mistakes_are_told(
    arguments: list[str], capsys: pytest.CaptureFixture[str], changed: list[str], code: int, said: str
) -> None:
    assert main(["train", "embedder", *arguments, *changed]) == code
    told = capsys.readouterr().err
    assert said in told
    assert "Traceback" not in told


@pytest.mark.parametrize(
    ("changed", "code", "said"),
    [
        (["--steps", "0"], EXIT_USAGE, "--steps 0; expected 1 or more"),
        (["--people", "no.txt"], EXIT_USAGE, "no.txt"),
        ([], EXIT_USAGE, "pictures of 1 of the people listed; expected at least 50"),
    ],
)
def test_mistakes_about_a_detector_are_told(
    arguments: list[str], capsys: pytest.CaptureFixture[str], changed: list[str], code: int, said: str
) -> None:
    teacher = ["--teacher", str(test_data("models/yunet/yunet_n_320_320.onnx"))]
    assert main(["train", "detector", *arguments, *teacher, *changed]) == code
    assert said in capsys.readouterr().err


def test_a_teacher_that_gives_no_embedding_is_refused(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from convert.network import Node, single
    from convert.targets.base import Options
    from convert.targets.onnx import write_onnx

    network = single("face", (None, 3, 112, 112), "map", (Node("Relu", "r", ("face",), ("map",)),), {})
    write_onnx(network, tmp_path / "teacher.onnx", Options())
    assert main(["train", "embedder", *arguments]) == EXIT_REJECTED
    assert "expected an embedding" in capsys.readouterr().err
