"""The `ostiary-convert` command."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from edge import __version__
from edge.errors import EXIT_OK, EXIT_OTHER, EXIT_USAGE, OstiaryError

EXIT_INTERRUPTED = 130
"""128 + SIGINT, as shells have it."""

_DESCRIPTION = "Makes and measures the bundles that `ostiary` runs. For a host, not for the box at the door."
_EPILOG = """\
examples:
  ostiary-convert evaluate --bundle my-bundle --images lfw-deepfunneled.tar --pairs pairs.txt
  ostiary-convert default-bundle --source weights --images lfw-deepfunneled.tar \\
      --identities identities-train.txt --pairs pairs-evaluate.txt -o default-bundle

exit codes: 0 clean, 2 usage, 4 bundle or model rejected, 1 anything else."""


def make_parser() -> argparse.ArgumentParser:
    """The whole command line."""
    style = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        prog="ostiary-convert", description=_DESCRIPTION, epilog=_EPILOG, formatter_class=style
    )
    parser.add_argument("--version", action="version", version=f"ostiary-convert {__version__}")
    parser.set_defaults(run=None)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    _add_evaluate(commands)
    _add_default_bundle(commands)
    return parser


def _add_evaluate(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    about = "Accuracy of a bundle by the LFW protocol: detect, align and embed as on a device, then compare pairs."
    command = commands.add_parser("evaluate", help="measure a bundle on labelled pairs", description=about)
    command.add_argument("--bundle", type=Path, metavar="DIR", help="bundle to measure (default: the package's own)")
    _add_images(command)
    command.add_argument("--pairs", type=Path, required=True, metavar="FILE", help="pairs in LFW's own format")
    command.add_argument("--json", action="store_true", help="one JSON object, for programs")
    command.set_defaults(run=_evaluate)


def _add_default_bundle(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    about = "Builds the bundle that the package carries: quantises the embedder, measures everything, writes the model card."
    command = commands.add_parser("default-bundle", help="build the package's own bundle", description=about)
    command.add_argument(
        "--source", type=Path, required=True, metavar="DIR", help="folder with detector.onnx and embedder.onnx, float32"
    )
    _add_images(command)
    command.add_argument(
        "--identities", type=Path, required=True, metavar="FILE",
        help="people for calibration, one a line; all others are for measuring",
    )  # fmt: skip
    command.add_argument("--pairs", type=Path, metavar="FILE", help="also measure on these pairs, in LFW's own format")
    command.add_argument("-o", "--output", type=Path, required=True, metavar="DIR", help="folder to write")
    command.set_defaults(run=_default_bundle)


def _add_images(command: argparse.ArgumentParser) -> None:
    text = "folder or .tar file with pictures named NAME/NAME_0001.jpg"
    command.add_argument("--images", type=Path, required=True, metavar="TAR|DIR", help=text)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit code is that of edge.errors. Nobody sees a traceback for a mistake of their own."""
    os.environ.setdefault("OPENCV_LOG_LEVEL", "ERROR")
    parser = make_parser()
    args = parser.parse_args(arguments)
    if args.run is None:
        parser.print_help(sys.stderr)
        return EXIT_USAGE
    try:
        return int(args.run(args))
    except OstiaryError as error:
        print(f"ostiary-convert: {error}", file=sys.stderr)
        return error.exit_code
    except OSError as error:
        print(f"ostiary-convert: {error}", file=sys.stderr)
        return EXIT_OTHER
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED


def _evaluate(args: argparse.Namespace) -> int:
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


def _default_bundle(args: argparse.Namespace) -> int:
    from convert.default_bundle import build_default_bundle
    from convert.pairs import read_pairs, read_people
    from convert.pictures import open_pictures
    from convert.recipe import Recipe, Sources

    pairs = read_pairs(args.pairs) if args.pairs else None
    people = read_people(args.identities)
    label = args.pairs.name if args.pairs else ""
    sources = Sources(args.source, open_pictures(args.images), people, pairs, label)
    bundle = build_default_bundle(sources, args.output, Recipe(), lambda text: print(text, file=sys.stderr, flush=True))
    for name, point in bundle.manifest.operating_points.items():
        print(f"{name}  similarity {point.threshold:.4f}  FNMR {point.fnmr:.1%}")
    return EXIT_OK
