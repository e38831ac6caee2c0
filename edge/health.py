"""What the daemon tells about itself: stage times, counters, the box's state, and systemd's readiness and watchdog."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from edge import __version__
from edge.timebase import boot_id, clock_synced

WINDOW = 512
"""Frames over which percentiles are taken: about 20 s at 25 frames a second."""
STAGES = ("capture", "detect", "align", "embed", "match", "decide", "publish")


class Timings:
    """Milliseconds that each stage took, the newest WINDOW of them."""

    def __init__(self) -> None:
        self._values: dict[str, deque[float]] = {}
        self._listener: Callable[[str, float], None] | None = None

    def listen(self, listener: Callable[[str, float], None] | None) -> None:
        """Tell each of them to somebody else, too; None ends it."""
        self._listener = listener

    def add(self, stage: str, milliseconds: float) -> None:
        """One more."""
        self._values.setdefault(stage, deque(maxlen=WINDOW)).append(milliseconds)
        if self._listener is not None:
            self._listener(stage, milliseconds)

    def summary(self) -> dict[str, dict[str, float]]:
        """Stage -> its p50 and p95 in milliseconds."""
        rows = {stage: np.percentile(values, (50, 95)) for stage, values in self._values.items()}
        return {stage: {"p50": round(float(row[0]), 3), "p95": round(float(row[1]), 3)} for stage, row in rows.items()}


class StageClock:
    """Times the stages of one frame: `with clock.stage("detect"): ...`; a stage entered twice is added up."""

    def __init__(self, timings: Timings) -> None:
        self._timings = timings
        self.milliseconds: dict[str, float] = {}

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count the time inside as `name`'s."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.add(name, (time.perf_counter() - start) * 1e3)

    def add(self, name: str, milliseconds: float) -> None:
        """Count a time that was measured elsewhere."""
        self.milliseconds[name] = self.milliseconds.get(name, 0.0) + milliseconds

    def finish(self) -> None:
        """The frame is done: hand its times over."""
        for name, value in self.milliseconds.items():
            self._timings.add(name, value)


class Health:
    """Counters and timings of one run."""

    def __init__(self) -> None:
        self.timings = Timings()
        self.counters: Counter[str] = Counter()
        self._started = time.monotonic()

    def report(self, extra: Mapping[str, Any], counters: Mapping[str, int]) -> dict[str, Any]:
        """The /health payload; `extra` and `counters` are what other parts know (outbox, camera, gallery_revision, ...)."""
        return {
            "schema": 1,
            "version": __version__,
            "boot_id": boot_id(),
            "uptime_s": round(time.monotonic() - self._started, 1),
            "clock_synced": clock_synced(),
            "temperature_c": temperature_c(),
            "rss_bytes": rss_bytes(),
            "counters": dict(sorted({**self.counters, **counters}.items())),
            "stages_ms": self.timings.summary(),
            **extra,
        }


def rss_bytes() -> int:
    """Resident memory of this process."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def temperature_c(folder: Path = Path("/sys/class/thermal")) -> float | None:
    """Hottest thermal zone of the box in degrees Celsius; None where it has none."""
    readings = []
    for zone in folder.glob("thermal_zone*/temp"):
        with contextlib.suppress(OSError, ValueError):
            readings.append(int(zone.read_text(encoding="ascii")) / 1000)
    return round(max(readings), 1) if readings else None


class ServiceManager:
    """sd_notify(3): tells systemd that the daemon is ready, alive, or stopping. Does nothing outside systemd."""

    def __init__(self, address: str | None = None) -> None:
        self._address = address if address is not None else os.environ.get("NOTIFY_SOCKET", "")

    def ready(self, status: str) -> None:
        """Start-up is over."""
        self._send(f"READY=1\nSTATUS={status}")

    def alive(self) -> None:
        """A frame got through all stages."""
        self._send("WATCHDOG=1")

    def stopping(self) -> None:
        """Shutdown has begun."""
        self._send("STOPPING=1")

    def restarting(self) -> None:
        """The daemon begins again in the same process, and will say that it is ready."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}\nSTATUS=starting again")

    def _send(self, message: str) -> None:
        if not self._address:
            return
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
            channel.sendto(message.encode(), address)
