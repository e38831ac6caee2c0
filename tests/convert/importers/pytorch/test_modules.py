"""TorchScript and torch.export, end to end."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from convert.importers.base import Request
from edge.errors import ModelError, UsageError

torch = pytest.importorskip("torch", reason="PyTorch writes and reads the files")
pytest.importorskip("onnxscript", reason="PyTorch's exporter needs it")
runtime = pytest.importorskip("convert.runners.onnx_runtime")
pytest.importorskip("onnxruntime", reason="runs what was imported")
pytorch = pytest.importorskip("convert.importers.pytorch")
tiny = pytest.importorskip("tests.convert.importers.pytorch.tiny")

NAMES = {"script": "x.pt", "trace": "x.pt", "export": "x.pt2", "open batch": "x.pt2"}


def imported(path: Path, **said: Any) -> Any:
    return pytorch.import_pytorch(Request((path,), **said))


@pytest.mark.parametrize("kind", NAMES)
def test_the_same_numbers(tmp_path: Path, kind: str) -> None:
    path = tiny.save(tmp_path / NAMES[kind], kind)
    shapes = {"": tiny.SHAPE} if kind == "script" else {}
    made = imported(path, shapes=shapes)
    image = np.random.default_rng(0).random(tiny.SHAPE, np.float32)
    with torch.no_grad():
        expected = tiny.tiny()(torch.from_numpy(image)).numpy()
    name = made.network.output_name
    assert made.network.input_name == "image"
    assert made.network.input_shape == tiny.SHAPE
    np.testing.assert_allclose(made.reference.run({"image": image})[name], expected, rtol=0, atol=1e-6)
    found = runtime.OnnxRuntimeRunner(made.network).run({"image": image})[name]
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-6)


@pytest.mark.parametrize("kind", NAMES)
def test_what_is_said_of_it(tmp_path: Path, kind: str) -> None:
    path = tiny.save(tmp_path / NAMES[kind], kind)
    made = imported(path, shapes={"image": tiny.SHAPE})
    assert (made.format, made.files) == ("pytorch", (path,))
    assert made.reference.label.startswith(f"torch {torch.__version__}")
    assert made.reference.inputs == made.network.inputs
    assert made.reference.outputs == made.network.outputs
    counted = Counter(node.op for node in made.network.nodes)
    assert counted["Conv"] == counted["PRelu"] == counted["Gemm"] == 1
    assert not {port.dtype for port in made.network.inputs} - {"float32"}


def test_a_traced_module_tells_its_shape(tmp_path: Path) -> None:
    notes = imported(tiny.save(tmp_path / "x.pt", "trace")).notes
    assert "Input 'image' has the shape that was traced, [1, 3, 8, 8]." in notes


def test_a_script_does_not_tell_its_shape(tmp_path: Path) -> None:
    path = tiny.save(tmp_path / "x.pt", "script")
    with pytest.raises(UsageError, match=r"does not say the shape of its input 'image'\n  Give it: --shape image=1,3"):
        imported(path)


@pytest.mark.parametrize(
    ("kind", "said", "message"),
    [
        ("script", {"shapes": {"picture": (1, 3, 8, 8)}}, "no input picture.*expected some of: image"),
        ("script", {"shapes": {"": (1, 3, 9, 9)}}, "running it failed in PyTorch|cannot run it"),
        ("script", {"shapes": {"": (1, 4, 8, 8)}}, "running it failed in PyTorch|cannot run it"),
        ("script", {"shapes": {"": (1, 3, 8, 8)}, "outputs": ("nothing",)}, r"x.pt: no output nothing"),
        ("export", {"shapes": {"": (1, 3, 9, 9)}}, r"input shape \[1, 3, 9, 9\]; expected \[1, 3, 8, 8\]"),
        ("export", {"inputs": ("picture",)}, "no input picture"),
        ("export", {"outputs": ("nothing",)}, r"x.pt2?: no output nothing"),
    ],
)
def test_what_cannot_be_meant(tmp_path: Path, kind: str, said: Any, message: str) -> None:
    path = tiny.save(tmp_path / NAMES[kind], kind)
    with pytest.raises((UsageError, ModelError), match=message):
        imported(path, **said)


@pytest.mark.parametrize("is_traced", [False, True])
def test_several_inputs_and_outputs(tmp_path: Path, *, is_traced: bool) -> None:
    torch.manual_seed(1)
    module = tiny.TwoOutputs().eval()
    image, factor = torch.rand(1, 3, 6, 6), torch.tensor([2.0])
    path = tmp_path / "x.pt2"
    torch.export.save(torch.export.export(module, (image, factor)), path)
    made = imported(path, outputs=("sigmoid",) if is_traced else ())
    feeds = {"image": image.numpy(), "factor": factor.numpy()}
    with torch.no_grad():
        expected = [value.numpy() for value in module(image, factor)]
    if is_traced:
        feeds = {port.name: feeds[port.name] for port in made.network.inputs}
        expected = expected[1:]
    found = runtime.OnnxRuntimeRunner(made.network).run(feeds)
    again = made.reference.run(feeds)
    assert list(found) == list(again) == list(made.network.outputs)
    for name, value in zip(made.network.outputs, expected, strict=True):
        np.testing.assert_allclose(found[name], value, rtol=0, atol=1e-6)
        np.testing.assert_allclose(again[name], value, rtol=0, atol=1e-6)


def test_nothing_is_written_or_printed(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tiny.save(tmp_path / "x.pt2", "export")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    capfd.readouterr()
    imported(path)
    assert list((tmp_path / "here").iterdir()) == []
    assert capfd.readouterr() == ("", "")


def test_the_runner_refuses_other_feeds(tmp_path: Path) -> None:
    reference = imported(tiny.save(tmp_path / "x.pt2", "export")).reference
    with pytest.raises(ModelError, match="feeds differ"):
        reference.run({"picture": np.zeros(tiny.SHAPE, np.float32)})
    with pytest.raises(ModelError, match="has no tensor inner"):
        reference.run({"image": np.zeros(tiny.SHAPE, np.float32)}, ["inner"])
