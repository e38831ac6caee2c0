"""Plays the day, writes samples and plot, and says what came of it."""

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
    parser.add_argument("--plot", type=Path, help="where the picture goes")
    parser.add_argument(
        "--keep", type=Path, help="folder for the daemon's files and log; a temporary one when left out"
    )
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ostiary-soak-") as name:
        play = soak(args.keep or Path(name), args.hours, every_s=args.every, tell=lambda line: print(line, flush=True))
    if args.csv:
        write_csv(args.csv, play.samples)
    if args.plot:
        plot(args.plot, play.samples)
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
    for name in ("rss_bytes", "pss_bytes"):
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


def plot(path: Path, samples: list[Sample]) -> None:
    """Memory, handles and outbox over the simulated day."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    hours = [one.sim_h for one in samples]
    figure, (memory, handles, outbox) = plt.subplots(3, 1, figsize=(8, 6), sharex=True, layout="constrained")
    memory.plot(hours, [one.rss_bytes / 1e6 for one in samples], label="RSS")
    memory.plot(hours, [one.pss_bytes / 1e6 for one in samples], label="PSS")
    memory.set_ylabel("MB")
    memory.set_ylim(bottom=0)
    handles.plot(hours, [one.fds for one in samples], label="descriptors")
    handles.plot(hours, [one.threads for one in samples], label="threads")
    handles.set_ylim(bottom=0)
    outbox.plot(hours, [one.outbox_depth for one in samples], label="events waiting")
    outbox.plot(hours, [one.outbox_dropped for one in samples], label="events dropped")
    outbox.set_xlabel("simulated hours")
    for axis in (memory, handles, outbox):
        axis.legend(loc="center right", frameon=False)
        axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=100)


if __name__ == "__main__":
    raise SystemExit(main())
