"""`ostiary bench`: how fast is this box?"""

from __future__ import annotations

import argparse
import dataclasses
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edge.cli.common import print_json, settings_of
from edge.config import Settings
from edge.errors import UsageError

DEFAULT = ("stages", "gallery", "start")
TERMINAL_COLUMNS = 100


def run(args: argparse.Namespace) -> int:
    """One measurement after the other; each says what it measured."""
    unknown = [what for what in args.what if what not in _MEASUREMENTS]
    if unknown:
        raise UsageError(f"nothing called {unknown[0]!r} to measure", expected=f"one of {', '.join(_MEASUREMENTS)}")
    settings = settings_of(args)
    if not args.json:
        print(f"{platform.machine()}, {cpu_name()}, {settings.runtime.threads} thread(s)")
    for what in args.what or DEFAULT:
        rows = _MEASUREMENTS[what](settings, args)
        if args.json:
            print_json({"what": what, "rows": rows})
        else:
            print(f"\n{what}: {_TITLES[what]}")
            _print_table(rows)
    return 0


def _stages(settings: Settings, args: argparse.Namespace) -> list[dict[str, Any]]:
    from edge.bench import stages
    from edge.demo.portraits import HOPPER
    from edge.pictures import read_picture
    from edge.reader import load_models

    rows = stages.measure(load_models(settings), read_picture(args.picture or HOPPER.path()))
    return [{"stage": stage, **dataclasses.asdict(spread)} for stage, spread in rows.items()]


def _gallery(settings: Settings, args: argparse.Namespace) -> list[dict[str, Any]]:  # noqa: ARG001
    from edge.bench import gallery

    return [{"embeddings": size, **dataclasses.asdict(spread)} for size, spread in gallery.measure().items()]


def _clip(settings: Settings, args: argparse.Namespace) -> list[dict[str, Any]]:
    from edge.bench import clip

    if args.clip is None:
        raise UsageError("no clip to measure with", expected="--clip FILE", hint="Any video with several people in it.")
    rounds = clip.measure(args.clip, settings, plain_bundle=args.plain_bundle, rounds=args.rounds)
    return [dataclasses.asdict(one) for one in rounds]


def _start(settings: Settings, args: argparse.Namespace) -> list[dict[str, Any]]:
    from edge.bench import start

    return [dataclasses.asdict(start.measure(clip=args.clip, bundle=settings.bundle)) for _ in range(args.rounds)]


_MEASUREMENTS: dict[str, Callable[[Settings, argparse.Namespace], list[dict[str, Any]]]] = {
    "stages": _stages,
    "clip": _clip,
    "gallery": _gallery,
    "start": _start,
}
_TITLES = {
    "stages": "each stage alone, a 640x480 frame with one face",
    "clip": "the pipeline beside a plain loop, CPU time a frame, decoding left out of both",
    "gallery": "one search",
    "start": "`ostiary run` as a process",
}


def _print_table(rows: list[dict[str, Any]]) -> None:
    """A line a row where that fits a terminal; else a paragraph a row."""
    cells = [{name: _shown(name, value) for name, value in row.items() if not isinstance(value, dict)} for row in rows]
    widths = {name: max(len(name), *(len(row[name]) for row in cells)) for name in cells[0]}
    if sum(widths.values()) + 2 * len(widths) <= TERMINAL_COLUMNS:
        print("  " + "  ".join(name.rjust(width) for name, width in widths.items()))
        for row in cells:
            print("  " + "  ".join(row[name].rjust(width) for name, width in widths.items()))
        return
    longest = max(len(name) for name in widths)
    for row in cells:
        print("\n".join(f"  {name:<{longest}}  {text}" for name, text in row.items()) + "\n")


def _shown(name: str, value: Any) -> str:
    if name.endswith("_bytes"):
        return f"{value / 1e6:.1f} MB"
    return ", ".join(value) or "nobody" if isinstance(value, list) else str(value)


def cpu_name() -> str:
    """What the kernel calls the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return "unknown processor"
    names = [line.partition(":")[2].strip() for line in lines if line.startswith(("model name", "Model"))]
    return names[0] if names else "unknown processor"
