"""`ostiary-convert inspect` and `graph`, on the small network of every source format and on files that are none."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from convert.importers import companions
from edge.bundle import default_bundle_folder
from edge.errors import EXIT_OK, EXIT_REJECTED, EXIT_USAGE
from tests.convert import onnx_files
from tests.convert.cli.commands import run
from tests.convert.every_format.design import EMBEDDING, weights
from tests.convert.every_format.makers import SOURCES
from tests.convert.networks import network

pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed (pip install 'ostiary[convert]')")
# TensorFlow 2.19 and PyTorch announce what their next versions drop.
pytestmark = pytest.mark.filterwarnings("ignore")
EMBEDDER = default_bundle_folder() / "embedder.tflite"
NEEDS_TENSORFLOW = ("frozen graph", "tf1 checkpoint", "saved model", "keras", "tflite")
WEIGHTS_ALONE = {"state dict", "numpy"}
PARAMETERS = sum(value.size for value in weights().values())


@pytest.mark.parametrize("name", sorted(SOURCES.keys() - WEIGHTS_ALONE))
def test_every_format(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if name.startswith(NEEDS_TENSORFLOW):
        pytest.importorskip("tensorflow", reason="TensorFlow is not installed", exc_type=ImportError)
    source = SOURCES[name]
    files = source.make(tmp_path, weights())
    told = [f"--shape={','.join(map(str, shape))}" for shape in source.shapes.values()]
    said = run(capsys, "inspect", files[0], *told, "--json")
    assert said.code == EXIT_OK, said.err
    found = json.loads(said.out)
    assert found["format"] == source.format
    assert found["files"].keys() >= {path.name for path in companions(files[0])}
    (inside,), (outside,) = found["inputs"].values(), found["outputs"].values()
    assert (inside[1:], outside[1:]) == ([3, 24, 24], [EMBEDDING])
    # Some formats fold norms when they are written.
    assert 0.95 * PARAMETERS < found["parameters"] < 1.05 * PARAMETERS
    assert found["operators"]["Conv"] >= 4
    assert found["macs"] > 10_000
    shown = run(capsys, "inspect", files[0], *told).out.splitlines()
    assert shown[0].split() == ["format", source.format]
    assert all(not line.startswith(" ") or line.strip() for line in shown)


@pytest.mark.parametrize("name", sorted(WEIGHTS_ALONE))
def test_weights_without_an_architecture(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (path,) = SOURCES[name].make(tmp_path, weights())
    said = run(capsys, "inspect", path)
    assert said.code == EXIT_REJECTED
    assert f"{path}: weights" in said.err
    assert all(known in said.err for known in ("mobilefacenet-112x96", "minifasnet-v2", "mtcnn-onet"))
    assert "--architecture NAME" in said.err


def test_what_only_a_checkpoint_has(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("tensorflow", reason="TensorFlow is not installed", exc_type=ImportError)
    (path,) = SOURCES["tf1 checkpoint"].make(tmp_path, weights())
    shown = run(capsys, "inspect", path).out
    assert "small.data-00000-of-00001" in shown.splitlines()[1]
    assert "\nvariables   dense/bias " in shown
    variables = json.loads(run(capsys, "inspect", path, "--json").out)["details"]["variables"]
    assert ["stem/weight", "float32", "3x3x3x8"] in [row.split() for row in variables]
    assert len(variables) == 18


def test_what_only_a_tflite_file_has(capsys: pytest.CaptureFixture[str]) -> None:
    said = run(capsys, "inspect", EMBEDDER, "--json")
    details = json.loads(said.out)["details"]
    assert "uint8, scale" in details["quantisation"]
    assert "zero point" in details["quantisation"]
    assert details["tflite-runtime 2.14"] == "knows every operator of it"


def test_several_ends_are_listed_and_chosen(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = onnx_files.write(onnx_files.two_inputs_two_outputs(), tmp_path / "two.onnx")
    shown = run(capsys, "inspect", path).out.splitlines()
    assert shown[2:6] == [
        "input       left  1x3x2x3",
        "            right  1x3x2x3",
        "output      sum  1x3x2x3",
        "            difference  1x3x2x3",
    ]
    chosen = json.loads(run(capsys, "inspect", path, "--output-name", "sum", "--json").out)
    assert chosen["outputs"].keys() == {"sum"}
    assert chosen["operators"] == {"Add": 1}
    wrong = run(capsys, "inspect", path, "--output-name", "product")
    assert (wrong.code, "no output product; expected some of: sum, difference" in wrong.err) == (EXIT_USAGE, True)
    half = run(capsys, "inspect", path, "--input", "left")
    assert (half.code, "depend on the input right" in half.err) == (EXIT_USAGE, True)


def test_an_inner_tensor_as_an_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = onnx_files.write(onnx_files.five_layers(), tmp_path / "five.onnx")
    found = json.loads(run(capsys, "inspect", path, "--input", "t1", "--output-name", "t3", "--json").out)
    assert found["inputs"] == {"t1": [1, 4, 8, 8]}
    assert found["outputs"] == {"t3": [1, 4, 8, 8]}


MISTAKES: dict[str, tuple[list[str], int, str]] = {
    "truncated": (["cut.onnx"], EXIT_REJECTED, "cut.onnx: not a sound ONNX file"),
    "truncated TFLite": (["cut.tflite"], EXIT_REJECTED, "cut.tflite"),
    "absent": (["absent.onnx"], EXIT_USAGE, "no such file or folder; expected an ONNX"),
    "text": (["notes.txt"], EXIT_REJECTED, "a format that is not known"),
    "folder": (["."], EXIT_REJECTED, "a format that is not known"),
    "empty": (["empty.onnx"], EXIT_REJECTED, "empty.onnx"),
    "damaged zip": (["zip.keras"], EXIT_REJECTED, "a damaged zip archive"),
    "shape": (["five.onnx", "--shape", "x=1,,2"], EXIT_USAGE, "expected sizes like 1,3,112,112"),
    "other shape": (["five.onnx", "--shape", "1,3,9,9"], EXIT_USAGE, "expected [1, 3, 8, 8]"),
}


@pytest.mark.parametrize("name", MISTAKES)
@pytest.mark.parametrize("verb", ["inspect", "graph"])
def test_mistakes(
    verb: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    whole = onnx_files.write(onnx_files.five_layers(), tmp_path / "five.onnx").read_bytes()
    (tmp_path / "cut.onnx").write_bytes(whole[:200])
    (tmp_path / "cut.tflite").write_bytes(EMBEDDER.read_bytes()[:2000])
    (tmp_path / "notes.txt").write_text("no model")
    (tmp_path / "empty.onnx").write_bytes(b"")
    (tmp_path / "zip.keras").write_bytes(b"PK\3\4 and no more")
    words, code, told = MISTAKES[name]
    said = run(capsys, verb, *words, *(["-o", "net.dot"] if verb == "graph" else []))
    assert (said.code, said.out) == (code, ""), said.err
    assert told in said.err
    assert not (tmp_path / "net.dot").exists()


def test_a_drawing_for_graphviz(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = onnx_files.write(onnx_files.five_layers(), tmp_path / "five.onnx")
    said = run(capsys, "graph", path, "-o", tmp_path / "net.dot")
    assert (said.code, said.out) == (EXIT_OK, f"{tmp_path / 'net.dot'}\n")
    text = (tmp_path / "net.dot").read_text()
    assert text.startswith("digraph network {")
    assert text.count("Conv") == 2
    assert '"image 1x3x8x8"' in text
    for name, told in {"net.xyz": "ends in .dot, .svg, .pdf, .png", "no/net.dot": "cannot be written"}.items():
        wrong = run(capsys, "graph", path, "-o", tmp_path / name)
        assert (wrong.code, told in wrong.err) == (EXIT_USAGE, True)


def test_a_drawing_of_hostile_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = onnx_files.write(hostile(), tmp_path / "hostile.onnx")
    assert run(capsys, "graph", path, "-o", tmp_path / "net.dot").code == EXIT_OK
    assert '\\"]; evil' in (tmp_path / "net.dot").read_text()
    if shutil.which("dot") is None:
        pytest.skip("Graphviz is not installed")
    assert run(capsys, "graph", path, "-o", tmp_path / "net.svg").code == EXIT_OK
    drawn = (tmp_path / "net.svg").read_text()
    assert "<script" not in drawn
    assert "&lt;script&gt;" in drawn


def hostile() -> Any:
    """An output with a name that ends a label, and one that a browser would run."""
    made = network(("Relu", [None], {}))
    renamed = onnx_files.replace(made.nodes[0], outputs=('<script>alert(1)</script>"]; evil',))
    return onnx_files.replace(made, nodes=(renamed,), outputs=renamed.outputs)
