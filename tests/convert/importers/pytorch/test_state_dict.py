from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from convert.architectures import ARCHITECTURES
from convert.importers.base import Request
from convert.importers.pytorch.state_dict import named_weights
from edge.errors import ModelError, UsageError
from tests.support.data import test_data

torch = pytest.importorskip("torch", reason="PyTorch writes the files")
pytest.importorskip("onnxruntime", reason="is the reference")
pytorch = pytest.importorskip("convert.importers.pytorch")
tiny = pytest.importorskip("tests.convert.importers.pytorch.tiny")

V2 = ("models", "minifasnet", "2.7_80x80_MiniFASNetV2.pth")


def imported(path: Path, **said: Any) -> Any:
    return pytorch.import_pytorch(Request((path,), **said))


def test_an_unknown_architecture_lists_the_known_ones(tmp_path: Path) -> None:
    torch.save(tiny.tiny().state_dict(), tmp_path / "x.pt")
    with pytest.raises(ModelError) as caught:
        imported(tmp_path / "x.pt")
    assert "weights of an architecture that is not known (conv.weight, bn.weight" in str(caught.value)
    assert all(f"\n  {name}: " in str(caught.value) for name in ARCHITECTURES)


def test_a_wrong_name_lists_the_known_ones(tmp_path: Path) -> None:
    torch.save(tiny.tiny().state_dict(), tmp_path / "x.pt")
    with pytest.raises(UsageError, match=r"no architecture 'resnet'; expected one of: .*mobilefacenet-112x96"):
        imported(tmp_path / "x.pt", architecture="resnet")


def test_another_architecture_tells_what_is_missing() -> None:
    with pytest.raises(ModelError, match=r"as minifasnet-v1se: 30 weight\(s\) missing: conv_3.model.3.se_module.fc1"):
        imported(test_data(*V2), architecture="minifasnet-v1se")


def test_what_is_said_of_it() -> None:
    made = imported(test_data(*V2))
    assert made.format == "pytorch"
    assert made.notes[0] == "'module.' taken off every weight's name."
    assert "recognised by the weights' names" in made.notes[1]
    assert made.reference.label.startswith("onnxruntime")
    assert "reference is the built one" in made.notes[-1]


def test_an_inner_output_can_be_chosen() -> None:
    whole = imported(test_data(*V2))
    made = imported(test_data(*V2), outputs=("conv1.prelu",))
    assert made.network.outputs == ("conv1.prelu",)
    assert [node.op for node in made.network.nodes] == ["Conv", "BatchNormalization", "PRelu"]
    image = np.random.default_rng(0).random((1, 3, 80, 80), np.float32)
    expected = whole.reference.run({"image": image}, ["conv1.prelu"])["conv1.prelu"]
    np.testing.assert_allclose(made.reference.run({"image": image})["conv1.prelu"], expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"outputs": ("nothing",)}, "no output nothing"),
        ({"inputs": ("data",)}, "no input data; expected some of: image"),
        ({"shapes": {"": (1, 3, 112, 112)}}, r"input shape \[1, 3, 112, 112\]; expected one like \['any', 3, 80, 80\]"),
    ],
)
def test_what_cannot_be_meant(said: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        imported(test_data(*V2), **said)


def test_a_batch_can_be_fixed() -> None:
    assert imported(test_data(*V2), shapes={"": (4, 3, 80, 80)}).network.inputs[0].shape == (4, 3, 80, 80)


ARRAY = np.zeros((2, 2), np.float32)


@pytest.mark.parametrize(
    ("checkpoint", "names", "notes"),
    [
        ({"a.weight": ARRAY}, ["a.weight"], 0),
        ({"module.a": ARRAY, "module.b": ARRAY}, ["a", "b"], 1),
        ({"module.a": ARRAY, "b": ARRAY}, ["module.a", "b"], 0),
        ({"epoch": 3, "net_state_dict": {"a": ARRAY}}, ["a"], 1),
        ({"model": {"state_dict": {"module._orig_mod.a": ARRAY}}}, ["a"], 4),
        ({"optimizer": {"x": ARRAY}, "model": {"a": ARRAY}}, ["a"], 1),
    ],
)
def test_where_weights_are_found(checkpoint: Any, names: list[str], notes: int) -> None:
    weights, said = named_weights(checkpoint, "x")
    assert list(weights) == names
    assert len(said) == notes


@pytest.mark.parametrize("checkpoint", [{}, {"epoch": 3}, {"model": {"epoch": 1}}, {"a": np.zeros(3, np.int64)}])
def test_no_weights(checkpoint: Any) -> None:
    with pytest.raises(ModelError, match="no weights among"):
        named_weights(checkpoint, "x")


@pytest.mark.parametrize("is_legacy", [False, True])
@pytest.mark.filterwarnings("ignore:Couldn't retrieve source code:UserWarning")  # torch.save of a class of a test
def test_a_pickled_module_is_refused(tmp_path: Path, *, is_legacy: bool) -> None:
    torch.save(tiny.tiny(), tmp_path / "x.pt", _use_new_zipfile_serialization=not is_legacy)
    with pytest.raises(ModelError, match=r"holds code \(tests.*\.Tiny\): refused, never executed\n.*state_dict\(\)"):
        imported(tmp_path / "x.pt")


def test_one_file_at_a_time(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="2 files"):
        pytorch.import_pytorch(Request((tmp_path / "a.pt", tmp_path / "b.pt")))
