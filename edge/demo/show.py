"""The demo: a broker, an enrolment, a clip, the real daemon, and a subscriber that prints what it hears."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import yaml

from edge import watch
from edge.config import Settings, parse_settings
from edge.config.settings import Mqtt
from edge.datatypes import Image
from edge.demo.broker import Address
from edge.demo.clip import FPS, Visit, write_clip
from edge.demo.portraits import COLLINS, HOPPER
from edge.enrol import EnrolmentResult, Picture, enrol_pictures
from edge.errors import OstiaryError
from edge.gallery import gallery_of
from edge.pictures import read_picture
from edge.pipeline import thresholds_of
from edge.reader import PictureReader, load_models

LINGER_S = 0.5
"""The last messages are on their way when the daemon has ended."""


@dataclass(slots=True)
class Subscriber:
    """Hears everything that the daemon publishes, in a thread of its own."""

    mqtt: Mqtt
    lines: list[watch.Line] = field(default_factory=list)
    _stopping: threading.Event = field(default_factory=threading.Event)
    _ready: threading.Event = field(default_factory=threading.Event)

    def _listen(self, show: Callable[[watch.Line], None]) -> None:
        for line in watch.watch(self.mqtt, is_stopping=self._stopping.is_set):
            self._ready.set()
            if line.kind != "connection":
                self.lines.append(line)
                show(line)

    @contextlib.contextmanager
    def listening(self, show: Callable[[watch.Line], None]) -> Iterator[None]:
        """While the block runs, and LINGER_S longer."""
        thread = threading.Thread(target=self._listen, args=(show,), daemon=True)
        thread.start()
        self._ready.wait(5)
        try:
            yield
            time.sleep(LINGER_S)
        finally:
            self._stopping.set()
            thread.join(2)


@dataclass(frozen=True, slots=True)
class Files:
    """What the demo leaves in its folder."""

    folder: Path

    @property
    def config(self) -> Path:
        """A configuration to play with."""
        return self.folder / "ostiary.yaml"

    @property
    def clip(self) -> Path:
        """What the camera saw."""
        return self.folder / "clip.avi"

    @property
    def annotated(self) -> Path:
        """What the daemon saw in it."""
        return self.folder / "annotated.mp4"

    @property
    def sheet(self) -> Path:
        """Some of those frames on one page."""
        return self.folder / "contact-sheet.jpg"

    @property
    def log(self) -> Path:
        """The daemon's."""
        return self.folder / "daemon.log"

    def clear(self) -> None:
        """Take away what an earlier demo left."""
        for pattern in ("*.sqlite*", "clip.*", "annotated.*", "contact-sheet.*", "daemon.log", "events.svg"):
            for path in self.folder.glob(pattern):
                path.unlink()


def write_config(files: Files, address: Address, *, camera: str | None, bundle: Path | None = None) -> Settings:
    """The demo's ostiary.yaml, and what it means."""
    clip = {"realtime": True, "rate_fps": FPS} if camera is None else {}
    data: dict[str, object] = {
        "device": {"name": "demo"},
        "camera": {"uri": camera or str(files.clip), "name": "porch", **clip},
        "gallery": str(files.folder / "gallery.sqlite"),
        "mqtt": {"host": address.host, "port": address.port, "protocol": address.protocol},
        "publish": {"snapshot": True, "health_interval_s": 2.0, "presence_off_after_s": 1.5},
    }
    if bundle is not None:
        data["bundle"] = str(bundle)
    files.config.write_text(yaml.safe_dump(data, sort_keys=False), encoding="utf-8")
    return parse_settings(files.config.read_text(encoding="utf-8"), where=str(files.config))


def make_clip(files: Files) -> None:
    """Grace Hopper comes and goes, then Eileen Collins does."""
    write_clip(files.clip, [Visit(portrait.picture()) for portrait in (HOPPER, COLLINS)])


def enrol(settings: Settings, name: str, picture: Path) -> EnrolmentResult:
    """One person from one portrait. OstiaryError when the picture is refused."""
    models = load_models(settings)
    threshold = thresholds_of(models.bundle, settings.decide.operating_point).recognized
    pictures = [Picture(str(picture), lambda: read_picture(picture))]
    with gallery_of(settings, models.bundle.manifest) as gallery:
        result = enrol_pictures(gallery, name, pictures, PictureReader(models), settings.enrol, threshold=threshold)
    if result.identity is None:
        raise OstiaryError(result.refused[0].message, where=str(picture))
    return result


def run_daemon(files: Files, *, annotate: bool) -> int:
    """`ostiary run` as a process of its own, until its source ends or somebody presses Ctrl-C."""
    command = [sys.executable, "-m", "edge", "run", "--config", str(files.config)]
    command += ["--annotate", str(files.annotated)] if annotate else []
    with files.log.open("wb") as log:
        process = subprocess.Popen(command, stderr=log, stdout=log)  # noqa: S603 - our own program
        try:
            return process.wait()
        except KeyboardInterrupt:
            process.terminate()
            return process.wait(10)


def make_sheet(files: Files, *, columns: int = 3, rows: int = 3) -> None:
    """A page of frames from the annotated video, evenly over the two visits."""
    frames = _frames(files.annotated)
    wanted = columns * rows
    if not frames:
        return
    picked = [frames[(2 * position + 1) * len(frames) // (2 * wanted)] for position in range(wanted)]
    small = [cv2.resize(frame, (480, 270), interpolation=cv2.INTER_AREA) for frame in picked]
    lines = [cv2.hconcat(small[start : start + columns]) for start in range(0, wanted, columns)]
    cv2.imwrite(str(files.sheet), cv2.vconcat(lines), [cv2.IMWRITE_JPEG_QUALITY, 88])


def _frames(path: Path, *, every: int = FPS // 3) -> list[Image]:
    capture = cv2.VideoCapture(str(path))
    frames: list[Image] = []
    while capture.grab():
        if len(frames) * every <= capture.get(cv2.CAP_PROP_POS_FRAMES):
            frames.append(np.asarray(capture.retrieve()[1], np.uint8))
    capture.release()
    return frames
