"""The door of the soak: what its camera shows at every moment of simulated time, and how it fails.

Time on stage runs as fast as frames are taken: every frame is 1 / FPS of a simulated second after the one before, and carries that
moment as its `timeline_ns`, on which tracking and decisions live. The camera is a real LiveSource with its worker thread and its
supervision; only the device behind it is played.
"""

from __future__ import annotations

import dataclasses
import os
import struct
import threading
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edge.capture.device import OPEN_S, Shot
from edge.capture.live import LiveSource
from edge.datatypes import Frame, Image
from edge.demo.clip import FPS as DOOR_FPS
from edge.demo.clip import Visit, door_frames
from edge.demo.portraits import COLLINS, HOPPER
from edge.errors import SourceError

FPS = 4
SIZE = (320, 180)
VISIT_EVERY_MIN, VISIT_AT_MIN, VISIT_S = 5, 1, 8
REPEATED = 2
"""A visitor moves in every other frame: half the work before the play begins."""
FAULT_AT_MIN = 3
FAULTS = ("unplugged", "stalled", "frozen", "black", "unreadable")
"""One an hour, in turn."""
BAD_PICTURES_S = 3.0
"""Real seconds for which a camera shows a frozen or a black picture."""
_NUMBERS = struct.Struct("<qq")


def number_at(minute: float) -> int:
    """Frame that is taken at a minute of simulated time."""
    return round(minute * 60 * FPS)


def minute_of(number: int) -> float:
    """Simulated minutes until a frame."""
    return number / FPS / 60


class Clock:
    """Two numbers in a file: the newest frame, which the daemon writes, and the last one that it may take for now."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
        if os.fstat(self._file).st_size == 0:
            os.pwrite(self._file, _NUMBERS.pack(0, 0), 0)

    def newest(self) -> int:
        """Frame that was taken last."""
        return int(_NUMBERS.unpack(os.pread(self._file, _NUMBERS.size, 0))[0])

    def limit(self) -> int:
        """Frame at which time stands still."""
        return int(_NUMBERS.unpack(os.pread(self._file, _NUMBERS.size, 0))[1])

    def note(self, number: int) -> None:
        """The daemon has taken it."""
        os.pwrite(self._file, struct.pack("<q", number), 0)

    def set_limit(self, number: int) -> None:
        """Time may go on until then."""
        os.pwrite(self._file, struct.pack("<q", number), 8)


class Pictures:
    """All that the camera ever sees, made beforehand."""

    def __init__(self) -> None:
        random = np.random.default_rng(5)
        visits = [Visit(portrait.picture(), VISIT_S * FPS // REPEATED) for portrait in (HOPPER, COLLINS)]
        # Made small one by one: all of them at full size would be most of the process's memory.
        frames = [self._small(frame) for frame in door_frames(visits, random)]
        length = DOOR_FPS + visits[0].frames
        self._empty = frames[:DOOR_FPS]
        self._visits = [frames[begin + DOOR_FPS : begin + length] for begin in (0, length)]
        self.black: Image = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)

    @staticmethod
    def _small(frame: Image) -> Image:
        return np.asarray(cv2.resize(frame, SIZE, interpolation=cv2.INTER_AREA), np.uint8)

    def at(self, number: int, stamp: int) -> Image:
        """What is seen in that frame; no two stamps give the same picture."""
        image = self._base(number, stamp).copy()
        bits = np.unpackbits(np.frombuffer(stamp.to_bytes(4, "big"), np.uint8)) * np.uint8(255)
        image[0, : len(bits)] = bits[:, None]
        return image

    def _base(self, number: int, stamp: int) -> Image:
        turn, within = divmod(number - number_at(VISIT_AT_MIN), number_at(VISIT_EVERY_MIN))
        if turn >= 0 and within < VISIT_S * FPS:
            return self._visits[turn % 2][within // REPEATED]
        return self._empty[stamp * 7 % len(self._empty)]


class Stage:
    """Simulated time, and the camera's health. Shared by the devices that are opened one after the other.

    Time stands still, though frames go on, at the limit that the watching process sets: it does what is due at that moment.
    """

    def __init__(self, hours: float, clock: Clock) -> None:
        self.total = number_at(hours * 60)
        self.number = 0
        self._clock = clock
        self._taken = 0
        self.wanted = threading.Event()
        self.moments: dict[int, int] = {}
        self._pictures = Pictures()
        self._opened = 0
        self._closed_until = 0
        self._bad_until_s = 0.0
        self._bad: Image | None = None

    def open(self, _limit_s: float = OPEN_S) -> StageDevice:
        """What LiveSource calls: SourceError while the camera is unplugged."""
        self._opened += 1
        self._bad = None
        if self._opened < self._closed_until:
            raise SourceError("no such device", where="stage", hint="It comes back.")
        return StageDevice(self, self._opened)

    def is_current(self, opened: int) -> bool:
        """Whether no other device was opened since."""
        return opened == self._opened

    def advance(self, opened: int) -> None:
        """The next moment, with what goes wrong in it."""
        # A bad camera keeps its own pace, so that it is the source that finds out.
        while self._bad is None and not self.wanted.wait(0.2):
            if not self.is_current(opened):
                raise SourceError("given up", where="stage")
        self.wanted.clear()
        if self.number >= self._clock.limit():
            time.sleep(0.02)
            return
        self.number += 1
        hour, within = divmod(self.number - number_at(FAULT_AT_MIN), number_at(60))
        if hour >= 0 and within == 0:
            self._fail(FAULTS[hour % len(FAULTS)], opened)
        if self._bad is not None:
            time.sleep(0.05)
            if time.monotonic() > self._bad_until_s:
                self._bad = None

    def _fail(self, kind: str, opened: int) -> None:
        if kind == "unplugged":
            self._closed_until = self._opened + 2
            raise SourceError("unplugged", where="stage")
        if kind == "unreadable":
            raise OSError("the driver says something new")
        if kind == "stalled":
            # Until another device was opened: then this thread may end, as one does that wakes at last.
            while self.is_current(opened):
                time.sleep(0.05)
            raise SourceError("woken too late", where="stage")
        self._bad = self._pictures.black if kind == "black" else self._pictures.at(self.number, self._taken)
        self._bad_until_s = time.monotonic() + BAD_PICTURES_S

    def shot(self) -> Shot:
        """The present moment as a picture."""
        self._taken += 1
        image = self._pictures.at(self.number, self._taken) if self._bad is None else self._bad.copy()
        captured_ns = time.monotonic_ns()
        if len(self.moments) > 8:
            self.moments.clear()
        self.moments[captured_ns] = self.number
        return Shot(image, captured_ns)

    def note_progress(self) -> None:
        """For the process that watches."""
        self._clock.note(self.number)


class StageDevice:
    """See edge.capture.device.Device."""

    def __init__(self, stage: Stage, opened: int) -> None:
        self._stage = stage
        self._opened = opened

    def advance(self) -> None:
        self._stage.advance(self._opened)

    def picture(self) -> Shot:
        return self._stage.shot()

    def close(self) -> None:
        pass


class StageSource:
    """A LiveSource that is asked for one frame at a time, and ends with the play."""

    is_live = True

    def __init__(self, inner: LiveSource, stage: Stage) -> None:
        self._inner = inner
        self._stage = stage

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def read(self) -> Frame | None:
        """The next frame, at its simulated moment."""
        if self._stage.number >= self._stage.total:
            return None
        self._stage.wanted.set()
        frame = self._inner.read()
        if frame is None:
            return None
        self._stage.note_progress()
        number = self._stage.moments.pop(frame.captured_ns, self._stage.number)
        return dataclasses.replace(frame, timeline_ns=number * 1_000_000_000 // FPS)

    def close(self) -> None:
        self._inner.close()
