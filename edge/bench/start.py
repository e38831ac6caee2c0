"""The daemon as a process: time from its start to ready, and the memory that it comes to hold."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge.annotate import VideoWriter
from edge.errors import OstiaryError

TIMEOUT_S = 120.0
_NOW, _PEAK = re.compile(r"VmRSS:\s+(\d+) kB"), re.compile(r"VmHWM:\s+(\d+) kB")


@dataclass(frozen=True, slots=True)
class Start:
    """One run of the daemon over a clip."""

    ready_s: float
    """From starting Python to the line "ready"."""
    rss_bytes: int
    """Resident memory while it works, the median of samples; with all that the process shares."""
    peak_rss_bytes: int
    """The most that was resident at any time."""


def measure(*, clip: Path | None = None, bundle: Path | None = None) -> Start:
    """Run `ostiary run` over `clip` (a short grey 1280x720 one when None) with an empty gallery and no broker."""
    with tempfile.TemporaryDirectory(prefix="ostiary-bench-") as folder:
        path = clip or _grey_clip(Path(folder) / "grey.avi")
        command = [
            sys.executable,
            "-m",
            "edge",
            "run",
            "--no-mqtt",
            "--camera",
            str(path),
            "--gallery",
            f"{folder}/gallery.sqlite",
        ]
        if bundle is not None:
            command += ["--bundle", str(bundle)]
        return _run(command)


def _run(command: list[str]) -> Start:
    started, ready_s = time.perf_counter(), 0.0
    samples: list[tuple[int, int]] = []
    lines: list[str] = []
    with subprocess.Popen(  # noqa: S603 - our own program
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        watcher = threading.Thread(target=_watch_memory, args=(process, samples), daemon=True)
        watcher.start()
        for line in process.stderr or ():
            lines.append(line)
            if not ready_s and " ready in " in line:
                ready_s = time.perf_counter() - started
        process.wait(TIMEOUT_S)
        watcher.join(1)
    if process.returncode or not ready_s or not samples:
        raise OstiaryError("the daemon did not run: " + "".join(lines[-3:]).strip(), where=" ".join(command))
    now, peak = zip(*samples[len(samples) // 2 :], strict=True)
    return Start(round(ready_s, 3), int(np.median(now)), max(peak))


def _watch_memory(process: subprocess.Popen[str], samples: list[tuple[int, int]]) -> None:
    """Resident bytes now and at most so far, every 20 ms."""
    status = Path(f"/proc/{process.pid}/status")
    while process.poll() is None:
        with contextlib.suppress(OSError):
            text = status.read_text(encoding="ascii", errors="replace")
            now, peak = _NOW.search(text), _PEAK.search(text)
            if now and peak:
                samples.append((int(now[1]) * 1024, int(peak[1]) * 1024))
        time.sleep(0.02)


def _grey_clip(path: Path) -> Path:
    writer = VideoWriter(path)
    for level in range(30):
        writer.write(np.full((720, 1280, 3), 100 + level, np.uint8))
    writer.close()
    return path
