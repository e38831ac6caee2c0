"""Artifacts in the oldest and the newest runtimes promised, which no one interpreter can hold together.

`@pytest.mark.parametrize("python", RUNTIMES)` gives a test the interpreter of each, and skips where it is not there:
`.venv` (OpenCV 5, ai-edge-litert) and `.venv-oldest` (OpenCV 4.8, tflite-runtime 2.14) of the checkout, or what
OSTIARY_NEWEST_PYTHON and OSTIARY_OLDEST_PYTHON name.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.convert.runtime_process import read, write
from tests.support.data import ROOT

_SCRIPT = Path(__file__).with_name("runtime_process.py")
_LIMIT_S = 120


class RuntimeRefusedError(Exception):
    """The other runtime could not load or run the artifact; the text is what it wrote."""


def _python(variable: str, folder: str) -> Path:
    return Path(os.environ.get(variable) or ROOT / folder / "bin" / "python")


NEWEST = _python("OSTIARY_NEWEST_PYTHON", ".venv")
OLDEST = _python("OSTIARY_OLDEST_PYTHON", ".venv-oldest")


def _parameter(python: Path, name: str, variable: str) -> Any:
    reason = f"no interpreter with the {name} runtimes at {python} (./scripts/test makes it; or set {variable})"
    return pytest.param(python, id=name, marks=pytest.mark.skipif(not python.is_file(), reason=reason))


RUNTIMES = [
    _parameter(NEWEST, "newest", "OSTIARY_NEWEST_PYTHON"),
    _parameter(OLDEST, "oldest", "OSTIARY_OLDEST_PYTHON"),
]


def run_onnx(python: Path, path: Path, feeds: Mapping[str, Any]) -> dict[str, Any]:
    """Outputs by name of an ONNX file in that interpreter's `cv2.dnn`, as OpenCV gives them; feeds by input name."""
    return _run(python, "onnx", path, feeds)


def run_frozen_graph(python: Path, path: Path, feeds: Mapping[str, Any]) -> dict[str, Any]:
    """As run_onnx, of a frozen graph (.pb)."""
    return _run(python, "frozen-graph", path, feeds)


def run_tflite(python: Path, path: Path, feeds: Mapping[str, Any]) -> dict[str, Any]:
    """Outputs by name of a TFLite file in that interpreter's runtime, dequantised; layouts are the file's own.

    Feeds by input name, or {"": array} for the only input; real numbers for an integer input are quantised there.
    """
    return _run(python, "tflite", path, feeds)


def _run(python: Path, kind: str, path: Path, feeds: Mapping[str, Any]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        source, target = f"{folder}/in.npz", f"{folder}/out.npz"
        write(source, dict(feeds))
        done = subprocess.run(
            [str(python), str(_SCRIPT), kind, str(path), source, target],
            capture_output=True, text=True, check=False, timeout=_LIMIT_S,
        )  # fmt: skip
        if done.returncode != 0:
            raise RuntimeRefusedError(f"exit code {done.returncode}: {done.stderr[-2000:]}")
        return read(target)
