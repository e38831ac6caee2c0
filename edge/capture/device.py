"""What a live source asks of a camera or stream. A device is opened, used and closed by one thread only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from edge.datatypes import Image


@dataclass(frozen=True, slots=True, eq=False)
class Shot:
    """A picture as it came from a device, before any geometry."""

    image: Image
    captured_ns: int
    """time.monotonic_ns() of the exposure, as near as the device can tell."""
    small: Image | None = None


class Device(Protocol):
    """An open camera or stream."""

    def advance(self) -> None:
        """Wait for the next picture, without converting it. SourceError when there is none; may also never return."""

    def picture(self) -> Shot:
        """The picture that `advance` waited for."""

    def close(self) -> None:
        """Release it. Called once."""


OPEN_S = 5.0
"""Seconds that opening may take, up to the first picture, when nobody says."""


class Opener(Protocol):
    """Opens a device."""

    def __call__(self, limit_s: float = OPEN_S) -> Device:
        """SourceError when it is not there.

        Keeps `limit_s`, from here to the first picture, where its library can; may also take longer, or never return.
        """
