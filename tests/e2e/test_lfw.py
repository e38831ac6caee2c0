"""People of LFW: enrolled by the command, then seen by the daemon in other pictures of theirs, and strangers after them.

The default embedder has learned from these very people: this proves the path from pictures to events, and says nothing
about accuracy. docs/default-bundle.md does, measured on people whom it has never seen.
"""

from __future__ import annotations

import json
import tarfile
from collections import Counter
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.e2e.support import DaemonProcess
from tests.support.data import test_data as data_file

KNOWN, STRANGERS = 10, 10
ENROLLED, SEEN = 3, 6
"""Pictures of each."""
EMPTY = 4
"""Pictures of nobody between two visits: longer than track.lost_after_s."""


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Path]]:
    """Name -> pictures, of the first training identities that have enough of them."""
    listed = set(data_file("data", "lfw", "identities-train.txt").read_text(encoding="utf-8").split())
    folder = tmp_path_factory.mktemp("lfw")
    with tarfile.open(data_file("data", "lfw", "lfw-deepfunneled.tar")) as archive:
        members = [member for member in archive.getmembers() if member.name.endswith(".jpg")]
        have = Counter(member.name.split("/")[-2] for member in members)
        chosen = sorted(name for name in listed if have[name] >= ENROLLED + SEEN)[: KNOWN + STRANGERS]
        wanted = [member for member in members if member.name.split("/")[-2] in chosen]
        archive.extractall(folder, members=wanted, filter="data")
    found = {name: sorted(folder.rglob(f"{name}/*.jpg"))[: ENROLLED + SEEN] for name in chosen}
    assert len(found) == KNOWN + STRANGERS
    return found


def visits(folder: Path, people: dict[str, list[Path]]) -> Path:
    """A folder in which one after another comes by, each in pictures of different days."""
    folder.mkdir()
    _, nobody = cv2.imencode(".png", np.full((250, 250, 3), 128, np.uint8))
    for position, pictures in enumerate(people.values()):
        for number, picture in enumerate(pictures[ENROLLED:]):
            (folder / f"{position:02d}-{number:02d}.jpg").write_bytes(picture.read_bytes())
        for number in range(EMPTY):
            (folder / f"{position:02d}-{SEEN + number:02d}.png").write_bytes(nobody.tobytes())
    return folder


def decided(running: DaemonProcess, folder: Path) -> list[Any]:
    """Events of one run over a folder."""
    before = len(running.out.splitlines())
    running.start("--camera", str(folder))
    assert running.ended() == 0, running.log
    return [json.loads(line) for line in running.out.splitlines()[before:]]


@pytest.mark.slow
def test_the_enrolled_are_recognized_and_strangers_are_not(tmp_path: Path, people: dict[str, list[Path]]) -> None:
    names = list(people)
    known = {name: people[name] for name in names[:KNOWN]}
    strangers = {name: people[name] for name in names[KNOWN:]}
    running = DaemonProcess(tmp_path / "box", "--no-mqtt")
    for name, pictures in known.items():
        running.enrol(name, *pictures[:ENROLLED])

    seen = decided(running, visits(tmp_path / "known", known))
    recognized = [event["identity"]["name"] for event in seen if event["event_type"] == "recognized"]
    # In the order in which they came, nobody twice and nobody for another.
    assert recognized == [name for name in known if name in recognized]
    assert len(recognized) >= 0.9 * KNOWN, Counter(event["event_type"] for event in seen)

    strange = decided(running, visits(tmp_path / "strange", strangers))
    assert [event for event in strange if event["event_type"] == "recognized"] == []
    assert len([event for event in strange if event["event_type"] == "unknown"]) >= 0.9 * STRANGERS
