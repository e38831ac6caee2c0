"""People at the door, and a clip of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.annotate import VideoWriter
from edge.datatypes import Image
from edge.demo.clip import Visit, door_frames
from edge.demo.portraits import COLLINS
from tests.support.data import grace_hopper
from tests.support.mosquitto import Mosquitto, mosquitto

CLIP_FPS = 15


@pytest.fixture(autouse=True)
def _home_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OSTIARY_CONFIG", "STATE_DIRECTORY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    """It keeps sessions over a restart, so that a subscriber misses nothing."""
    folder = tmp_path / "broker"
    with mosquitto(folder, "allow_anonymous true", "persistence true", f"persistence_location {folder}/") as running:
        yield running


@pytest.fixture(scope="session")
def hopper_file() -> Path:
    return grace_hopper()


@pytest.fixture(scope="session")
def bust(collins: Image) -> Image:
    """Head and shoulders of Eileen Collins, who is never enrolled at first."""
    x1, y1, x2, y2 = COLLINS.bust
    return collins[y1:y2, x1:x2]


@pytest.fixture(scope="session")
def collins_file(tmp_path_factory: pytest.TempPathFactory, bust: Image) -> Path:
    path = tmp_path_factory.mktemp("collins") / "collins.png"
    assert cv2.imwrite(str(path), bust)
    return path


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory, hopper: Image, bust: Image) -> Path:
    """Seven seconds: Grace Hopper comes and goes, then Eileen Collins does; 640x360, Motion JPEG."""
    path = tmp_path_factory.mktemp("clip") / "clip.avi"
    writer = VideoWriter(path, fps=CLIP_FPS, max_side_px=640)
    for frame in door_frames([Visit(hopper, 30), Visit(bust, 30)], np.random.default_rng(1)):
        writer.write(frame)
    writer.close()
    return path
