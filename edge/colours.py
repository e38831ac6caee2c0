"""Whether red and blue are swapped, judged by the skin of the faces that come by.

Haemoglobin and melanin both take more blue than red out of the light, so skin of every tone reflects more red than blue.
One face may say otherwise, in blue light or before a bright window; one after another they cannot. Nothing is corrected:
who calibrates a camera must know, and an embedder that was enrolled with swapped colours would be confused by a silent
change. Grey pictures, as of infrared light, say nothing.
"""

from __future__ import annotations

import logging
from collections import deque

import numpy as np

from edge.datatypes import Floats, Image
from edge.pipeline import FrameResult

FACES = 8
"""Visits that are judged together."""
SWAPPED = -0.10
"""Median of log(red / blue) below which the colours are called swapped; above its negative they are right again.

Over LFW (`python -m tests.faults.colours`) 1 of 9,467 faces is below, and 0 of 9,460 windows of FACES; with red and blue
exchanged all windows are.
"""
_GREY = 0.03
"""Below this the face has no colour that could be judged."""
_DARK, _BRIGHT = 25.0, 250.0
"""Grey levels: outside of these a channel is noise, or cut off."""
_LEAST_EYES_PX = 12.0
_HINT = (
    "Whoever makes the stream takes RGB for BGR: in picamera2 the format named RGB888 lies in memory as B, G, R, "
    "which is what OpenCV and most encoders want; elsewhere try the camera's other pixel formats."
)
log = logging.getLogger(__name__)


class Colours:
    """An attendant of the loop: one face a visit goes into a running median."""

    def __init__(self, shown: str) -> None:
        """`shown` names the camera in the log."""
        self._shown = shown
        self._balances: deque[float] = deque(maxlen=FACES)
        self._last_id = 0
        self.are_swapped = False

    def seen(self, result: FrameResult) -> None:
        """Judge faces that are new in this frame."""
        for track in result.tracks:
            if track.id <= self._last_id or track.detection.landmarks is None:
                continue
            balance = skin_balance(result.frame.image, track.detection.landmarks)
            if balance is not None:
                self._last_id = track.id
                self.add(balance)

    def tick(self) -> None:
        """Nothing happens between faces."""

    def add(self, balance: float) -> None:
        """One more face's `skin_balance`."""
        self._balances.append(balance)
        if len(self._balances) < FACES:
            return
        middle = float(np.median(self._balances))
        if middle < SWAPPED and not self.are_swapped:
            log.warning(
                "%s: red and blue are swapped: skin is bluer than red in %d visits. %s", self._shown, FACES, _HINT
            )
        if abs(middle) > -SWAPPED:
            self.are_swapped = middle < 0


def skin_balance(image: Image, landmarks: Floats) -> float | None:
    """Log of mean red over mean blue around the nose and on the inner cheeks of one face; None where that says nothing.

    Args:
        image: BGR uint8 HxWx3.
        landmarks: float32 5x2, as of a Detection.
    """
    eyes, nose, mouth = landmarks[:2], landmarks[2], landmarks[3:]
    apart = float(np.linalg.norm(eyes[1] - eyes[0]))
    if not np.isfinite(landmarks).all() or apart < _LEAST_EYES_PX:
        return None
    top = float(eyes[:, 1].mean()) + 0.3 * apart
    bottom = float(mouth[:, 1].mean()) - 0.15 * apart
    x1, x2 = float(nose[0]) - 0.4 * apart, float(nose[0]) + 0.4 * apart
    height, width = image.shape[:2]
    part = image[max(0, round(top)) : min(height, round(bottom)), max(0, round(x1)) : min(width, round(x2))]
    if part.size < 3 * 16:
        return None
    blue, green, red = part.reshape(-1, 3).mean(axis=0)
    if min(blue, red) < _DARK or max(blue, green, red) > _BRIGHT:
        return None
    balance = float(np.log(red / blue))
    return None if abs(balance) < _GREY and abs(float(np.log(green / blue))) < _GREY else balance
