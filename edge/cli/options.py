"""What the options of all commands have in common."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any


class Help(argparse.RawDescriptionHelpFormatter):
    """Leaves texts as they are written, and gives the names of commands the room that they need."""

    def add_argument(self, action: argparse.Action) -> None:
        """Argparse does not count that commands are indented once more than options."""
        super().add_argument(action)
        if action.nargs == argparse.PARSER:
            self._action_max_length += self._indent_increment


def port(text: str) -> int:
    """A TCP port."""
    if text.isdecimal() and 1 <= int(text) <= 65535:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r}; expected a port from 1 to 65535")


def count(text: str) -> int:
    """How many, at least one."""
    if text.isdecimal() and 1 <= int(text) <= 1_000_000:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r}; expected a whole number of at least 1")


def run_of(module: str, function: str = "run") -> Callable[[argparse.Namespace], int]:
    """What runs `function` of edge.cli.`module`, which is imported only then."""

    def call(args: argparse.Namespace) -> int:
        return int(getattr(importlib.import_module(f"edge.cli.{module}"), function)(args))

    return call


class Commands:
    """Adds subcommands that all look alike."""

    def __init__(self, parser: argparse.ArgumentParser) -> None:
        self._group = parser.add_subparsers(title="commands", metavar="COMMAND")

    def add(
        self, name: str, run: Callable[[argparse.Namespace], int], help_: str, **texts: Any
    ) -> argparse.ArgumentParser:
        """One subcommand; `texts` may be its description and epilog."""
        epilog = texts.pop("epilog", None)
        parser = self._group.add_parser(
            name, help=help_, description=texts.pop("description", help_), epilog=epilog,
            formatter_class=Help,
        )  # fmt: skip
        parser.set_defaults(run=run, parser=parser)
        return parser


def add_files(parser: argparse.ArgumentParser, *, bundle: bool = True, gallery: bool = True) -> None:
    """Which files to work with."""
    group = parser.add_argument_group("files")
    group.add_argument("--config", type=Path, metavar="FILE", help="ostiary.yaml (default: see docs/configuration.md)")
    if bundle:
        add_bundle(group, "bundle to use (default: the configuration's, else the package's own)")
    if gallery:
        group.add_argument(
            "--gallery",
            type=Path,
            metavar="FILE",
            help="gallery to use (default: the configuration's, else one per user)",
        )


def add_bundle(group: argparse._ActionsContainer, help_: str, default: str | None = argparse.SUPPRESS) -> None:
    """Before the command or behind it; behind it nothing is set where nothing is said, so that what was said before stays."""
    group.add_argument("--bundle", type=Path, metavar="DIR", help=help_, default=default)


def add_json(parser: argparse.ArgumentParser) -> None:
    """The switch for programs."""
    parser.add_argument("--json", action="store_true", help="one JSON object a line, for programs")
