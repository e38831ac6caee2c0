"""Signed bundles on an emulated box: from a repository that this machine signs, into use, and back again; and what it refuses."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from edge.annotate import VideoWriter
from edge.bundle import default_bundle_folder
from edge.datatypes import Image
from tests.arm.box import LIMIT_S, STATE, Box, box
from tests.arm.conftest import Given
from tests.arm.test_door import served
from tests.deploy.package_life import CONFFILE
from tests.support.data import ROOT
from tests.support.repositories import Owner

TRUST = "/etc/ostiary/trust"
REPOSITORY = "srv/repository"
REFUSED = 4
UNPROVED = 1_000_000
"""Frames that a trial wants, more than there ever are."""


def named_bundle(folder: Path, bundle_id: str) -> Path:
    """The package's own, under another name."""
    shutil.copytree(default_bundle_folder(), folder)
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**manifest, "bundle_id": bundle_id}), encoding="utf-8")
    return folder


@dataclass(frozen=True, slots=True)
class Fleet:
    """A box, and its owner on this machine."""

    box: Box
    owner: Owner
    folder: Path
    """The owner's."""

    def offer(self, repository: Path) -> None:
        """As on a stick that is put into the box."""
        place = self.box.root / REPOSITORY
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(repository, place)

    def configure(self, **updates: Any) -> None:
        settings = {
            "device": {"name": "front"},
            "camera": {"name": "porch", "uri": "/srv/empty.avi"},
            "mqtt": {"enabled": False},
            "bundles": f"{STATE}/bundles",
            # An emulated box is slow; that a slow bundle is not used is tested elsewhere.
            "updates": {"trust": TRUST, "budget_ms": 60_000, "trial_s": 0, "trial_frames": 3, **updates},
        }
        self.box.path(CONFFILE).write_text(yaml.safe_dump(settings), encoding="utf-8")

    def bundle(self, *arguments: str, code: int = 0) -> str:
        return self.box.run("ostiaryctl", "bundle", *arguments, code=code)

    def standing(self) -> dict[str, Any]:
        """What is in use, and how it came to be."""
        return dict(json.loads(self.bundle("list", "--json").splitlines()[-1]))

    def see_the_day(self, folder: Path) -> str:
        """One start of the daemon, over a clip of nobody; its log."""
        folder.mkdir()
        with served(self.box, folder) as running:
            code = running.wait(LIMIT_S)
        log = (folder / "daemon.log").read_text(encoding="utf-8", errors="replace")
        assert code == 0, log
        return log


def _fleet(made: Box, folder: Path) -> Fleet:
    owner = Owner()
    owner.add(named_bundle(folder / "door-1", "door-1"), version=1)
    owner.publish(folder / "repository")
    trust = made.path(TRUST.removeprefix("/"))
    owner.trust(trust)
    fleet = Fleet(made, owner, folder)
    _write_clip(made.root / "srv/empty.avi")
    fleet.configure()
    return fleet


def _write_clip(path: Path) -> None:
    """Nobody, six times, never quite the same."""
    writer = VideoWriter(path, fps=5)
    random = np.random.default_rng(0)
    for _ in range(6):
        noise: Image = random.integers(100, 140, (120, 160, 3), np.uint8)
        writer.write(noise)
    writer.close()


def test_signed_here_proved_there_and_rolled_back(copy: Box, tmp_path: Path) -> None:
    """With the commands of docs/updates.md on both sides."""
    fleet = _fleet(copy, tmp_path / "owner")
    repository = tmp_path / "repository"
    keys = [str(tmp_path / f"{name}.pem") for name in ("root", "targets", "online")]
    _sign("keys", *keys)
    roles = [f"root={keys[0]}", f"targets={keys[1]}", f"snapshot={keys[2]}", f"timestamp={keys[2]}"]
    _sign("init", str(repository), *(part for role in roles for part in ("--key", role)))
    shutil.copy(repository / "metadata/1.root.json", copy.path(f"{TRUST}/root.json".removeprefix("/")))
    for number in (1, 2):
        bundle = named_bundle(tmp_path / f"door-{number}", f"door-{number}")
        _sign("add", str(repository), str(bundle), "--version", str(number), "--with", str(tmp_path))
        fleet.offer(repository)
        # The second is never proved: the daemon ends before.
        fleet.configure(trial_frames=3 if number == 1 else UNPROVED)
        said = fleet.bundle("install", f"/{REPOSITORY}", "--activate")
        assert f"door-{number}, version {number}: installed" in said
        fleet.see_the_day(tmp_path / f"day-{number}")
        now = fleet.standing()
        assert (now["active"], now["state"]) == (f"door-{number}", "confirmed" if number == 1 else "trial")
    log = fleet.see_the_day(tmp_path / "day-3")
    assert "rolled back" in log, log
    now = fleet.standing()
    assert (now["active"], now["state"], now["candidate"]) == ("door-1", "rolled_back", "door-2")
    fleet.bundle("rollback")
    assert fleet.standing()["active"] is None


def _sign(*arguments: str) -> None:
    command = [sys.executable, "-m", "convert", "sign", *arguments]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def refusing(given: Given, installed: Box, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """A box that has version 2 in use, and is offered all kinds of things."""
    folder = tmp_path_factory.mktemp("refusing")
    with box(given.base, folder / "box", given.kind.board, layer=installed.layer) as made:
        fleet = _fleet(made, folder / "owner")
        fleet.owner.add(named_bundle(folder / "owner/door-2", "door-2"), version=2)
        fleet.offer(fleet.owner.publish(folder / "owner/repository"))
        fleet.bundle("install", f"/{REPOSITORY}", "--activate")
        yield fleet


def corrupted(owner: Owner) -> None:
    """A byte of the embedder, after signing."""
    name = "door-3/embedder.tflite"
    data = bytearray(owner.content[name])
    data[len(data) // 2] ^= 1
    owner.content[name] = bytes(data)


def unsigned(owner: Owner) -> None:
    owner.signers["targets"] = []


def expired(owner: Owner) -> None:
    owner.days["timestamp"] = -1.0


def older(owner: Owner) -> None:
    """Version 1, where 2 is in use."""
    owner.targets["door-3/manifest.json"].unrecognized_fields["custom"] = {"version": 1}


def for_others(owner: Owner) -> None:
    custom = {"version": 3, "devices": ["garage-*"]}
    owner.targets["door-3/manifest.json"].unrecognized_fields["custom"] = custom


def for_another_machine(owner: Owner) -> None:
    custom = {"version": 3, "machines": ["x86_64"]}
    owner.targets["door-3/manifest.json"].unrecognized_fields["custom"] = custom


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (corrupted, "not the file that was signed"),
        (unsigned, "not signed"),
        (expired, "expired on"),
        (older, "older than what is in use"),
        (for_others, "signed for other devices"),
        (for_another_machine, "signed for other machines"),
    ],
)
def test_refused(refusing: Fleet, tmp_path: Path, spoil: Callable[[Owner], None], says: str) -> None:
    # Newer than whatever the box has seen, or it would not look.
    refusing.owner.versions = {role: number + (role != "root") for role, number in refusing.owner.versions.items()}
    owner = refusing.owner.copy()
    owner.add(named_bundle(tmp_path / "door-3", "door-3"), version=3)
    spoil(owner)
    refusing.offer(owner.publish(tmp_path / "repository"))
    said = refusing.bundle("install", f"/{REPOSITORY}", "--name", "door-3", "--activate", code=REFUSED)
    assert says in said, said
    assert "Traceback" not in said
    now = refusing.standing()
    assert now["active"] == "door-2"
