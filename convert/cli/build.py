"""`ostiary-convert build`."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from convert.build.plan import EMBEDDERS, QUANTISE, Overrides, Plan, plain_name
from convert.build.sample import CALIBRATION, FAITHFUL_CALIBRATION
from convert.catalogue.recipe import FORMATS, ROLES, TARGETS, EmbedderUse, Picture
from convert.cli.common import Subcommands, add_ends, parse_shape
from edge.align import TEMPLATES
from edge.bundle.manifest import Normalisation
from edge.errors import EXIT_OK, UsageError

_ABOUT = """\
Imports a model, rewrites and quantises it, proves every artifact beside its source on real pictures, and writes a bundle
that `ostiary --bundle` runs, or, with --target, a folder of artifacts. SOURCE is a model of the catalogue, a recipe (.yaml),
or a model file of any format."""
_OF_A_FILE: dict[str, Any] = {
    "--format": "", "--input": [], "--output-name": [], "--shape": [], "--set": [], "--architecture": "", "--signature": "",
    "--role": "other", "--template": None, "--colour": "RGB", "--mean": 0.0, "--std": 1.0, "--prewhiten": False,
}  # fmt: skip
"""What a recipe says, and a command line only of a file without one -> what stands there when nothing is said."""
_EPILOG = """\
examples:
  ostiary-convert build mobilefacenet-mxnet --source models/mobilefacenet-mxnet --calibration faces/ -o my-bundle
  ostiary-convert build net.onnx --target tflite-uint8 --target opencv-pb --calibration faces.tar -o artifacts
  ostiary-convert build ckpt/model.meta --input input --output embeddings --set phase_train=false \\
      --role embedder --template facenet-160x160 --mean 127.5 --std 128 -o my-bundle"""


def add_command(commands: Subcommands) -> None:
    """Describe the subcommand."""
    command = commands.add_parser(
        "build", help="convert a model, prove it, bundle it", description=_ABOUT, epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    add_source(command)
    command.add_argument("--json", action="store_true", help="the report as one JSON object, for programs")
    _add_results(command.add_argument_group("what to write"))
    add_pictures(command.add_argument_group("pictures for calibration and proof"))
    add_file(command.add_argument_group("a model file without a recipe"))
    command.set_defaults(run=run)


def _add_results(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--target", action="append", choices=(*TARGETS, "all"), default=[], help="write this artifact; repeat it"
    )
    group.add_argument(
        "--embedder", choices=tuple(EMBEDDERS), default="tflite-uint8", help="form of a bundle's embedder"
    )
    group.add_argument("--detector", default="", metavar="NAME|DIR", help="detector of an embedder's bundle")
    group.add_argument("--base", type=Path, metavar="DIR", help="bundle whose embedder a detector's bundle gets")
    group.add_argument(
        "--quantise", choices=QUANTISE, default="auto",
        help="how an embedder becomes tflite-uint8: faithful searches, plain is TensorFlow's converter (default: faithful where it can)",
    )  # fmt: skip
    group.add_argument("--batch", type=_batch, default=1, metavar="N|dynamic", help="pictures in one run (default 1)")
    group.add_argument(
        "--post-process", action="store_true", help="append TFLite_Detection_PostProcess to TFLite artifacts of an SSD"
    )
    group.add_argument(
        "--pbtxt", action="store_true", help="opencv-pb: write the text graph beside it, for those who want to edit it"
    )
    group.add_argument(
        "--default-ranges", type=float, nargs=2, metavar=("LOW", "HIGH"),
        help="tflite-uint8-legacy: invented range of activations that no data gives, like 0 6",
    )  # fmt: skip
    group.add_argument(
        "--any-fidelity",
        action="store_true",
        help="write artifacts that are further from their source than they may be",
    )


def add_source(command: argparse.ArgumentParser) -> None:
    """What is converted, and where to."""
    command.add_argument("model", metavar="SOURCE", help="name in the catalogue, recipe, or model file")
    command.add_argument(
        "-o", "--output", dest="folder", type=Path, required=True, metavar="DIR", help="folder to write"
    )
    command.add_argument("--source", type=Path, metavar="DIR", help="folder with the files of a catalogue model")
    command.add_argument(
        "--any-digest", action="store_true", help="take files that are not the recipe's, of the same form"
    )


def add_pictures(group: argparse._ArgumentGroup) -> None:
    """Which pictures a network is calibrated and proved on."""
    group.add_argument("--calibration", type=Path, metavar="DIR|TAR|LIST", help="pictures with faces")
    group.add_argument(
        "--people", type=Path, metavar="FILE", help="use only these people, of pictures named NAME/NAME_0001.jpg"
    )
    group.add_argument(
        "--count",
        type=int,
        metavar="N",
        help=f"pictures for calibration (default {CALIBRATION}; of an embedder quantised faithfully {FAITHFUL_CALIBRATION})",
    )
    group.add_argument("--seed", type=int, default=0, metavar="N", help="which of them (default 0)")


def add_file(group: argparse._ArgumentGroup) -> None:
    """What has to be said of a model file, and a recipe says itself."""
    group.add_argument("--format", choices=FORMATS, default="", help="where the file does not tell")
    add_ends(group)
    group.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="bind a placeholder: phase_train=false"
    )
    group.add_argument("--role", choices=ROLES, default="other", help="what the network is for (default other)")
    group.add_argument("--template", choices=tuple(TEMPLATES), help="role embedder: where a face lies in its input")
    group.add_argument(
        "--colour", choices=("RGB", "BGR", "GREY"), default="RGB", help="order of its channels (default RGB)"
    )
    group.add_argument("--mean", type=float, default=0.0, help="it expects (pixel - mean) / std")
    group.add_argument("--std", type=float, default=1.0, help="see --mean")
    group.add_argument(
        "--prewhiten", action="store_true", help="it expects every picture normalised by itself, as FaceNet's"
    )


def run(args: argparse.Namespace) -> int:
    """Run it; returns the exit code."""
    from convert.build.make import build

    report = build(plan_of(args), args.folder, lambda text: print(text, file=sys.stderr, flush=True))
    if args.json:
        print(json.dumps(report))
    return EXIT_OK


def plan_of(args: argparse.Namespace) -> Plan:
    """The plan that the arguments describe. UsageError where they cannot be meant."""
    from convert.accuracy.pairs import read_people
    from convert.build.plan import is_recipe, resolve
    from convert.build.sample import Wish
    from convert.pictures import open_any_pictures

    if (args.count is not None and args.count < 1) or args.std <= 0:
        raise UsageError(f"--count {args.count} --std {args.std:g}", expected="numbers above 0")
    store = open_any_pictures(args.calibration) if args.calibration else None
    people = read_people(args.people) if args.people else None
    said = _said_beside_a_recipe(args) if is_recipe(args.model) else _overrides(args)
    name, recipe, folder = resolve(args.model, args.source, said, any_digest=args.any_digest)
    searches = recipe.role == "embedder" and args.quantise != "plain" and store is not None
    targets = tuple(recipe.targets) if "all" in args.target else tuple(dict.fromkeys(args.target))
    return Plan(
        name=name,
        recipe=recipe,
        folder=folder,
        wish=Wish(store, people, args.count or (FAITHFUL_CALIBRATION if searches else CALIBRATION), seed=args.seed),
        targets=targets,
        embedder=args.embedder,
        detector=args.detector,
        base=args.base,
        batch=args.batch,
        quantise=args.quantise,
        plain_calibration=args.count or CALIBRATION,
        default_ranges=tuple(args.default_ranges) if args.default_ranges else None,
        post_process=args.post_process,
        with_text=args.pbtxt,
        check_tolerance=not args.any_fidelity,
        only_possible="all" in args.target,
    )


def _said_beside_a_recipe(args: argparse.Namespace) -> Overrides:
    """Nothing: a recipe says it all. UsageError rather than an option without effect."""
    values = vars(args)
    given = [option for option, default in _OF_A_FILE.items() if values[option[2:].replace("-", "_")] != default]
    if given:
        hint = "A recipe of your own (.yaml) may say something else."
        raise UsageError(
            f"{', '.join(given)} with the recipe {args.model}", expected="none of them: the recipe says it", hint=hint
        )
    return Overrides()


def _overrides(args: argparse.Namespace) -> Overrides:
    normalisation = Normalisation("prewhiten") if args.prewhiten else Normalisation("fixed", args.mean, args.std)
    embedder = None
    if args.role == "detector":
        hint = "docs/converter.md has its keys. --target without --role writes the network alone."
        raise UsageError("a detector without a recipe", expected="a recipe (.yaml) that says how it is run", hint=hint)
    if args.role == "embedder":
        if args.template is None or args.colour == "GREY":
            raise UsageError(
                "an embedder without its alignment",
                expected=f"--template {'|'.join(TEMPLATES)} and --colour RGB or BGR",
            )
        embedder = EmbedderUse(plain_name(Path(args.model)), args.template, args.colour, normalisation)
    return Overrides(
        inputs=tuple(args.input),
        outputs=tuple(args.output_name),
        shapes=dict(map(parse_shape, args.shape)),
        architecture=args.architecture,
        signature=args.signature,
        constants=dict(map(_constant, args.set)),
        source_format=args.format,
        role=args.role,
        embedder=embedder,
        picture=Picture(args.colour, normalisation),
    )


def _batch(text: str) -> int | None:
    if text == "dynamic":
        return None
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}; expected a whole number above 0, or dynamic")
    return int(text)


def _constant(text: str) -> tuple[str, bool | float]:
    name, _, value = text.partition("=")
    words: dict[str, Any] = {"true": True, "false": False}
    try:
        return name, words[value.lower()] if value.lower() in words else float(value)
    except ValueError as error:
        raise UsageError(f"--set {text!r}", expected="NAME=true, NAME=false or NAME=NUMBER") from error
