"""The emulated box that the tests look at, and the table at the end. ./scripts/test-arm says where everything is."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.annotate import VideoWriter
from edge.datatypes import Image
from edge.demo.clip import Visit, door_frames
from edge.demo.portraits import COLLINS, HOPPER, Portrait
from edge.errors import MissingDependencyError
from tests.arm.box import Box, box
from tests.arm.kinds import KINDS, Kind
from tests.support.mosquitto import Mosquitto, mosquitto

CLIP_FPS = 5
_EVERY = 3
"""Of the 15 pictures a second that edge.demo.clip draws: an emulated box takes its time."""
MEASURED = "measured"


@dataclass(frozen=True, slots=True)
class Given:
    """What ./scripts/test-arm has made."""

    kind: Kind
    base: Path
    """A Debian 12 of that kind; for arm64 with the wheels of both locks in /opt."""
    package: Path
    """The Debian package of this checkout."""


@pytest.fixture(scope="session")
def given() -> Given:
    if "OSTIARY_ARM_ROOT" not in os.environ:
        pytest.skip(os.environ.get("OSTIARY_ARM_SKIP") or "only ./scripts/test-arm makes an emulated ARM box")
    kind = KINDS[os.environ["OSTIARY_ARM_KIND"]]
    return Given(kind, Path(os.environ["OSTIARY_ARM_ROOT"]), Path(os.environ["OSTIARY_ARM_PACKAGE"]))


@pytest.fixture(scope="session")
def installed(given: Given, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    """A box with the package, as apt installs it. Tests that change more than they add begin with a copy of it."""
    with box(given.base, tmp_path_factory.mktemp("installed") / "box", given.kind.board) as made:
        made.install(given.package)
        yield made


@pytest.fixture
def copy(given: Given, installed: Box, tmp_path: Path) -> Iterator[Box]:
    """Of the installed box, to be spoilt."""
    with box(given.base, tmp_path / "box", given.kind.board, layer=installed.layer) as made:
        yield made


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    """On this machine, not in the box."""
    with mosquitto(tmp_path / "broker") as running:
        yield running


@pytest.fixture(scope="session")
def busts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Head and shoulders of two people, as PNG files."""
    folder = tmp_path_factory.mktemp("busts")
    paths = {}
    for portrait in (HOPPER, COLLINS):
        paths[portrait.name] = folder / f"{portrait.package}.png"
        assert cv2.imwrite(str(paths[portrait.name]), _picture(portrait))
    return paths


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Grace Hopper comes and goes, then Eileen Collins does: 28 pictures of 400x224, Motion JPEG."""
    path = tmp_path_factory.mktemp("clip") / "clip.avi"
    writer = VideoWriter(path, fps=CLIP_FPS, max_side_px=400)
    visits = [Visit(_picture(portrait), 24) for portrait in (HOPPER, COLLINS)]
    for number, frame in enumerate(door_frames(visits, np.random.default_rng(1))):
        # Of the empty door a part is enough.
        if number % _EVERY == 0:
            writer.write(frame)
    writer.close()
    return path


def _picture(portrait: Portrait) -> Image:
    try:
        return portrait.picture()
    except MissingDependencyError as error:
        pytest.skip(str(error))


@pytest.fixture
def measured(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Takes a line that is shown when all tests have run, in whichever process."""
    return lambda line: record_property(MEASURED, line)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = [one for kind in ("passed", "failed") for one in terminalreporter.stats.get(kind, [])]
    lines = [value for report in reports for name, value in report.user_properties if name == MEASURED]
    if lines:
        terminalreporter.section("measured on the emulated box")
        for line in lines:
            terminalreporter.line(line)
