"""Commands about bundles, and their options."""

from __future__ import annotations

import argparse
from dataclasses import dataclass

from edge.cli.options import Commands, add_files, add_json, run_of


@dataclass(frozen=True, slots=True)
class _Command:
    help: str
    description: str
    epilog: str


_COMMANDS = {
    "install": _Command(
        "bring a bundle into its slot",
        "Copies or fetches a bundle, checks every file of it, and gives it its slot by one rename. It is not in use by that.\n"
        "With updates.trust, SOURCE is a repository of signed bundles (a folder, such as on a USB stick, or an https address);\n"
        "without, the folder of a bundle.",
        "examples:\n  ostiary bundle install /media/stick/ostiary\n  ostiary bundle install --name ostiary-default-3 --activate\n"
        "  ostiary bundle install https://updates.example/ostiary\n"
        "exit 2 nowhere to install from, 3 repository away, 4 refused: damaged, unsigned, expired, older, for other devices.",
    ),
    "activate": _Command(
        "use another installed bundle, from the next start on",
        "Checks digests, signature, self-test and gallery, and turns the link `active`. The next start runs the bundle on trial:\n"
        "what fails, is slower than updates.budget_ms or dies is rolled back by itself.",
        "examples:\n  ostiary bundle activate ostiary-default-3 && sudo systemctl restart ostiary\n"
        "exit 4 when the bundle does not pass.",
    ),
    "rollback": _Command(
        "go back to the bundle before, from the next start on",
        "Goes back to what ran before the last switch. A bundle on trial that fails needs no such command.",
        "examples:\n  ostiary bundle rollback && sudo systemctl restart ostiary\nexit 2 when nothing before is known.",
    ),
    "list": _Command(
        "what is installed, what is in use, what is on trial",
        "A line for each slot: version, size, embedder, and how it stands.",
        "examples:\n  ostiary bundle list\n  ostiary bundle list --json | jq -r 'select(.active == true) | .bundle'",
    ),
    "verify": _Command(
        "digests, signature and self-test of a bundle",
        "Looks at an installed bundle (default: the one in use) as `activate` does, and changes nothing.",
        "examples:\n  ostiary bundle verify\n  ostiary bundle verify ostiary-default-3 --json | jq .self_test.frame_ms\n"
        "exit 4 when something is not in order.",
    ),
    "remove": _Command(
        "take installed bundles away",
        "Never the one in use, nor the one that a rollback goes to.",
        "examples:\n  ostiary bundle remove ostiary-default-1\n  ostiary bundle remove --old",
    ),
}


def add_bundles(commands: Commands) -> None:
    """`bundle` and what stands behind it."""
    bundle = commands.add("bundle", run_of("bundle"), "installed bundles: install, switch, go back, verify")
    bundle.set_defaults(run=None)
    inner = Commands(bundle)
    for name, texts in _COMMANDS.items():
        run = run_of("bundle", f"run_{name}")
        parser = inner.add(name, run, texts.help, description=texts.description, epilog=texts.epilog)
        add_files(parser, bundle=False, gallery=name in {"install", "activate", "rollback"})
        add_json(parser)
        _add_options(name, parser)


def _add_options(name: str, parser: argparse.ArgumentParser) -> None:
    if name == "install":
        parser.add_argument(
            "source", nargs="?", metavar="SOURCE", help="folder or https address (default: updates.source)"
        )
        parser.add_argument(
            "--name", metavar="ID", help="bundle to take (default: the newest that is signed for this box)"
        )
        parser.add_argument("--activate", action="store_true", help="and use it from the next start on")
    elif name == "activate":
        parser.add_argument("name", metavar="NAME", help="as `ostiary bundle list` shows it")
    elif name == "verify":
        parser.add_argument("name", nargs="?", metavar="NAME", help="default: the one in use")
    elif name == "remove":
        parser.add_argument("names", nargs="*", metavar="NAME", help="as `ostiary bundle list` shows it")
        parser.add_argument("--old", action="store_true", help="all that are neither in use nor to go back to")
    if name in {"install", "activate"}:
        parser.add_argument("--allow-older", action="store_true", help="although a higher version is in use")
        parser.add_argument(
            "--leave-out",
            action="store_true",
            help="although some people would not be recognized any more (other embedder)",
        )
