"""The real daemon as a process, in front of a door at which a test lets people appear."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml

from edge.datatypes import Image
from tests.support.clips import jpeg
from tests.support.data import ROOT
from tests.support.mjpeg_server import MjpegServer
from tests.support.mosquitto import HOST, PATIENCE_S, wait_for
from tests.support.rtsp_server import NetworkCamera, RtspServer

SIZE = (640, 480)
DEVICE, CAMERA = "front", "porch"
QUICK: dict[str, dict[str, Any]] = {
    "device": {"name": DEVICE},
    "camera": {"name": CAMERA, "stall_s": 1.0},
    "track": {"lost_after_s": 0.3},
    # One visit right after the other, and all of them told.
    "decide": {"unknown_after_s": 0.6, "give_up_after_s": 0.6, "cool_down_s": 0.0, "recheck_s": 0.3},
    "publish": {"presence_off_after_s": 0.5, "health_interval_s": 0.5},
}


@dataclass(frozen=True, slots=True, eq=False)
class Visitor:
    """Somebody before the door."""

    portrait: Image
    left_px: int = 60
    share: float = 1.0
    """Of the picture's height."""


def scene(*visitors: Visitor) -> list[bytes]:
    """JPEGs of an empty door, or of people before it who do not stand quite still; later ones hide earlier ones."""
    width, height = SIZE
    pictures = []
    for step in range(4):
        image: Image = np.full((height, width, 3), (150, 160, 165), np.uint8)
        # A camera that never shows exactly the same again, as real ones do, lest it count as frozen.
        image[:16, :16] = 40 * step
        for visitor in visitors:
            scale = height * visitor.share / visitor.portrait.shape[0]
            person = cv2.resize(visitor.portrait, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)[:height]
            left = visitor.left_px + 2 * step
            image[height - person.shape[0] :, left : left + person.shape[1]] = person[:, : width - left]
        pictures.append(jpeg(image))
    return pictures


class Door(NetworkCamera):
    """A network camera that shows what the test wants; nobody at first."""

    def __init__(self, *, fps: float = 20.0) -> None:
        super().__init__(fps=fps)
        self.sent = 0
        """Pictures so far, to however many clients."""
        self._seen = scene()

    def show(self, portrait: Image | None) -> None:
        """From the next picture on."""
        self.gather(*([] if portrait is None else [Visitor(portrait)]))

    def gather(self, *visitors: Visitor) -> None:
        """Several people, from the next picture on."""
        self._seen = scene(*visitors)

    def frames(self, client: socket.socket) -> Iterator[tuple[int, bytes]]:
        """As the base class, over however many pictures there are."""
        for number, _ in super().frames(client):
            yield number, self._seen[number % len(self._seen)]
            self.sent += 1

    def stay_empty(self, pictures: int = 12) -> None:
        """Long enough for whoever was there to have left."""
        self.show(None)
        until = self.sent + pictures
        wait_for(lambda: self.sent >= until, f"{pictures} pictures of nobody")


class MjpegDoor(Door, MjpegServer):
    """Over HTTP."""


class RtspDoor(Door, RtspServer):
    """Over RTSP."""


def merged(*sections: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Sections laid over each other, key by key."""
    made: dict[str, dict[str, Any]] = {}
    for part in sections:
        for name, values in part.items():
            made[name] = {**made.get(name, {}), **values} if isinstance(values, dict) else values
    return made


class DaemonProcess:
    """`ostiary run`, with a folder of its own for everything that it keeps."""

    def __init__(self, folder: Path, *options: str, **sections: Any) -> None:
        """`sections` of ostiary.yaml over QUICK."""
        folder.mkdir(parents=True, exist_ok=True)
        self.config = folder / "ostiary.yaml"
        self.gallery = folder / "gallery.sqlite"
        settings = merged(QUICK, {"gallery": str(self.gallery)}, sections)  # type: ignore[dict-item]
        self.config.write_text(yaml.safe_dump(settings), encoding="utf-8")
        self._options = options
        self._log, self._out = folder / "daemon.log", folder / "daemon.out"
        self.process: subprocess.Popen[bytes] | None = None

    def cli(self, *arguments: object) -> str:
        """Another command with the same configuration; its standard output."""
        command = [sys.executable, "-m", "edge", str(arguments[0]), "--config", self.config, *arguments[1:]]
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, env=_environment())
        assert done.returncode == 0, done.stderr
        return done.stdout

    def enrol(self, name: str, *pictures: Path) -> None:
        self.cli("enroll", "--name", name, *pictures)

    def start(self, *options: str) -> None:
        command = [sys.executable, "-m", "edge", "run", "--config", str(self.config), *self._options, *options]
        with self._log.open("ab") as log, self._out.open("ab") as out:
            self.process = subprocess.Popen(command, stdout=out, stderr=log, env=_environment())

    def wait_ready(self) -> None:
        self.wait_for_log("ready in")

    def wait_for_log(self, text: str, times: int = 1) -> None:
        def is_there() -> bool:
            assert self.process is not None
            return self.log.count(text) >= times or self.process.poll() is not None

        wait_for(is_there, f"{text!r} in the log", 2 * PATIENCE_S)
        assert self.log.count(text) >= times, self.log

    def ended(self, timeout_s: float = 60.0) -> int:
        """Its exit code, when it has ended by itself."""
        assert self.process is not None
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(self.log) from None

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.ended(PATIENCE_S)

    @property
    def log(self) -> str:
        return self._log.read_text(encoding="utf-8") if self._log.exists() else ""

    @property
    def out(self) -> str:
        return self._out.read_text(encoding="utf-8") if self._out.exists() else ""


@contextmanager
def daemon(
    folder: Path, *options: str, pictures: dict[str, Path] | None = None, **sections: Any
) -> Iterator[DaemonProcess]:
    """Running, with these people enrolled, for as long as the context lasts."""
    running = DaemonProcess(folder, *options, **sections)
    for name, picture in (pictures or {}).items():
        running.enrol(name, picture)
    running.start()
    try:
        running.wait_ready()
        yield running
    finally:
        if running.process is not None and running.process.poll() is None:
            running.process.kill()
            running.process.wait()


def mqtt(port: int, **settings: Any) -> dict[str, Any]:
    """The section for a broker of a test."""
    return {"host": HOST, "port": port, **settings}


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}
