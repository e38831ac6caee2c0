from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import cv2
import pytest

from convert.cli import main
from edge import __version__
from edge.datatypes import Image
from edge.errors import EXIT_OK, EXIT_OTHER, EXIT_REJECTED, EXIT_USAGE

PAIRS = "2\t1\nAda\t1\t2\nAda\t1\tBob\t1\nAda\t1\t2\nAda\t2\tBob\t1\n"


@pytest.fixture
def folder(tmp_path: Path, hopper: Image, collins: Image) -> Path:
    """Two pictures of one person, one of another, pairs, people, and stand-ins for the weights."""
    for name, image in (("Ada_0001", hopper), ("Ada_0002", cv2.flip(hopper, 1)), ("Bob_0001", collins)):
        path = tmp_path / "pictures" / name.split("_", maxsplit=1)[0] / f"{name}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(path), image)
    (tmp_path / "pairs.txt").write_text(PAIRS)
    (tmp_path / "people.txt").write_text("Ada\n")
    (tmp_path / "weights").mkdir()
    for name in ("detector.onnx", "embedder.onnx"):
        (tmp_path / "weights" / name).write_bytes(b"no network")
    return tmp_path


def evaluate(folder: Path, *more: str) -> list[str]:
    return ["evaluate", "--images", str(folder / "pictures"), "--pairs", str(folder / "pairs.txt"), *more]


def build(folder: Path, output: str = "out") -> list[str]:
    places = {"--source": "weights", "--images": "pictures", "--identities": "people.txt", "-o": output}
    return ["default-bundle", *(word for option, name in places.items() for word in (option, str(folder / name)))]


def test_evaluate_prints_json(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(evaluate(folder, "--json")) == EXIT_OK
    result = json.loads(capsys.readouterr().out)
    assert result["accuracy_mean"] == 1.0
    assert result["folds"] == [1.0, 1.0]
    assert set(result["tar"]) == {"1e-2", "1e-3"}
    assert (result["pairs"], result["pictures"], result["failures_to_acquire"]) == (4, 3, 0)
    assert -1 < result["threshold"] < 1


def test_evaluate_prints_for_people(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(evaluate(folder)) == EXIT_OK
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:4] == ["accuracy", "100.00%", "±", "0.00%"]
    assert lines[0].endswith("over 2 folds, 4 pairs")
    assert lines[-2] == "no face found      in 0 of 3 pictures"


def test_mistakes_get_a_sentence_and_an_exit_code(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "pictures" / "Bob" / "Bob_0001.jpg").write_bytes(b"damaged")
    (folder / "cut.txt").write_text(PAIRS[:-14])
    (folder / "others.txt").write_text(PAIRS.replace("Bob", "Cyd"))
    cases = [
        (evaluate(folder), EXIT_OTHER, "Bob_0001.jpg"),
        (evaluate(folder, "--pairs", str(folder / "cut.txt")), EXIT_USAGE, "expected 4 by its header"),
        (evaluate(folder, "--pairs", str(folder / "others.txt")), EXIT_USAGE, "Cyd/Cyd_0001.jpg"),
        (evaluate(folder, "--images", str(folder / "absent")), EXIT_USAGE, "no such file or folder"),
        (evaluate(folder, "--bundle", str(folder)), EXIT_REJECTED, "manifest.json"),
        ([], EXIT_USAGE, "usage: ostiary-convert"),
    ]
    for arguments, code, said in cases:
        assert main(arguments) == code, arguments
        shown = capsys.readouterr()
        assert said in shown.err
        assert "Traceback" not in shown.err
        assert shown.out == ""


def test_building_without_tensorflow_names_the_extra(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    assert main(build(folder)) == EXIT_USAGE
    assert "pip install 'ostiary[convert]'" in capsys.readouterr().err
    assert not (folder / "out").exists()


def test_building_from_no_network_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("tensorflow", reason="TensorFlow is not installed", exc_type=ImportError)
    assert main(build(folder)) == EXIT_REJECTED
    assert "not a sound ONNX file" in capsys.readouterr().err
    assert not (folder / "out").exists()


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == EXIT_OK
    assert capsys.readouterr().out == f"ostiary-convert {__version__}\n"


@pytest.mark.parametrize("command", [[], ["evaluate"], ["default-bundle"]])
def test_help(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([*command, "--help"])
    assert caught.value.code == EXIT_OK
    assert "usage: ostiary-convert" in capsys.readouterr().out


def test_slow_packages_are_loaded_only_where_they_are_used() -> None:
    script = """
import importlib, pkgutil, sys, convert
for module in pkgutil.walk_packages(convert.__path__, "convert."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
print(sorted({"tensorflow", "onnx", "torch"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.stdout == "[]\n", done.stderr
