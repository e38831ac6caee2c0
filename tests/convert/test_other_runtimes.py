"""The proof of proofs: what other tests run their artifacts with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.convert.other_runtimes import RUNTIMES, RuntimeRefusedError, run_onnx, run_tflite
from tests.support.data import test_data


@pytest.mark.parametrize("python", RUNTIMES)
def test_several_outputs_of_an_onnx_file(python: Path) -> None:
    feeds = {"input": np.zeros((1, 3, 320, 320), np.float32)}
    outputs = run_onnx(python, test_data("models", "yunet", "yunet_n_320_320.onnx"), feeds)
    assert len(outputs) == 12
    assert {value.shape[-1] for value in outputs.values()} == {1, 4, 10}


@pytest.mark.parametrize("python", RUNTIMES)
def test_several_outputs_of_a_tflite_file(python: Path) -> None:
    path = test_data("models", "ultralight", "version-RFB-320_without_postprocessing.tflite")
    outputs = run_tflite(python, path, {"": np.zeros((1, 240, 320, 3), np.float32)})
    assert sorted(value.shape[-1] for value in outputs.values()) == [2, 4]


@pytest.mark.parametrize("python", RUNTIMES)
@pytest.mark.parametrize("run", [run_onnx, run_tflite])
def test_a_refusal_is_told(python: Path, run: object, tmp_path: Path) -> None:
    assert callable(run)
    (tmp_path / "model").write_bytes(b"no network at all")
    with pytest.raises(RuntimeRefusedError, match="exit code"):
        run(python, tmp_path / "model", {"": np.zeros((1, 3, 4, 4), np.float32)})
