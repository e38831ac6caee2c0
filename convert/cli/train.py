"""`ostiary-convert train`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from convert.cli.common import Subcommands, add_images
from convert.cli.compare import parse_count
from convert.train.detector.plan import Plan as DetectorPlan
from convert.train.embedder.plan import Plan
from edge.errors import EXIT_OK, UsageError

if TYPE_CHECKING:
    from convert.train.embedder.faces import Faces
    from convert.train.embedder.train import Outcome, Request
    from convert.train.run import Tell

TEMPLATE = "arcface-112x112"
"""How faces are aligned for the student."""

_EPILOG = """\
examples:
  ostiary-convert train embedder --teacher model-symbol.json --images lfw-deepfunneled.tar --people identities.txt -o DIR
  ostiary-convert train tune --teacher model-symbol.json --images lfw-deepfunneled.tar --people identities.txt -o DIR
  ostiary-convert train detector --teacher yunet_n_320_320.onnx --images lfw-deepfunneled.tar --people identities.txt -o DIR

A run goes on from its folder: repeat the command after an interruption. docs/training.md says what happens inside."""


def add_command(commands: Subcommands) -> None:
    """Describe the subcommand and its kinds."""
    about = "Trains a student of a float teacher on pictures that nobody has labelled."
    style = argparse.RawDescriptionHelpFormatter
    command = commands.add_parser(
        "train", help="train an embedder or a detector", description=about, epilog=_EPILOG, formatter_class=style
    )
    kinds = command.add_subparsers(title="what to train", metavar="KIND", required=True)
    plan = Plan()
    embedder = _add_kind(kinds, "embedder", "a uint8 TFLite embedder, from weights of chance")
    _add_steps(embedder, "parts", plan.parts, "steps in which each part learns by itself")
    _add_steps(embedder, "joined", plan.joined, "steps of a round in which the whole learns")
    _add_steps(embedder, "rounds", plan.rounds, "such rounds; more than before go on from an earlier run")
    _add_steps(embedder, "search", plan.search, "trials in the search for integers")
    _add_steps(embedder, "integer", plan.integer, "steps with integer arithmetic; 0 leaves them out")
    embedder.set_defaults(run=run_embedder)
    tune = _add_kind(kinds, "tune", "the teacher itself as uint8 TFLite, tuned with integer arithmetic")
    _add_steps(tune, "search", plan.search, "trials in the search for integers")
    _add_steps(tune, "integer", plan.integer, "steps with integer arithmetic")
    tune.set_defaults(run=run_tune)

    _add_detector(kinds)


def _add_detector(kinds: Subcommands) -> None:
    what = "a detector with YuNet's outputs, float32 ONNX"
    command = kinds.add_parser("detector", help=what, description=f"Trains {what}, beside YuNet n.")
    _add_common(command)
    _add_steps(command, "steps", DetectorPlan().steps, "of one batch each")
    command.set_defaults(run=run_detector)


def _add_steps(command: argparse.ArgumentParser, name: str, default: int, what: str) -> None:
    command.add_argument(f"--{name}", type=int, default=default, metavar="N", help=f"{what} (default: %(default)s)")


def _add_kind(kinds: Subcommands, name: str, what: str) -> argparse.ArgumentParser:
    command = kinds.add_parser(name, help=what, description=f"Trains {what}.")
    _add_common(command)
    command.add_argument(
        "--detector", metavar="NAME|DIR", help="what finds the faces: a model of the catalogue, or a bundle's"
    )
    return command


def _add_common(command: argparse.ArgumentParser) -> None:
    command.add_argument("--teacher", type=Path, required=True, metavar="FILE", help="a float network of any format")
    add_images(command)
    command.add_argument(
        "--people", type=Path, required=True, metavar="FILE", help="whose pictures may be learnt from, one name a line"
    )
    command.add_argument("--seed", type=int, default=1, metavar="N", help="of all chance (default: %(default)s)")
    command.add_argument(
        "--threads", type=parse_count, default=os.cpu_count() or 1, metavar="N", help="default: %(default)s"
    )
    command.add_argument("-o", "--output", type=Path, required=True, metavar="DIR", help="folder of the run")


def run_embedder(args: argparse.Namespace) -> int:
    """Run it; returns the exit code."""
    from convert.train.embedder.train import train

    least = {"parts": 1, "joined": 1, "rounds": 1, "search": 2, "integer": 0}
    _refuse_too_few(args, least)
    return _trained(args, Plan(**{name: getattr(args, name) for name in least}), train)


def run_tune(args: argparse.Namespace) -> int:
    """Run it; returns the exit code."""
    from convert.train.embedder.train import tune

    _refuse_too_few(args, {"search": 2, "integer": 0})
    return _trained(args, Plan(search=args.search, integer=args.integer), tune)


def run_detector(args: argparse.Namespace) -> int:
    """Run it; returns the exit code."""
    from convert.accuracy.pairs import read_people
    from convert.pictures import open_pictures
    from convert.train.detector.train import Request, train

    _refuse_too_few(args, {"steps": 1})
    store, people = open_pictures(args.images), read_people(args.people)
    plan = DetectorPlan(steps=args.steps)
    print(train(Request(args.teacher, store, people, args.output, plan, args.seed, args.threads), _tell))
    return EXIT_OK


def _refuse_too_few(args: argparse.Namespace, least: Mapping[str, int]) -> None:
    for name, lowest in least.items():
        if getattr(args, name) < lowest:
            raise UsageError(f"--{name} {getattr(args, name)}", expected=f"{lowest} or more")


def _trained(args: argparse.Namespace, plan: Plan, how: Callable[[Request, Tell], Outcome]) -> int:
    from convert.train.embedder.teacher import read_teacher
    from convert.train.embedder.train import Request
    from convert.train.record import named_file

    teacher = read_teacher(args.teacher)
    request = Request(teacher, named_file(args.teacher), _faces(args), args.output, plan, args.seed, args.threads)
    print(how(request, _tell).integer_file)
    return EXIT_OK


def _faces(args: argparse.Namespace) -> Faces:
    """Those of an earlier run, or those in the pictures."""
    from convert.accuracy.pairs import read_people
    from convert.accuracy.rewrite import models_with_detector
    from convert.pictures import open_pictures
    from convert.train.embedder.faces import collect, load, save
    from edge.bundle import default_bundle_folder

    people, store = read_people(args.people), open_pictures(args.images)
    found = load(args.output)
    if found is None:
        with models_with_detector(default_bundle_folder(), args.detector) as models:
            found = collect(store, people, models.detector, TEMPLATE)
        save(found, args.output)
    return found


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
