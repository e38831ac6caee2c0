"""`ostiary-convert report`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convert.cli.common import Subcommands
from edge.config.settings import Settings
from edge.errors import EXIT_OK, UsageError

if TYPE_CHECKING:
    from convert.accuracy.evaluate import Evaluation


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
        "--conditions", action="store_true",
        help="with pictures and pairs: measure small, blurred, dark and turned faces too, in minutes",
    )  # fmt: skip
    command.add_argument(
        "-o", "--output", type=Path, metavar="FILE", help="page to write (default: DIR-report.html, here)"
    )
    command.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run it; returns the exit code."""
    from convert.report.gather import gather
    from convert.report.page import write_page

    if (args.images is None) != (args.pairs is None):
        raise UsageError("--images or --pairs alone", expected="both, or neither")
    if args.conditions and args.pairs is None:
        raise UsageError("--conditions alone", expected="--images and --pairs too")
    output = args.output or Path(f"{args.folder.absolute().name}-report.html")
    if output.suffix.lower() not in {".html", ".htm"}:
        raise UsageError(f"a page named {output.name!r}", expected="a name that ends in .html")
    report = gather(args.folder)
    evaluation = None
    if args.pairs is not None:
        evaluation, found = _measured(args)
        report |= found
    for path in write_page(report, evaluation.scores if evaluation else None, output):
        print(path)
    return EXIT_OK


def _measured(args: argparse.Namespace) -> tuple[Evaluation, dict[str, Any]]:
    """What the pictures and pairs say of the bundle, and how the page's data has it."""
    from convert.accuracy.conditions import Clean, measure_conditions, measured_points
    from convert.accuracy.evaluate import check_pairs, evaluate_models, pictures_of, pictures_of_people
    from convert.accuracy.pairs import read_all_pairs
    from convert.pictures import open_pictures
    from convert.report.gather import evaluation_figures
    from edge.reader import load_models

    store, pairs = open_pictures(args.images), read_all_pairs(args.pairs)
    check_pairs(pairs, store)
    data = f"{', '.join(path.name for path in args.pairs)} on {store.label}"
    models = load_models(Settings(bundle=args.folder))
    if not args.conditions:
        evaluation = evaluate_models(models, store, pairs, pictures_of(pairs))
        return evaluation, {"evaluation": evaluation_figures(evaluation, data)}
    points = measured_points(models.bundle.manifest.operating_points)
    evaluation = evaluate_models(models, store, pairs, pictures_of_people(pairs, store))
    made = measure_conditions(models, store, Clean(evaluation.detections, evaluation.embeddings), points)
    conditions = {one.name: one.as_dict() for one in made}
    return evaluation, {"evaluation": evaluation_figures(evaluation, data), "conditions": conditions}
