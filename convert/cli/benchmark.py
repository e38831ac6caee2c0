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
from edge.errors import EXIT_OK

if TYPE_CHECKING:
    from convert.benchmark import Result

_NAME_CHARS = 40
_EPILOG = """\
example:
  ostiary-convert benchmark face.onnx face-float32.tflite face-uint8.tflite --seconds 20

Everybody runs once a round, in one process. A time is what a device spends on a picture that is ready: handing over the
input, running, taking the outputs; turning axes and quantising are left out. An .onnx runs in ONNX Runtime and cv2.dnn."""


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
    command.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run it; returns the exit code."""
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
