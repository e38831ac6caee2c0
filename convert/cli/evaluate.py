"""`ostiary-convert evaluate`."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from convert.cli.common import Subcommands, add_images
from edge.errors import EXIT_OK, UsageError


def add_command(commands: Subcommands) -> None:
    """Describe the subcommand."""
    about = "Accuracy of a bundle by the LFW protocol: detect, align and embed as on a device, then compare pairs."
    command = commands.add_parser("evaluate", help="measure a bundle on labelled pairs", description=about)
    command.add_argument("--bundle", type=Path, metavar="DIR", help="bundle to measure (default: the package's own)")
    add_images(command)
    command.add_argument(
        "--pairs",
        type=Path,
        required=True,
        nargs="+",
        metavar="FILE",
        help="pairs in LFW's own format; the folds of several files are put together",
    )
    command.add_argument(
        "--detector", metavar="NAME|DIR",
        help="find the faces with this detector instead: a model of the catalogue, or another bundle's",
    )  # fmt: skip
    command.add_argument("--plots", type=Path, metavar="DIR", help="draw the ROC and the similarities into this folder")
    command.add_argument(
        "--write-operating-points", action="store_true",
        help="measure thresholds from all comparisons between these pictures, and write them into the bundle",
    )  # fmt: skip
    command.add_argument("--json", action="store_true", help="one JSON object, for programs")
    command.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run it; returns the exit code."""
    from convert.accuracy.evaluate import check_pairs, evaluate_models, pictures_of
    from convert.accuracy.pairs import read_all_pairs
    from convert.accuracy.rewrite import check_measurable, models_with_detector, write_measured
    from convert.pictures import open_pictures
    from edge.bundle import default_bundle_folder

    folder = args.bundle or default_bundle_folder()
    pairs, store = read_all_pairs(args.pairs), open_pictures(args.images)
    check_pairs(pairs, store)
    if args.write_operating_points:
        if args.bundle is None:
            raise UsageError("--write-operating-points into the package's own bundle", expected="--bundle DIR")
        check_measurable(folder, pictures_of(pairs))
    with models_with_detector(folder, args.detector) as models:
        evaluation = evaluate_models(models, store, pairs)
    result = evaluation.verification.as_dict()
    if args.plots is not None:
        from convert.accuracy.plots import write_plots

        for path in write_plots(evaluation.scores, args.plots):
            print(path, file=sys.stderr)
    if args.write_operating_points:
        result["operating_points"] = write_measured(
            folder, evaluation, f"{', '.join(path.name for path in args.pairs)} on {store.label}"
        )
    print(json.dumps(result) if args.json else _table(result))
    return EXIT_OK


def _table(result: dict[str, Any]) -> str:
    within = result["confidence_95"]
    rows = [
        ("accuracy", f"{result['accuracy_mean']:.2%} ± {result['accuracy_std']:.2%}", within["accuracy_mean"],
         f"over {len(result['folds'])} folds, {result['pairs']} pairs"),
        *((f"TAR at FMR {rate}", f"{share:.2%}", within[f"tar_{rate}"], "") for rate, share in result["tar"].items()),
    ]  # fmt: skip
    lines = [
        f"{name:<18} {value:<17} 95 % within {low:.2%} to {high:.2%}  {note}".rstrip()
        for name, value, (low, high), note in rows
    ]
    pictures = result["pictures"]
    lines.append(f"{'threshold':<18} {result['threshold']:.4f}")
    lines.append(f"{'no face found':<18} in {result['failures_to_acquire']} of {pictures} pictures")
    lines.append(
        f"{'not to be enrolled':<18} {result['failures_to_enrol']} of the others: too small, blurred or turned away"
    )
    for name, point in result.get("operating_points", {}).items():
        lines.append(f"{name:<18} {point['threshold']:.4f}            FNMR {point['fnmr']:.2%}")
    return "\n".join(lines)
