"""`ostiary completion`: what a shell needs to complete commands and options."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from edge.cli.parser import make_parser
from edge.errors import MissingDependencyError


def run(args: argparse.Namespace) -> int:
    """To standard output."""
    try:
        import shtab
    except ImportError as error:
        raise MissingDependencyError("shtab", extra="cli", purpose="shell completion") from error
    parser = make_parser()
    for action in _actions(parser):
        if action.type is Path:
            action.complete = shtab.DIRECTORY if action.metavar == "DIR" else shtab.FILE  # type: ignore[attr-defined]
    print(shtab.complete(parser, args.shell))
    return 0


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Of this parser and of all commands below it."""
    for action in parser._actions:  # noqa: SLF001 - argparse has no public way to list them
        yield action
        if action.nargs == argparse.PARSER and isinstance(action.choices, dict):
            for inner in action.choices.values():
                yield from _actions(inner)
