"""Plays the day, writes the samples, and says what came of it."""

from __future__ import annotations

import argparse
import csv
import dataclasses
import os
import tempfile
from pathlib import Path

from tests.bench.soak.day import GROWTH_BYTES, Growth, Sample, problems
from tests.bench.soak.play import Play, soak


def main() -> int:
    """1 when something is wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.soak")
    parser.add_argument("--hours", type=float, default=24, help="simulated")
    parser.add_argument("--every", type=float, default=1.0, metavar="S", help="real seconds between two samples")
    parser.add_argument("--csv", type=Path, help="where the samples go")
    parser.add_argument(
        "--keep", type=Path, help="folder for the daemon's files and log; a temporary one when left out"
    )
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ostiary-soak-") as name:
        play = soak(args.keep or Path(name), args.hours, every_s=args.every, tell=lambda line: print(line, flush=True))
    if args.csv:
        write_csv(args.csv, play.samples)
    return report(play)


def report(play: Play) -> int:
    """The numbers, and the verdict."""
    day, growth = play.day, Growth.of(play.samples)
    newest = play.samples[-1]
    print(f"\n{newest.sim_h:.2f} simulated hours in {newest.wall_s:.0f} s, load {os.getloadavg()[0]:.2f}")
    print(f"frames {day.health['counters']['frames']:,}, embeddings {day.health['counters']['embeddings']:,}")
    print(
        f"events {dict(day.kinds)}, repeated {day.repeated}, dropped {day.outbox['dropped']}, left {day.outbox['depth']}"
    )
    print(f"done: {dict(play.done)}")
    print(f"camera: {day.health['camera']}")
    print(f"counters: {day.health['counters']}")
    for name in ("rss_bytes", "own_bytes"):
        first, last = getattr(growth, name)
        print(
            f"{name}: {first / 1e6:.2f} MB -> {last / 1e6:.2f} MB: {(last - first) / 1e6:+.2f} MB (limit {GROWTH_BYTES / 1e6:+.1f})"
        )
    for name in ("threads", "fds"):
        first, last = getattr(growth, name)
        print(f"{name}: {first:g} -> {last:g}, at most {max(getattr(one, name) for one in play.samples)}")
    found = problems(day, play.samples)
    print("verdict: " + ("; ".join(found) or "flat, nothing leaked, every event accounted for"))
    return int(bool(found))


def write_csv(path: Path, samples: list[Sample]) -> None:
    """One row a sample."""
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.DictWriter(file, [one.name for one in dataclasses.fields(Sample)])
        rows.writeheader()
        rows.writerows(dataclasses.asdict(one) for one in samples)


if __name__ == "__main__":
    raise SystemExit(main())
