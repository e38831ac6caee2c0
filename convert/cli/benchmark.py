"""`ostiary-convert benchmark`."""

from __future__ import annotations

import argparse
import json
import platform
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from convert.cli.common import Subcommands
from convert.cli.compare import parse_count, parse_positive, parse_size, parse_value
from convert.cli.table import facts, shortened, table
from edge.errors import EXIT_OK, UsageError

if TYPE_CHECKING:
    from convert.benchmark import Board, Counted, Result

_NAME_CHARS = 40
_DEFAULT_ROOT = Path(".arm64-root")
BOARD_NAMES = ("pi4", "pi5")
"""convert.benchmark.BOARDS, whose import is slow; a test holds the two together."""
_COUNTED = 3
_EPILOG = """\
examples:
  ostiary-convert benchmark face.onnx face-float32.tflite face-uint8.tflite --seconds 20
  ostiary-convert benchmark face-float32.tflite face-uint8.tflite --emulate pi4

Everybody runs once a round, in one process. A time is what a device spends on a picture that is ready: handing over the
input, running, taking the outputs; turning axes and quantising are left out. An .onnx runs in ONNX Runtime and cv2.dnn.

With --emulate, nothing is timed: the instructions of one inference are counted on an emulated board, in ai-edge-litert and in
tflite-runtime. Needs qemu-user, gcc, and an ARM root with both, which ./scripts/arm64-root makes."""


def add_command(commands: Subcommands) -> None:
    """Describe the subcommand."""
    about = (
        "The same network in TensorFlow, cv2.dnn, TFLite and ONNX Runtime: medians and ratios, taking turns in one run."
    )
    command = commands.add_parser(
        "benchmark",
        help="time a network in several runtimes",
        description=about,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("files", type=Path, nargs="+", metavar="FILE", help="networks; the first is the baseline")
    command.add_argument("--threads", type=parse_count, default=1, metavar="N", help="of each (default: %(default)s)")
    limit = command.add_mutually_exclusive_group()
    limit.add_argument("--runs", type=parse_count, metavar="N", help="rounds")
    limit.add_argument(
        "--seconds",
        type=parse_positive,
        default=10.0,
        metavar="S",
        help="of all rounds together (default: %(default)g)",
    )
    command.add_argument("--baseline", type=Path, metavar="FILE", help="what ratios are taken to")
    command.add_argument(
        "--size", type=parse_size, metavar="HxW", help="of the picture, where a network leaves it open"
    )
    command.add_argument(
        "--set", type=parse_value, action="append", default=[], metavar="NAME=X,...", help="an input that is no picture"
    )
    command.add_argument("--json", action="store_true", help="one JSON object, for programs")
    command.add_argument("--emulate", choices=BOARD_NAMES, help="count instructions on this board instead")
    command.add_argument(
        "--root",
        type=Path,
        default=_DEFAULT_ROOT,
        metavar="DIR",
        help="with --emulate: ARM system (default: %(default)s)",
    )
    command.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run it; returns the exit code."""
    return _count(args) if args.emulate else _time(args)


def _time(args: argparse.Namespace) -> int:
    from convert.benchmark import Limit, contenders_of, take_turns
    from edge.cli.bench import cpu_name

    contenders, faults = contenders_of(args.files, threads=args.threads, size=args.size, values=dict(args.set))
    for fault in faults:
        print(f"passed over: {fault}", file=sys.stderr)
    baseline = args.baseline.name if args.baseline else ""
    results = take_turns(contenders, Limit(args.runs, args.seconds), baseline)
    machine = f"{cpu_name()}, {platform.machine()}"
    if args.json:
        rows = [result.as_dict() for result in results]
        about = {"machine": machine, "threads": args.threads, "baseline": baseline or args.files[0].name}
        print(json.dumps({**about, "results": rows, "passed_over": faults}))
    else:
        print(shown(results, machine, args.threads))
    return EXIT_OK


def _count(args: argparse.Namespace) -> int:
    from convert.benchmark import BOARDS, count_all, find_emulator

    if args.threads != 1 or args.size is not None or args.set:
        raise UsageError("--emulate with --threads, --size or --set", expected="one thread, and networks of one size")
    emulator = find_emulator(args.root)
    board = BOARDS[args.emulate]
    baseline = args.baseline.name if args.baseline else args.files[0].name
    results, faults = count_all(
        args.files,
        emulator,
        board,
        baseline=baseline,
        runs=args.runs or _COUNTED,
        say=lambda text: print(text, file=sys.stderr, flush=True),
    )
    for fault in faults:
        print(f"passed over: {fault}", file=sys.stderr)
    version = f"qemu-aarch64 {emulator.version[0]}.{emulator.version[1]}"
    if args.json:
        about = {"board": board.title, "cpu": board.cpu, "emulator": version, "threads": 1, "baseline": baseline}
        print(json.dumps({**about, "results": [one.as_dict() for one in results], "passed_over": faults}))
    else:
        print(shown_counts(results, board, version))
    return EXIT_OK


def shown_counts(results: list[Counted], board: Board, emulator: str) -> str:
    """For a person; in millions."""
    head = facts([
        ("board", f"{board.title}: {board.cpu}, emulated by {emulator}"),
        ("counted", "instructions of one inference, one thread, in millions"),
        ("difference", f"of outputs, between the emulated board and this {platform.machine()}"),
    ])  # fmt: skip
    rows = [
        {
            "file": shortened(one.file, _NAME_CHARS),
            "runtime": one.runtime,
            "weights": one.precision,
            "instructions": f"{one.count.instructions / 1e6:.2f}",
            "dot products": f"{one.count.dot_products / 1e6:.2f}",
            "ratio": "-" if one.ratio is None else f"{one.ratio:.2f}",
            "difference": str(one.difference),
            "cosine": f"{one.difference.cosine:.5f}",
        }
        for one in results
    ]
    return f"{head}\n\n{table(rows, left=('file', 'runtime', 'weights'))}"


def shown(results: list[Result], machine: str, threads: int) -> str:
    """For a person."""
    head = facts([
        ("machine", machine),
        ("threads", str(threads)),
        ("rounds", str(results[0].spread.count)),
    ])  # fmt: skip
    rows = [
        {
            "file": shortened(one.file, _NAME_CHARS),
            "runtime": one.runner + ("" if one.is_bare else " *"),
            "weights": one.precision,
            "median ms": f"{one.spread.p50_ms:.2f}",
            "p95 ms": f"{one.spread.p95_ms:.2f}",
            "ratio": f"{one.ratio:.2f}",
        }
        for one in results
    ]
    text = f"{head}\n\n{table(rows, left=('file', 'runtime', 'weights'))}"
    return text if all(one.is_bare for one in results) else f"{text}\n\n* with turning axes and the like"
