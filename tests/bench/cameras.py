"""How many cameras fit on one box: one daemon alone, and several beside each other, with one broker.

    python -m tests.bench.cameras --counts 1 2 4 10

As the template unit has it: a process, a configuration, a device name and a state folder for each camera. All play the demo clip
(1280x720, 15 fps) at its own pace, each a little later than the one before. What is counted lies between the first frame of the
last daemon and the last frame of the first one. Settings of all of them: `--set camera.rate_fps=5 detect.width_px=320`.

First decision is from the first usable face until the event is heard, as tests.bench.latency has it. A camera fits while its daemon takes 95 of 100 frames: what a realtime source cannot hand over in time it drops.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edge.demo.broker import demo_broker
from edge.demo.clip import FPS
from tests.bench.doorway import (
    PORTRAITS,
    Arrival,
    Box,
    ear,
    make_box,
    merged,
    running,
    start_daemon,
    write_visits,
)
from tests.bench.latency import Samples, gather
from tests.support.mosquitto import HOST

APART_S = 0.7
FITS = 0.95
_TICKS = os.sysconf("SC_CLK_TCK")
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Sample:
    """All daemons at one moment, in the order of their start."""

    at_ns: int
    cpu_s: tuple[float, ...]
    rss_bytes: tuple[int, ...]
    pss_bytes: tuple[int, ...]


def look(processes: list[subprocess.Popen[bytes]]) -> Sample | None:
    """None once one of them has ended."""
    cpu_s, rss, pss = [], [], []
    try:
        for process in processes:
            folder = Path(f"/proc/{process.pid}")
            fields = (folder / "stat").read_text(encoding="ascii").rpartition(")")[2].split()
            cpu_s.append((int(fields[11]) + int(fields[12])) / _TICKS)
            rollup = (folder / "smaps_rollup").read_text(encoding="ascii").splitlines()
            sizes = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in rollup[1:]}
            rss.append(sizes["Rss"])
            pss.append(sizes["Pss"])
    except (OSError, KeyError):
        return None
    return Sample(time.monotonic_ns(), tuple(cpu_s), tuple(rss), tuple(pss))


def play(boxes: list[Box], port: int) -> tuple[list[Sample], list[list[Row]], list[Arrival]]:
    """All of them, until the last has ended: samples, the moments of each, and what was heard."""
    samples: list[Sample] = []
    with ear(port) as listening:
        processes = []
        for box in boxes:
            processes.append(start_daemon(box, "-m", "tests.bench.observed"))
            time.sleep(APART_S)
        with running(*processes):
            while any(process.poll() is None for process in processes):
                if all(process.poll() is None for process in processes) and (sample := look(processes)):
                    samples.append(sample)
                time.sleep(0.5)
        for box, process in zip(boxes, processes, strict=True):
            if process.returncode != 0:
                raise SystemExit(f"{box.folder.name} ended with {process.returncode}:\n{box.log.read_text('utf-8')}")
        texts = [box.config.with_name("moments.jsonl").read_text(encoding="utf-8") for box in boxes]
        return samples, [[json.loads(line) for line in text.splitlines()] for text in texts], listening.on("/event")


def describe(samples: list[Sample], moments: list[list[Row]], seen: Samples, fps: float) -> str:
    """One row of the table."""
    frames = [[row["captured_ns"] for row in rows if row["what"] == "frame"] for rows in moments]
    begin, end = max(times[0] for times in frames), min(times[-1] for times in frames)
    inside = [sample for sample in samples if begin <= sample.at_ns <= end]
    due = (end - begin) / 1e9 * fps
    shares = [sum(begin <= one <= end for one in times) / due for times in frames]
    wall_s = (inside[-1].at_ns - inside[0].at_ns) / 1e9
    cpu = [100 * (last - first) / wall_s for first, last in zip(inside[0].cpu_s, inside[-1].cpu_s, strict=True)]
    rss, pss = (np.median([getattr(one, name) for one in inside], axis=0) / 1e6 for name in ("rss_bytes", "pss_bytes"))
    return (
        f"| {len(moments)} | {np.mean(cpu):.0f} % | {sum(cpu):.0f} % | {np.mean(rss):.0f} | {np.mean(pss):.0f} | {sum(pss):.0f} "
        f"| {100 * np.mean(shares):.1f} % | {100 * min(shares):.1f} % | {len(seen.first_decision)} of {seen.visits} "
        f"| {p50_p95(seen.frame_to_subscriber)} | {p50_p95(seen.publishing)} | {p50_p95(seen.first_decision)} "
        f"| {'yes' if min(shares) >= FITS else 'no'} |"
    )


def p50_p95(values: list[float]) -> str:
    """For a cell."""
    return "{:.0f} / {:.0f}".format(*np.percentile(values, (50, 95))) if values else "-"


def make_boxes(folder: Path, settings: dict[str, Any], count: int) -> list[Box]:
    """One gallery, made once and given to each."""
    boxes: list[Box] = []
    for number in range(count):
        own = {**settings, "device": {"name": f"door-{number}"}}
        box = make_box(folder / f"door-{number}", own, people=0 if boxes else len(PORTRAITS))
        if boxes:
            shutil.copy(boxes[0].folder / "gallery.sqlite", box.folder)
        boxes.append(box)
    return boxes


def main() -> None:
    """A row for each count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--counts", type=int, nargs="+", default=[1, 2, 4, 10])
    parser.add_argument("--visits", type=int, default=8)
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", dest="changes")
    args = parser.parse_args()
    rates = [float(one.partition("=")[2]) for one in args.changes if one.startswith("camera.rate_fps=")]
    print(
        "| cameras | CPU each | CPU all | RSS each MB | PSS each MB | PSS all MB | frames taken | by the worst | recognized "
        "| frame to subscriber p50 / p95 ms | publishing | first decision | fits |\n|" + "---|" * 13
    )
    with tempfile.TemporaryDirectory(prefix="ostiary-bench-") as name, demo_broker() as (_, port, protocol):
        clip = Path(name) / "visits.avi"
        starts = write_visits(clip, args.visits)
        settings = {
            "camera": {"uri": str(clip), "name": "porch", "realtime": True},
            "mqtt": {"host": HOST, "port": port, "protocol": protocol},
        }
        for count in args.counts:
            boxes = make_boxes(Path(name) / f"with-{count}", merged(settings, args.changes), count)
            samples, moments, heard = play(boxes, port)
            seen = Samples()
            for rows in moments:
                gather(seen, rows, heard, starts)
            print(describe(samples, moments, seen, min([*rates, FPS])), flush=True)
    print(f"load at the end {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores")


if __name__ == "__main__":
    main()
