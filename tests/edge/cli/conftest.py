"""Commands as a user types them, each test with an empty home of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import pytest

from edge.cli import main
from edge.datatypes import Image
from edge.demo.portraits import COLLINS
from tests.support.data import ROOT, grace_hopper

LIMIT_S = 120.0
"""No command of these tests takes so long, on whatever machine."""


@dataclass(frozen=True, slots=True)
class Result:
    """What a command came to."""

    code: int
    out: str
    err: str

    @property
    def rows(self) -> list[Any]:
        """Standard output as a JSON value a line."""
        return [json.loads(line) for line in self.out.splitlines()]


Command = Callable[..., Result]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Current folder, home and data folder of a user who has nothing yet."""
    folder = tmp_path / "home"
    folder.mkdir()
    for name in ("OSTIARY_CONFIG", "STATE_DIRECTORY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("XDG_DATA_HOME", str(folder / "data"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(folder / "config"))
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def ostiary(home: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs a command in this process; whatever it lets escape fails the test."""

    def run(*arguments: object) -> Result:
        capsys.readouterr()
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as ended:
            code = int(ended.code or 0)
        captured = capsys.readouterr()
        return Result(code, captured.out, captured.err)

    return run


def started(*arguments: object, **options: Any) -> subprocess.Popen[bytes]:
    """A command as a process of its own."""
    command = [sys.executable, "-m", "edge", *(os.fsencode(str(argument)) for argument in arguments)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **options.pop("env", {})}
    return subprocess.Popen(command, env=environment, **options)


def finished(*arguments: object, **options: Any) -> Result:
    """The same, waited for."""
    with started(*arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options) as process:
        out, err = process.communicate(timeout=LIMIT_S)
    return Result(process.returncode, out.decode(), err.decode())


@pytest.fixture(scope="session")
def hopper_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Grace Hopper, 512x600."""
    return Path(shutil.copy(grace_hopper(), tmp_path_factory.mktemp("hopper") / "hopper.jpg"))


@pytest.fixture(scope="session")
def collins_file(tmp_path_factory: pytest.TempPathFactory, collins: Image) -> Path:
    """Head and shoulders of Eileen Collins: one face."""
    x1, y1, x2, y2 = COLLINS.bust
    path = tmp_path_factory.mktemp("collins") / "collins.png"
    assert cv2.imwrite(str(path), collins[y1:y2, x1:x2])
    return path


@pytest.fixture(scope="session")
def _filled(tmp_path_factory: pytest.TempPathFactory, hopper_file: Path) -> Path:
    path = tmp_path_factory.mktemp("gallery") / "gallery.sqlite"
    assert (
        main(["enroll", "--gallery", str(path), "--name", "Grace Hopper", "--note", "admiral", str(hopper_file)]) == 0
    )
    return path


@pytest.fixture
def gallery(tmp_path: Path, _filled: Path) -> Path:
    """A gallery with Grace Hopper in it, for one test to change."""
    return Path(shutil.copy(_filled, tmp_path / "gallery.sqlite"))
