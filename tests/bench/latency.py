"""From the frame to the subscriber: the demo clip at its own pace, the real daemon, mosquitto on the same box.

    python -m tests.bench.latency --visits 12 --rounds 5

The clip is the demo's (1280x720, 15 fps) with more visits; two people who are both enrolled take turns. Each round plays it
once with every variant of the settings, one after the other, so that what else the box does hits all alike. A further variant is
`--variant NAME decide.embed_interval_s=0.05 ...`. Measured for each visit, all by CLOCK_MONOTONIC:

* publishing: from the event accepted (on disk, `publish` returns) until the subscriber hears it; and from before it is stored
* frame to subscriber: from the capture of the frame that decided until it is heard
* first decision: from the capture of the first usable face until the first `recognized` of the visit is heard. The first usable
  face is the first frame of the visit in which a face is embedded whose quality (edge.quality) is at least decide.min_quality.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import tempfile
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edge.demo.broker import demo_broker
from tests.bench.doorway import Arrival, ear, make_box, merged, running, spread, start_daemon, write_visits
from tests.support.mosquitto import HOST

Row = dict[str, Any]


@dataclass(slots=True)
class Samples:
    """Milliseconds of one variant."""

    publishing: list[float] = field(default_factory=list)
    storing_and_publishing: list[float] = field(default_factory=list)
    frame_to_subscriber: list[float] = field(default_factory=list)
    first_decision: list[float] = field(default_factory=list)
    first_sight: list[float] = field(default_factory=list)
    good_frames: list[float] = field(default_factory=list)
    """Of a visit until its decision; not milliseconds."""
    frames: int = 0
    visits: int = 0
    undecided: int = 0
    others: int = 0
    """Events besides the first recognition of a visit: `unknown`, or a second announcement."""


def gather(samples: Samples, moments: list[Row], heard: list[Arrival], starts: list[int]) -> None:
    """What one run of the daemon showed."""
    heard_ns = {json.loads(one.payload)["event_id"]: one.heard_ns for one in heard}
    frames = {row["captured_ns"]: row for row in moments if row["what"] == "frame"}
    events = [row for row in moments if row["what"] == "event"]
    for event in events:
        at_ns = heard_ns[event["id"]]
        samples.publishing.append((at_ns - event["accepted_ns"]) / 1e6)
        samples.storing_and_publishing.append((at_ns - event["given_ns"]) / 1e6)
        samples.frame_to_subscriber.append((at_ns - event["captured_ns"]) / 1e6)
    samples.frames += len(frames)
    for begin, end in itertools.pairwise(starts):
        span = [now for now, row in frames.items() if begin <= row["index"] < end]
        gather_visit(samples, [row for row in moments if row["captured_ns"] in set(span)], heard_ns)


def gather_visit(samples: Samples, moments: list[Row], heard_ns: dict[str, int]) -> None:
    """What was seen between two empty doors."""
    events = [row for row in moments if row["what"] == "event"]
    good = sorted(row["captured_ns"] for row in moments if row["what"] == "good")
    seen = [row["captured_ns"] for row in moments if row["what"] == "frame" and row["faces"]]
    named = [event for event in events if event["type"] == "recognized"]
    samples.visits += 1
    samples.others += len(events) - bool(named)
    if not named:
        samples.undecided += 1
        return
    at_ns = heard_ns[named[0]["id"]]
    samples.first_decision.append((at_ns - good[0]) / 1e6)
    samples.first_sight.append((at_ns - min(seen)) / 1e6)
    samples.good_frames.append(sum(one <= named[0]["captured_ns"] for one in good))


@dataclass(frozen=True, slots=True)
class Scene:
    """What every run has in common."""

    clip: Path
    starts: list[int]
    """Frames at which visits begin, and behind them the clip's length."""
    port: int
    protocol: str


def play(folder: Path, scene: Scene, changes: list[str], samples: Samples) -> None:
    """One run of the daemon over the clip."""
    settings = {
        "device": {"name": "front"},
        "camera": {"uri": str(scene.clip), "name": "porch", "realtime": True},
        "mqtt": {"host": HOST, "port": scene.port, "protocol": scene.protocol},
    }
    box = make_box(folder, merged(settings, changes))
    with ear(scene.port) as listening:
        process = start_daemon(box, "-m", "tests.bench.observed")
        with running(process):
            code = process.wait()
        if code != 0:
            raise SystemExit(f"the daemon ended with {code}:\n{box.log.read_text(encoding='utf-8')}")
        moments = [json.loads(line) for line in box.config.with_name("moments.jsonl").read_text("utf-8").splitlines()]
        gather(samples, moments, listening.on("/event"), scene.starts)


def main() -> None:
    """Every variant in every round, then the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--visits", type=int, default=12, help="in the clip")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--variant", nargs="+", action="append", default=[], metavar="NAME KEY=VALUE")
    parser.add_argument("--json", type=Path, help="where every sample goes")
    args = parser.parse_args()
    variants: dict[str, list[str]] = {"default": [], **{one[0]: one[1:] for one in args.variant}}
    results: dict[str, Samples] = defaultdict(Samples)
    with tempfile.TemporaryDirectory(prefix="ostiary-bench-") as name, demo_broker() as (_, port, protocol):
        clip = Path(name) / "visits.avi"
        scene = Scene(clip, write_visits(clip, args.visits), port, protocol)
        print(f"clip: {args.visits} visits, {scene.starts[-1]} frames at 15 fps; load before: {os.getloadavg()[0]:.2f}")
        for number in range(args.rounds):
            for title, changes in variants.items():
                play(Path(name) / f"{title}-{number}", scene, changes, results[title])
                print(f"round {number + 1}, {title}: load {os.getloadavg()[0]:.2f}", flush=True)
    print_table(results)
    if args.json:
        args.json.write_text(json.dumps({title: vars_of(one) for title, one in results.items()}), encoding="utf-8")


def vars_of(samples: Samples) -> Row:
    """As plain data."""
    return {name: getattr(samples, name) for name in Samples.__slots__}


def print_table(results: dict[str, Samples]) -> None:
    """One row for each variant and measure."""
    print("\n| variant | measured | p50 ms | p95 ms | most ms | n |\n|---|---|---|---|---|---|")
    for title, one in results.items():
        print(f"| {title} | publishing: accepted to heard | {spread(one.publishing)} |")
        print(f"| | stored and published: decided to heard | {spread(one.storing_and_publishing)} |")
        print(f"| | deciding frame to subscriber | {spread(one.frame_to_subscriber)} |")
        print(f"| | first usable face to first decision, heard | {spread(one.first_decision)} |")
        print(f"| | first face seen at all to first decision, heard | {spread(one.first_sight)} |")
        print(f"| | good frames it took | {spread(one.good_frames)} |")
        print(
            f"| | visits, undecided, other events; frames | {one.visits}, {one.undecided}, {one.others}; {one.frames} | | | |"
        )


if __name__ == "__main__":
    main()
