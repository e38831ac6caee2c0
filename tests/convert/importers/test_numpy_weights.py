from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnxruntime", reason="onnxruntime is not installed (extra convert)")

from convert.importers.base import Request
from convert.importers.numpy_weights import import_numpy_weights
from edge.errors import ModelError, UsageError
from tests.support.data import test_data

PARTS = {"det1.npy": ("prob", "box"), "det2.npy": ("prob", "box"), "det3.npy": ("prob", "box", "landmarks")}


def saved(path: Path, value: Any) -> Path:
    np.save(path, np.array(value, dtype=object), allow_pickle=True)
    return path


def plain(name: str) -> dict[str, dict[str, Any]]:
    from convert.importers.numpy_weights import read_layers

    return read_layers(test_data("models", "mtcnn-numpy", name))


@pytest.mark.parametrize("name", PARTS)
def test_the_architecture_is_known_by_the_weights(name: str) -> None:
    made = import_numpy_weights(Request((test_data("models", "mtcnn-numpy", name),)))

    assert made.format == "numpy"
    assert made.network.outputs == PARTS[name]
    assert made.reference.label.startswith("onnxruntime ")


def test_outputs_may_be_chosen() -> None:
    path = test_data("models", "mtcnn-numpy", "det1.npy")

    assert import_numpy_weights(Request((path,), outputs=("box",))).network.outputs == ("box",)
    with pytest.raises(UsageError, match="no output nose"):
        import_numpy_weights(Request((path,), outputs=("nose",)))


class _Runs:
    def __reduce__(self) -> Any:
        return print, ("this must not run",)


def test_a_pickle_with_code_is_refused_and_not_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ModelError):
        import_numpy_weights(Request((saved(tmp_path / "weights.npy", _Runs()),)))
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    "value",
    [
        {}, [1, 2], {"conv1": 3}, {3: {"weights": np.ones(2, np.float32)}}, {"conv1": {"weights": "text"}},
        {"conv1": {"weights": np.array(["a"])}}, {"conv1": {"weights": np.ones((3, 3, 3, 10), np.float32)}},
    ],
)  # fmt: skip
def test_other_objects_are_refused(value: Any, tmp_path: Path) -> None:
    with pytest.raises(ModelError) as caught:
        import_numpy_weights(Request((saved(tmp_path / "weights.npy", value),)))
    assert "weights.npy" in caught.value.where


def test_weights_of_another_shape_missing_or_left_over_are_named(tmp_path: Path) -> None:
    layers = plain("det1.npy")
    layers["conv2"]["weights"] = layers["conv2"]["weights"][:, :, :, :-1]
    with pytest.raises(ModelError, match=r"conv2|conv3|prelu2"):
        import_numpy_weights(Request((saved(tmp_path / "shape.npy", layers),)))

    layers = plain("det1.npy")
    del layers["PReLU2"]
    with pytest.raises(ModelError, match=r"prelu2\.weight"):
        import_numpy_weights(Request((saved(tmp_path / "missing.npy", layers),), architecture="mtcnn-pnet"))

    layers = {**plain("det1.npy"), "extra": {"weights": np.ones(2, np.float32)}}
    with pytest.raises(ModelError, match="extra"):
        import_numpy_weights(Request((saved(tmp_path / "extra.npy", layers),)))


@pytest.mark.parametrize("length", [0, 5, 100, 1000, 20_000])
def test_a_file_cut_off_is_refused(length: int, tmp_path: Path) -> None:
    path = tmp_path / "cut.npy"
    path.write_bytes(test_data("models", "mtcnn-numpy", "det1.npy").read_bytes()[:length])

    with pytest.raises(ModelError, match=r"cut\.npy"):
        import_numpy_weights(Request((path,)))


def test_several_files_and_unknown_architectures_are_refused() -> None:
    path = test_data("models", "mtcnn-numpy", "det1.npy")
    with pytest.raises(UsageError, match="2 files"):
        import_numpy_weights(Request((path, path)))
    with pytest.raises(UsageError, match="mtcnn-pnet"):
        import_numpy_weights(Request((path,), architecture="vgg"))
