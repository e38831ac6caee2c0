"""Clocks that do as they are told, and outboxes on them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from edge.outbox import Bounds, Outbox
from edge.timebase import Clock

HOUR_S = 3600.0
QUICK_FOLDER = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 - nothing here survives a power cut, or has to


class Box:
    """A box with a battery-less clock: it boots, runs, stands still without power, and is set right or wrong."""

    def __init__(self) -> None:
        self.boot = 1
        self.up_s = 20.0
        self.unix = 1.8e9
        self.is_synced = True

    def clock(self) -> Clock:
        return Clock(lambda: int(self.up_s * 1e9), lambda: self.unix, lambda: self.is_synced)

    def run(self, seconds: float) -> None:
        self.up_s += seconds
        self.unix += seconds

    def reboot(self, *, off_s: float = 0.0, unix: float | None = None, is_synced: bool = True) -> None:
        """Without power for `off_s`; then its clock says `unix`, or the right time when left out."""
        self.boot += 1
        self.unix = self.unix + off_s if unix is None else unix
        self.up_s, self.is_synced = 15.0, is_synced

    @contextmanager
    def outbox(self, path: Path, **options: Any) -> Iterator[Outbox]:
        """Open until the block ends; `options` are bounds and a sealer."""
        sealer = options.pop("sealer", None)
        outbox = Outbox(path, bounds=Bounds(**options), clock=self.clock(), boot_id=f"boot-{self.boot}", sealer=sealer)
        try:
            yield outbox
        finally:
            outbox.close()


def seqs(outbox: Outbox) -> list[int]:
    return [one.seq for one in outbox.pending(limit=10_000)]
