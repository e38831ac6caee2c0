"""`ostiary-convert evaluate`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from convert.cli.common import Subcommands, add_images
from edge.errors import EXIT_OK


def add_command(commands: Subcommands) -> None:
    """Describe the subcommand."""
    about = "Accuracy of a bundle by the LFW protocol: detect, align and embed as on a device, then compare pairs."
    command = commands.add_parser("evaluate", help="measure a bundle on labelled pairs", description=about)
    command.add_argument("--bundle", type=Path, metavar="DIR", help="bundle to measure (default: the package's own)")
    add_images(command)
    command.add_argument("--pairs", type=Path, required=True, metavar="FILE", help="pairs in LFW's own format")
    command.add_argument("--json", action="store_true", help="one JSON object, for programs")
    command.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run it; returns the exit code."""
    from convert.evaluate import evaluate_bundle
    from convert.pairs import read_pairs
    from convert.pictures import open_pictures
    from edge.bundle import default_bundle_folder

    pairs = read_pairs(args.pairs)
    result = evaluate_bundle(args.bundle or default_bundle_folder(), open_pictures(args.images), pairs).as_dict()
    if args.json:
        print(json.dumps(result))
        return EXIT_OK
    print(f"accuracy   {result['accuracy_mean']:.2%} ± {result['accuracy_std']:.2%} over {len(result['folds'])} folds")
    print(f"threshold  {result['threshold']:.4f}")
    for rate, share in result["tar"].items():
        print(f"TAR        {share:.1%} at FMR {rate}")
    print(f"no face    in {result['failures_to_acquire']} of {result['pictures']} pictures")
    return EXIT_OK
