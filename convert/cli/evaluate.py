"""`ostiary-convert evaluate`."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convert.cli.common import Subcommands, add_images
from edge.errors import EXIT_OK, UsageError

if TYPE_CHECKING:
    from convert.accuracy.evaluate import Evaluation
    from convert.pictures import PictureStore
    from edge.bundle.manifest import OperatingPoint
    from edge.reader import Models


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
        help="measure thresholds from all comparisons between all pictures of these people, and write them into the bundle",
    )  # fmt: skip
    command.add_argument(
        "--conditions", action="store_true",
        help="measure too what small, blurred, dark, squeezed, tilted and turned faces do to the operating points; takes minutes",
    )  # fmt: skip
    command.add_argument("--json", action="store_true", help="one JSON object, for programs")
    command.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run it; returns the exit code."""
    from convert.accuracy.conditions import measured_points
    from convert.accuracy.evaluate import check_pairs, evaluate_models, pictures_of, pictures_of_people
    from convert.accuracy.pairs import read_all_pairs
    from convert.accuracy.rewrite import check_measurable, models_with_detector
    from convert.pictures import open_pictures
    from edge.bundle import default_bundle_folder, load_bundle

    folder = args.bundle or default_bundle_folder()
    pairs, store = read_all_pairs(args.pairs), open_pictures(args.images)
    check_pairs(pairs, store)
    of_everyone = args.write_operating_points or args.conditions
    names = pictures_of_people(pairs, store) if of_everyone else pictures_of(pairs)
    if args.write_operating_points:
        if args.bundle is None:
            raise UsageError("--write-operating-points into the package's own bundle", expected="--bundle DIR")
        check_measurable(folder, names)
    elif args.conditions:
        measured_points(load_bundle(folder).manifest.operating_points)
    with models_with_detector(folder, args.detector) as models:
        evaluation = evaluate_models(models, store, pairs, names)
        result = {
            **evaluation.verification.as_dict(),
            **_points_and_conditions(args, folder, models, store, evaluation),
        }
    if args.plots is not None:
        from convert.accuracy.plots import write_plots

        for path in write_plots(evaluation.scores, args.plots):
            print(path, file=sys.stderr)
    print(json.dumps(result) if args.json else _table(result))
    return EXIT_OK


def _points_and_conditions(
    args: argparse.Namespace, folder: Path, models: Models, store: PictureStore, evaluation: Evaluation
) -> dict[str, Any]:
    """What --write-operating-points and --conditions ask for; the first also writes all of it into the bundle."""
    from convert.accuracy.conditions import Clean, measure_conditions
    from convert.accuracy.rewrite import measure_points, write_measured

    data = f"{', '.join(path.name for path in args.pairs)} on {store.label}"
    points: dict[str, OperatingPoint] = models.bundle.manifest.operating_points
    found: dict[str, Any] = {}
    if args.write_operating_points:
        points = measure_points(evaluation, data)
        found["operating_points"] = {name: _as_dict(point) for name, point in points.items()}
    if args.conditions:
        clean = Clean(evaluation.detections, evaluation.embeddings)
        made = measure_conditions(models, store, clean, points)
        found["conditions"] = {one.name: one.as_dict() for one in made}
    if args.write_operating_points:
        figures: dict[str, Any] = {"verification": {"data": data, **evaluation.verification.as_dict()}}
        figures |= {"conditions": {"data": data, **found["conditions"]}} if args.conditions else {}
        write_measured(folder, points, figures)
    return found


def _as_dict(point: OperatingPoint) -> dict[str, Any]:
    import dataclasses

    return dataclasses.asdict(point)


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
    lines += [_point_line(name, point) for name, point in result.get("operating_points", {}).items()]
    return "\n".join([*lines, *_condition_lines(result.get("conditions", {}))])


def _point_line(name: str, point: dict[str, Any]) -> str:
    line = f"{name:<18} {point['threshold']:.4f}            FNMR {point['fnmr']:.2%}"
    sure = point["confidence_95"]
    if sure is None:
        return line
    least, most = sure["threshold"]
    low, high = sure["fnmr"]
    return f"{line}  95 % within {least:.4f} to {most:.4f}, FNMR {low:.2%} to {high:.2%}"


def _condition_lines(conditions: dict[str, Any]) -> list[str]:
    """At the operating point that a daemon uses, else at the strictest that there is."""
    if not conditions:
        return []
    from convert.accuracy.conditions import shown_point

    point = shown_point(conditions)
    heads = ("no face", "poor", "FNMR (95 %)", "FMR (95 %)", "kept from (95 %)")
    lines = ["", f"{f'at {point}:':<40} {heads[0]:>7} {heads[1]:>6} {heads[2]:>24} {heads[3]:>28} {heads[4]:>26}"]
    for one in conditions.values():
        fnmr, fmr = _cell(one["fnmr"].get(point), ".1%"), _cell(one["fmr"].get(point), ".1e")
        kept = _cell(one["threshold"].get(point), ".3f")
        lines.append(f"{one['title']:<40} {one['no_face']:>7} {one['poor']:>6} {fnmr:>24} {fmr:>28} {kept:>26}")
    return lines


def _cell(figure: dict[str, Any] | None, form: str) -> str:
    if figure is None:
        return "-"
    ends = figure["confidence_95"]
    within = "" if ends is None else f" ({ends[0]:{form}} to {ends[1]:{form}})"
    return f"{figure['value']:{form}}{within}"
