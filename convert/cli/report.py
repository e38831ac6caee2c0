"""`ostiary-convert report`."""

from __future__ import annotations

import argparse
from pathlib import Path

from convert.cli.common import Subcommands
from edge.errors import EXIT_OK, UsageError


def add_command(commands: Subcommands) -> None:
    """Describe the subcommand."""
    about = (
        "One self-contained HTML page about a bundle or a folder of artifacts, and the same figures as JSON beside it."
        " With pictures and pairs the accuracy is measured end to end, and drawn."
    )
    command = commands.add_parser("report", help="write a page about a bundle", description=about)
    command.add_argument("folder", type=Path, metavar="DIR", help="what `ostiary-convert build` wrote")
    command.add_argument("--images", type=Path, metavar="TAR|DIR", help="pictures named NAME/NAME_0001.jpg")
    command.add_argument(
        "--pairs",
        type=Path,
        nargs="+",
        metavar="FILE",
        help="pairs in LFW's own format; several files are put together",
    )
    command.add_argument(
        "-o", "--output", type=Path, metavar="FILE", help="page to write (default: DIR-report.html, here)"
    )
    command.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run it; returns the exit code."""
    from convert.accuracy.evaluate import evaluate_bundle
    from convert.accuracy.pairs import read_all_pairs
    from convert.pictures import open_pictures
    from convert.report.gather import gather
    from convert.report.page import write_page

    if (args.images is None) != (args.pairs is None):
        raise UsageError("--images or --pairs alone", expected="both, or neither")
    output = args.output or Path(f"{args.folder.absolute().name}-report.html")
    if output.suffix.lower() not in {".html", ".htm"}:
        raise UsageError(f"a page named {output.name!r}", expected="a name that ends in .html")
    evaluation, data = None, ""
    if args.pairs is not None:
        store = open_pictures(args.images)
        evaluation = evaluate_bundle(args.folder, store, read_all_pairs(args.pairs))
        data = f"{', '.join(path.name for path in args.pairs)} on {store.label}"
    report = gather(args.folder, evaluation, data)
    for path in write_page(report, evaluation.scores if evaluation else None, output):
        print(path)
    return EXIT_OK
