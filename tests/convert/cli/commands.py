"""Runs `ostiary-convert` as a person does, and says what a failure may leave behind: nothing."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from convert.cli import main
from convert.network import Network
from tests.convert import onnx_files
from tests.convert.networks import FLATTEN, RELU, conv, network
from tests.support.data import ROOT

AS_EMBEDDER = ("--role", "embedder", "--template", "arcface-112x112", "--mean", "127.5", "--std", "128")
LENGTH = 16
"""Of the small embedder's row."""


def small_embedder() -> Network:
    """112x112 to a row of 16."""
    return network(
        conv(8, 3, (5, 5), pads=(2, 2, 2, 2), strides=(4, 4)),
        RELU,
        conv(16, 8, pads=(1, 1, 1, 1), strides=(4, 4)),
        RELU,
        conv(LENGTH, 16, (7, 7)),
        FLATTEN,
        size=112,
    )


def write_embedder(path: Path) -> Path:
    """As ONNX."""
    return onnx_files.write(small_embedder(), path)


def built_bundle(folder: Path, model: Path, faces: Path, embedder: str, *more: str) -> Path:
    """A bundle of an embedder, built from its file."""
    asked = ["--embedder", embedder, "--calibration", str(faces), "--count", "6", *more]
    assert main(["build", str(model), *AS_EMBEDDER, *asked, "-o", str(folder)]) == 0
    return folder


@dataclass(frozen=True, slots=True)
class Said:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str


def run(capsys: pytest.CaptureFixture[str], *words: str | Path) -> Said:
    """In this process; argparse's own exits too."""
    capsys.readouterr()
    try:
        code = main([str(word) for word in words])
    except SystemExit as stop:
        code = int(stop.code or 0)
    shown = capsys.readouterr()
    assert "Traceback" not in shown.err
    return Said(code, shown.out, shown.err)


def command(*words: str | Path) -> list[str]:
    """The command line of a process of its own."""
    return [sys.executable, "-m", "convert", *map(str, words)]


def environment() -> dict[str, str]:
    """For a process that is started elsewhere than in the checkout."""
    return {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "2", "OMP_NUM_THREADS": "1"}


def run_apart(words: list[str], folder: Path, timeout_s: float = 240.0) -> Said:
    """In a process of its own, started in `folder`."""
    done = subprocess.run(
        words, cwd=folder, env=environment(), capture_output=True, text=True, timeout=timeout_s, check=False
    )
    assert "Traceback" not in done.stderr, done.stderr
    return Said(done.returncode, done.stdout, done.stderr)


def digests(folder: Path) -> dict[str, str]:
    """Everything below a folder, hidden or not -> SHA-256, or "folder"."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder"
        for path in sorted(folder.rglob("*"))
    }
