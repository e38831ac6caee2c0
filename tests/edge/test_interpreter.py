from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge import interpreter
from edge.errors import MissingDependencyError, ModelError
from edge.interpreter import RUNTIMES, TfliteModel, installed_runtimes
from tests.support.data import ROOT
from tests.support.tiny import MODELS, QUANTISATIONS, WEIGHTS

RUNTIME = pytest.mark.parametrize("runtime", RUNTIMES)


def needs(runtime: str) -> None:
    if runtime not in installed_runtimes():
        pytest.skip(f"{runtime} is not installed here")


def test_a_runtime_is_installed() -> None:
    assert installed_runtimes()


@RUNTIME
@pytest.mark.parametrize("dtype", QUANTISATIONS)
def test_a_network_is_loaded_and_described(runtime: str, dtype: str) -> None:
    needs(runtime)
    model = TfliteModel(MODELS / f"{dtype}.tflite", runtime=runtime, threads=2)
    assert model.runtime == runtime
    assert [tensor.shape for tensor in (*model.inputs, *model.outputs)] == [(1, 112, 112, 3), (1, 4)]
    for tensor, expected in zip((*model.inputs, *model.outputs), QUANTISATIONS[dtype], strict=True):
        assert tensor.quantisation.dtype == expected.dtype
        assert tensor.quantisation.zero_point == expected.zero_point
        assert tensor.quantisation.scale == pytest.approx(expected.scale, rel=1e-6)


@RUNTIME
def test_a_network_runs(runtime: str) -> None:
    needs(runtime)
    model = TfliteModel(MODELS / "float32.tflite", runtime=runtime)
    picture = np.full((1, 112, 112, 3), [0.5, -0.25, 1.0], np.float32)
    first = model.run(picture)
    assert np.abs(first - np.float32([0.5, -0.25, 1.0]) @ WEIGHTS).max() < 1e-5
    # A copy: the next run must not change it.
    model.run(-picture)
    assert np.abs(first - np.float32([0.5, -0.25, 1.0]) @ WEIGHTS).max() < 1e-5


@RUNTIME
def test_any_of_several_outputs(runtime: str) -> None:
    needs(runtime)
    model = TfliteModel(MODELS / "two-outputs.tflite", runtime=runtime)
    picture = np.full((1, 112, 112, 3), 0.5, np.float32)
    assert np.array_equal(model.run(picture, 0), -model.run(picture, 1))


@RUNTIME
def test_an_unknown_operator_is_named(runtime: str) -> None:
    needs(runtime)
    with pytest.raises(ModelError, match="custom op: Acosh") as caught:
        TfliteModel(MODELS / "unknown-op.tflite", runtime=runtime)
    assert caught.value.exit_code == 4
    assert caught.value.problem.startswith(f"{runtime} refuses it: ")


@RUNTIME
@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.7, 0.9, 0.99])
@pytest.mark.parametrize("dtype", ["float32", "uint8"])
def test_a_truncated_file_is_refused(runtime: str, dtype: str, share: float, tmp_path: Path) -> None:
    needs(runtime)
    data = (MODELS / f"{dtype}.tflite").read_bytes()
    path = tmp_path / "cut.tflite"
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(ModelError, match="refuses it") as caught:
        TfliteModel(path, runtime=runtime)
    assert caught.value.where == str(path)


@pytest.mark.parametrize("content", [b"", b"TFL3", b"\x00" * 100, b"\x08\x00\x00\x00ONNX" * 20])
def test_what_is_no_tflite_file(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "other.tflite"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"not a TFLite model.*expected the identifier TFL3"):
        TfliteModel(path)


@pytest.mark.parametrize("name", ["missing.tflite", "."])
def test_what_cannot_be_opened(name: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"cannot be read \(.+\); expected a TFLite model"):
        TfliteModel(tmp_path / name)


@RUNTIME
def test_a_missing_runtime_names_the_extra(runtime: str) -> None:
    if runtime in installed_runtimes():
        pytest.skip(f"{runtime} is installed here")
    with pytest.raises(MissingDependencyError) as caught:
        TfliteModel(MODELS / "float32.tflite", runtime=runtime)
    extra = {"ai-edge-litert": "litert", "tflite-runtime": "tflite-runtime"}[runtime]
    assert (
        str(caught.value) == f"{runtime} is not installed, and the embedder needs it\n  pip install 'ostiary[{extra}]'"
    )
    assert caught.value.exit_code == 2


def test_without_any_runtime_one_is_named(tmp_path: Path) -> None:
    # Folders that cannot be imported from stand before the real packages.
    for module in RUNTIMES.values():
        (tmp_path / module.partition(".")[0]).mkdir()
        (tmp_path / module.partition(".")[0] / "__init__.py").write_text(
            "raise ImportError('broken')", encoding="utf-8"
        )
    code = (
        "from pathlib import Path; from edge.errors import MissingDependencyError\n"
        "from edge.interpreter import TfliteModel, installed_runtimes\n"
        f"assert installed_runtimes() == []\ntry: TfliteModel(Path({str(MODELS / 'uint8.tflite')!r}))\n"
        "except MissingDependencyError as error: print(error.extra, error.package)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}"},
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert done.stdout.strip() == "litert ai-edge-litert or tflite-runtime"


def test_loading_says_nothing_on_standard_error() -> None:
    # In a process of its own: the runtimes greet with the first network only.
    code = (
        "import sys; from pathlib import Path; from edge.errors import ModelError\n"
        "from edge.interpreter import TfliteModel\n"
        f"folder = Path({str(MODELS)!r}); TfliteModel(folder / 'float32.tflite')\n"
        "try: TfliteModel(folder / 'unknown-op.tflite')\n"
        "except ModelError: print('still there', file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    assert (done.stdout, done.stderr) == ("", "still there\n")


class Hanging:
    """A runtime that goes round in circles, or dies."""

    def __init__(self, sign: signal.Signals) -> None:
        self.sign = sign

    def Interpreter(self, **_: Any) -> None:  # noqa: N802 - the runtime's name
        os.kill(os.getpid(), self.sign)


@pytest.mark.parametrize(
    ("sign", "said"), [(signal.SIGKILL, "it crashes (signal 9)"), (signal.SIGALRM, "no end within 20 s")]
)
def test_a_file_that_kills_the_runtime_kills_only_the_rehearsal(sign: signal.Signals, said: str) -> None:
    with pytest.raises(ModelError) as caught:
        interpreter._rehearse(Hanging(sign), MODELS / "uint8.tflite")
    assert caught.value.problem == f"tflite-runtime refuses it: {said}"


@pytest.mark.parametrize(
    ("detail", "problem"),
    [
        ({"dtype": np.int32, "quantization": (0.0, 0)}, "tensor t is int32; expected float32, uint8 or int8"),
        ({"dtype": np.uint8, "quantization": (0.0, 0)}, "tensor t has scale 0 for uint8"),
    ],
)
def test_a_tensor_that_cannot_be_used(detail: dict[str, Any], problem: str) -> None:
    with pytest.raises(ModelError) as caught:
        interpreter._tensor(Path("m.tflite"), {"name": "t", "index": 0, "shape": np.array([1, 4]), **detail})
    assert str(caught.value).startswith(f"m.tflite: {problem}")
