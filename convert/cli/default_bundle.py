"""`ostiary-convert default-bundle`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from convert.cli.common import Subcommands, add_images
from edge.errors import EXIT_OK


def add_command(commands: Subcommands) -> None:
    """Describe the subcommand."""
    about = "Builds the bundle that the package carries: measures everything and writes the model card."
    command = commands.add_parser("default-bundle", help="build the package's own bundle", description=about)
    command.add_argument(
        "--source",
        type=Path,
        required=True,
        metavar="DIR",
        help="folder of what was trained: detector.onnx, embedder.tflite, embedder.onnx, and a .json for each",
    )
    add_images(command)
    command.add_argument(
        "--identities", type=Path, required=True, metavar="FILE",
        help="people who were trained on, one a line; all others are for measuring",
    )  # fmt: skip
    command.add_argument("--pairs", type=Path, metavar="FILE", help="also measure on these pairs, in LFW's own format")
    command.add_argument("-o", "--output", type=Path, required=True, metavar="DIR", help="folder to write")
    command.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run it; returns the exit code."""
    from convert.accuracy.pairs import read_pairs, read_people
    from convert.default_bundle.build import build_default_bundle
    from convert.default_bundle.recipe import Recipe, Sources
    from convert.pictures import open_pictures

    pairs = read_pairs(args.pairs) if args.pairs else None
    people = read_people(args.identities)
    label = args.pairs.name if args.pairs else ""
    sources = Sources(args.source, open_pictures(args.images), people, pairs, label)
    bundle = build_default_bundle(sources, args.output, Recipe(), lambda text: print(text, file=sys.stderr, flush=True))
    for name, point in bundle.manifest.operating_points.items():
        print(f"{name}  similarity {point.threshold:.4f}  FNMR {point.fnmr:.1%}")
    return EXIT_OK
