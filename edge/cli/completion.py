"""`ostiary completion`: what a shell needs to complete commands and options."""

from __future__ import annotations

import argparse

from edge.cli.parser import make_parser
from edge.errors import MissingDependencyError


def run(args: argparse.Namespace) -> int:
    """To standard output."""
    try:
        import shtab
    except ImportError as error:
        raise MissingDependencyError("shtab", extra="cli", purpose="shell completion") from error
    print(shtab.complete(make_parser(), args.shell))
    return 0
