"""What a picture itself says about its camera: frozen, black, or all right. Pure; times come from the caller.

Cameras freeze while frames go on arriving (a sensor that hangs behind a working encoder, a driver that gives the same
buffer again), and no time limit notices. A sensor's noise changes some pixel in every exposure, so a picture that is
bit by bit the same for long was not exposed again. A compressed stream of a scene in which nothing moves may repeat
itself exactly between two key frames, which cameras send every 1 to 4 s, hence the 10 s of camera.frozen_s; only cameras
with "smart" codecs and no clock in the picture wait longer, up to 20 s.
"""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np

from edge.datatypes import Image

Picture = Literal["ok", "frozen", "black"]
BLACK_MEAN = 20.0
"""Grey levels. Video black is 16 where nobody expands its range; a covered sensor's noise adds some."""
BLACK_SPREAD = 8.0
"""Grey levels between the darkest and the brightest part of the picture; noise averages out within a part."""
_PARTS = (16, 9)
_ROWS = 96
"""Rows that are looked at. A person, or the digits of a clock, cannot change without touching one of them."""
_LEAST_SAME = 10
"""Pictures that must be the same, however slowly they come."""
_BLACK_EVERY_S = 0.2
_MOST_PATIENT_S = 60.0


class Content:
    """Follows one camera's pictures."""

    def __init__(self, *, frozen_s: float, black_s: float) -> None:
        """As camera.frozen_s and camera.black_s: 0 never says so."""
        self._frozen_s = frozen_s
        self._black_s = black_s
        self._sample: Image | None = None
        self._same = 0
        self._same_since_s = 0.0
        self._changed_since_s = 0.0
        self._patience_s = frozen_s
        self._reopen_s = 0.0
        self._looked_s: float | None = None
        self._dark_since_s: float | None = None
        self.picture: Picture = "ok"
        """Of the newest picture."""

    def feed(self, image: Image, now_s: float) -> Picture:
        """State of the camera with this picture, BGR uint8 HxWx3."""
        sample = rows_of(image)
        is_same = self._sample is not None and _equal(sample, self._sample)
        if not is_same:
            self._sample = sample.copy()
            self._start_over(now_s)
        self._same += 1
        self._look_for_light(sample, now_s)
        # What shows nothing can be the same for ever without being frozen.
        if self._dark_since_s is not None:
            self._same, self._same_since_s = 1, now_s
            is_black = 0 < self._black_s <= now_s - self._dark_since_s
            self.picture = "black" if is_black else "ok"
        elif self._is_frozen(now_s):
            self._freeze(now_s)
        else:
            self.picture = "ok"
        return self.picture

    def wants_reopening(self, now_s: float) -> bool:
        """Whether a frozen camera is due to be opened anew: at once, then after twice as long each time. Says so once."""
        if self.picture != "frozen" or now_s < self._reopen_s:
            return False
        self._patience_s = min(2 * self._patience_s, max(_MOST_PATIENT_S, self._frozen_s))
        self._reopen_s = now_s + self._patience_s
        return True

    def interrupted(self) -> None:
        """The device was closed: what it showed before says nothing about how long it will show the same."""
        if self.picture != "frozen":
            self._sample = None
            self._looked_s = None

    def same_s(self, now_s: float) -> float:
        """For how long nothing has changed."""
        return now_s - self._same_since_s

    def _start_over(self, now_s: float) -> None:
        if self.picture == "frozen":
            self._changed_since_s = now_s
        elif now_s - self._changed_since_s > self._frozen_s:
            # It has been alive for a while: the next time counts as the first.
            self._patience_s = self._frozen_s
        self._same, self._same_since_s = 0, now_s

    def _is_frozen(self, now_s: float) -> bool:
        return self._frozen_s > 0 and self._same >= _LEAST_SAME and self.same_s(now_s) >= self._frozen_s

    def _freeze(self, now_s: float) -> None:
        if self.picture != "frozen":
            self.picture = "frozen"
            # The first time at once; one that froze again right after it was opened waits longer.
            self._reopen_s = now_s + self._patience_s - self._frozen_s

    def _look_for_light(self, sample: Image, now_s: float) -> None:
        if self._looked_s is not None and now_s - self._looked_s < _BLACK_EVERY_S:
            return
        self._looked_s = now_s
        if not is_black(sample):
            self._dark_since_s = None
        elif self._dark_since_s is None:
            self._dark_since_s = now_s


def rows_of(image: Image) -> Image:
    """A view of about _ROWS of its rows, evenly apart."""
    return image[:: max(1, image.shape[0] // _ROWS)]


def is_black(image: Image) -> bool:
    """Whether BGR uint8 `image` shows nothing: dark, and no part of it brighter than another."""
    parts = np.asarray(cv2.resize(image, _PARTS, interpolation=cv2.INTER_AREA)).mean(axis=2)
    return bool(parts.mean() < BLACK_MEAN and parts.max() - parts.min() < BLACK_SPREAD)


def _equal(one: Image, other: Image) -> bool:
    # A living camera differs in the first row already.
    return one.shape == other.shape and bool(np.array_equal(one[0], other[0])) and bool(np.array_equal(one, other))
