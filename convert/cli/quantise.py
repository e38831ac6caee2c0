"""`ostiary-convert quantise`."""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING, Any

from convert.cli.build import add_file, add_pictures, add_source, plan_of
from convert.cli.common import Subcommands
from convert.cli.compare import parse_count, parse_positive
from convert.cli.table import table
from edge.errors import EXIT_OK, UsageError

if TYPE_CHECKING:
    from convert.quantise.outcome import Outcome, Trial

_ABOUT = """\
Searches the integers that lose least of a trained embedder: PReLU of accelerated operators, equalised channels, clipped ranges,
weights rounded with error feedback, float32 islands. Writes NAME.uint8.tflite, quantisation.json with everything that was tried, and
a picture of how sensitive each layer is. No training. docs/quantisation.md says what each step does."""
_EPILOG = """\
example:
  ostiary-convert quantise mobilefacenet-mxnet --source models/mobilefacenet-mxnet --calibration lfw.tar \\
      --people identities-train.txt -o faithful"""
_OF_A_BUILD: dict[str, Any] = {
    "target": ["tflite-uint8"], "embedder": "tflite-uint8", "detector": "", "base": None, "batch": 1, "default_ranges": None,
    "post_process": False, "pbtxt": False, "any_fidelity": False, "quantise": "faithful",
}  # fmt: skip
"""What the plan of a build asks for and this command does not."""


def add_command(commands: Subcommands) -> None:
    """Describe the subcommand."""
    command = commands.add_parser(
        "quantise", help="search the integers that lose least of an embedder", description=_ABOUT, epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    add_source(command)
    budget = command.add_argument_group("budget")
    budget.add_argument(
        "--evaluations", type=parse_count, default=120, metavar="N", help="networks to try (default: %(default)s)"
    )
    budget.add_argument(
        "--minutes", type=parse_positive, default=60.0, metavar="M", help="or until then (default: %(default)g)"
    )
    command.add_argument("--json", action="store_true", help="one JSON object, for programs")
    add_pictures(command.add_argument_group("pictures: two in three calibrate, the others judge"))
    add_file(command.add_argument_group("a model file without a recipe"))
    command.set_defaults(run=run, **_OF_A_BUILD)


def run(args: argparse.Namespace) -> int:
    """Run it; returns the exit code."""
    from convert.build.quantising import quantised_folder
    from convert.quantise.search import Budget

    plan = plan_of(args)
    if plan.recipe.role != "embedder":
        hint = "Of a model file: --role embedder, and --template with it."
        raise UsageError(f"a model of role {plan.recipe.role}", expected="an embedder", hint=hint)
    budget = Budget(args.evaluations, args.minutes)
    outcome = quantised_folder(plan, args.folder, budget, lambda text: print(text, file=sys.stderr, flush=True))
    print(json.dumps(outcome.as_dict()) if args.json else shown(outcome))
    return EXIT_OK


def shown(outcome: Outcome) -> str:
    """For a person."""
    rows = [_row(trial, is_chosen=trial is outcome.chosen) for trial in outcome.tried]
    return f"{table(rows, left=('', 'choice'))}\n\n{outcome.chosen.choice}: {outcome.chosen.bytes / 1e6:.2f} MB"


def _row(trial: Trial, *, is_chosen: bool) -> dict[str, str]:
    return {
        "": "*" if is_chosen else "",
        "cosine": f"{trial.cosine:.5f}",
        "worst": f"{trial.worst:.4f}",
        "MB": f"{trial.bytes / 1e6:.2f}",
        "choice": str(trial.choice),
    }
