"""`ostiary-convert compare`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convert.cli.common import Subcommands
from convert.cli.table import decibels, facts, number, shortened, table
from convert.runners import RUNTIMES
from edge.align import TEMPLATES
from edge.errors import EXIT_OK, EXIT_REJECTED, UsageError

if TYPE_CHECKING:
    from convert.proof.compare import Comparison, Side
    from convert.proof.feeds import Wish
    from convert.proof.fidelity import Fidelity, LayerFidelity, LayerReport

_NAME_CHARS = 44
_EPILOG = """\
examples:
  ostiary-convert compare face.onnx face.tflite --images lfw.tar --align arcface-112x112 --mean 127.5 --std 128
  ostiary-convert compare face.onnx face.onnx --artifact-runtime opencv --random 8 --layers

Differences are absolute values; the relative one is the largest, as a part of the reference's largest magnitude.
exit codes: 0 within the tolerance, 4 beyond it (or a file rejected), 2 usage."""


def add_command(commands: Subcommands) -> None:
    """Describe the subcommand."""
    about = "How near an artifact comes to its reference on the same pictures, output by output and layer by layer."
    command = commands.add_parser(
        "compare",
        help="measure an artifact against its reference",
        description=about,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("reference", type=Path, metavar="REFERENCE", help="a network of any format")
    command.add_argument("artifact", type=Path, metavar="ARTIFACT", help="what was made of it")
    _add_inputs(command)
    for side in ("reference", "artifact"):
        command.add_argument(f"--{side}-runtime", choices=RUNTIMES, default="", help=f"what runs the {side}")
    command.add_argument("--layers", action="store_true", help="also layer by layer; names the first that differs")
    command.add_argument(
        "--tolerance", type=parse_positive, metavar="X",
        help="largest relative difference (default: 1e-4 for float32; other artifacts are reported, not judged)",
    )  # fmt: skip
    command.add_argument("--json", action="store_true", help="one JSON object, for programs")
    command.set_defaults(run=run)


def _add_inputs(command: argparse.ArgumentParser) -> None:
    inputs = command.add_argument_group("inputs")
    source = inputs.add_mutually_exclusive_group()
    source.add_argument(
        "--images", type=Path, metavar="DIR|TAR|LIST", help="pictures: a folder, a tar file, or a text file with paths"
    )
    source.add_argument("--random", type=parse_count, metavar="N", help="N pictures of random pixels (default: 16)")
    inputs.add_argument("--count", type=parse_count, default=64, metavar="N", help="of --images (default: %(default)s)")
    inputs.add_argument("--seed", type=int, default=0, metavar="N", help="which pictures are taken")
    inputs.add_argument(
        "--align", choices=TEMPLATES, default="", metavar="TEMPLATE",
        help=f"find the face in each picture and align it: {', '.join(TEMPLATES)}",
    )  # fmt: skip
    inputs.add_argument(
        "--size", type=parse_size, metavar="HxW", help="of the pictures, where the networks leave it open"
    )
    inputs.add_argument("--mean", type=float, default=0.0, metavar="X", help="subtracted from every pixel 0..255")
    inputs.add_argument("--std", type=parse_positive, default=1.0, metavar="X", help="then divided by")
    inputs.add_argument("--colour", choices=("RGB", "BGR"), default="RGB", help="default: %(default)s")
    inputs.add_argument("--artifact-mean", type=float, metavar="X", help="where the artifact expects another")
    inputs.add_argument("--artifact-std", type=parse_positive, metavar="X", help="where the artifact expects another")
    inputs.add_argument("--artifact-colour", choices=("RGB", "BGR"), help="where the artifact expects another")
    inputs.add_argument(
        "--set", type=parse_value, action="append", default=[], metavar="NAME=X,...", help="an input that is no picture"
    )


def run(args: argparse.Namespace) -> int:
    """Run it; returns the exit code."""
    from convert.proof.compare import compare_files

    reference, artifact = _sides(args)
    found = compare_files(reference, artifact, _wish(args), tolerance=args.tolerance, with_layers=args.layers)
    print(json.dumps(found.as_dict(), allow_nan=False) if args.json else shown(found))
    return EXIT_REJECTED if found.passed is False else EXIT_OK


def _sides(args: argparse.Namespace) -> tuple[Side, Side]:
    from convert.proof.compare import Side
    from convert.proof.feeds import Pixels
    from edge.bundle.manifest import Normalisation

    def or_else(value: Any, default: Any) -> Any:
        return default if value is None else value

    mean, std = or_else(args.artifact_mean, args.mean), or_else(args.artifact_std, args.std)
    other = Pixels(args.artifact_colour or args.colour, Normalisation(mean=mean, std=std))
    pixels = Pixels(args.colour, Normalisation(mean=args.mean, std=args.std))
    return Side(args.reference, args.reference_runtime, pixels), Side(args.artifact, args.artifact_runtime, other)


def _wish(args: argparse.Namespace) -> Wish:
    from convert.proof.feeds import Wish

    if args.align and args.images is None:
        raise UsageError("--align without pictures", expected="--images DIR, TAR or LIST")
    count = args.count if args.images is not None else args.random or 16
    return Wish(args.images, count, args.align, args.size, dict(args.set), args.seed)


def shown(found: Comparison) -> str:
    """For a person."""
    head = [
        ("reference", f"{found.reference} in {found.reference_runner}"),
        ("artifact", f"{found.artifact} in {found.artifact_runner}, {found.precision}"),
        ("inputs", found.pictures),
    ]
    parts = [facts(head), _outputs(found.outputs)]
    if found.left_out:
        parts.append(f"not in the artifact: {', '.join(found.left_out)}")
    if found.layers is not None:
        parts.append(_layers(found.layers))
    parts.append(_verdict(found))
    return "\n\n".join(parts)


def _outputs(outputs: tuple[Fidelity, ...]) -> str:
    rows = [
        {
            "output": shortened(one.output, _NAME_CHARS),
            "cosine": f"{one.cosine_mean:.6f}",
            "1 %": f"{one.cosine_p1:.6f}",
            "worst": f"{one.cosine_worst:.6f}",
            "difference": number(one.difference_mean),
            "std": number(one.difference_std),
            "max": number(one.difference_max),
            "relative": number(one.difference_relative),
            "SNR dB": decibels(one.snr_db),
        }
        for one in outputs
    ]
    text = table(rows, left=("output",))
    bad = [f"{one.output}: {one.not_finite} values are no numbers" for one in outputs if one.not_finite]
    return "\n".join([text, *bad])


def _layers(report: LayerReport) -> str:
    worst = report.worst()
    title = f"{len(report.layers)} layers of {report.reference_tensors} compared; the lowest SNR:"
    text = f"{title}\n{table([_layer(one) for one in worst], left=('layer', 'shape'))}"
    first, bound = report.first_beyond, f"more than {number(report.tolerance)} of its largest magnitude"
    if first is None:
        return f"{text}\n\nNo layer differs by {bound}."
    return f"{text}\n\nThe first layer that differs by {bound}:\n{table([_layer(first)], left=('layer', 'shape'))}"


def _layer(one: LayerFidelity) -> dict[str, str]:
    return {
        "layer": shortened(one.layer, _NAME_CHARS),
        "shape": "x".join(map(str, one.shape)),
        "max": number(one.difference_max),
        "relative": number(one.difference_relative),
        "SNR dB": decibels(one.snr_db),
    }


def _verdict(found: Comparison) -> str:
    if found.tolerance is None:
        return f"{found.precision}: not judged without --tolerance"
    worst = max(found.outputs, key=lambda one: one.difference_relative)
    relation = "within" if found.passed else "BEYOND"
    return f"{relation} the tolerance: relative difference {number(worst.difference_relative)}, at most {number(found.tolerance)}"


def parse_positive(text: str) -> float:
    """A number above 0."""
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text}; expected a number above 0")
    return value


def parse_count(text: str) -> int:
    """1 to 100000."""
    value = int(text)
    if not 1 <= value <= 100_000:
        raise argparse.ArgumentTypeError(f"{text}; expected 1 to 100000")
    return value


def parse_size(text: str) -> tuple[int, int]:
    """Height and width of 240x320."""
    height, _, width = text.lower().partition("x")
    if not (height.isdigit() and width.isdigit() and 0 < int(height) <= 8192 and 0 < int(width) <= 8192):
        raise argparse.ArgumentTypeError(f"{text}; expected HEIGHTxWIDTH, for instance 240x320")
    return int(height), int(width)


def parse_value(text: str) -> tuple[str, Any]:
    """Name and float32 array of NAME=X,Y,..."""
    import numpy as np

    name, _, numbers = text.rpartition("=")
    try:
        values = np.array([float(one) for one in numbers.split(",")], np.float32)
    except ValueError:
        values = np.zeros(0, np.float32)
    if not name or not values.size:
        raise argparse.ArgumentTypeError(f"{text}; expected NAME=NUMBER or NAME=NUMBER,NUMBER,...")
    return name, values[0] if values.size == 1 else values
