"""What several subcommands share."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TypeAlias

from edge.errors import UsageError

Subcommands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # noqa: SLF001  what add_subparsers returns has no other name


def add_images(command: argparse.ArgumentParser) -> None:
    """The option --images."""
    text = "folder or .tar file with pictures named NAME/NAME_0001.jpg"
    command.add_argument("--images", type=Path, required=True, metavar="TAR|DIR", help=text)


def add_ends(group: argparse._ActionsContainer) -> None:
    """What has to be said of a file where it does not say it itself."""
    group.add_argument("--input", action="append", default=[], metavar="NAME", help="an input; repeat it for several")
    group.add_argument(
        "--output-name", action="append", default=[], metavar="NAME", help="an output; repeat it for several"
    )
    group.add_argument(
        "--shape",
        action="append",
        default=[],
        metavar="[NAME=]1,3,112,112",
        help="shape of an input, in the file's own layout",
    )
    group.add_argument("--architecture", default="", metavar="NAME", help="of a file that holds weights alone")
    group.add_argument("--signature", default="", metavar="NAME", help="of a SavedModel")


def parse_shape(text: str) -> tuple[str, tuple[int, ...]]:
    """NAME=1,3,112,112 -> (NAME, sizes); without a name it is of the only input. UsageError for anything else."""
    name, _, sizes = text.rpartition("=")
    try:
        return name, tuple(int(size) for size in sizes.split(","))
    except ValueError as error:
        raise UsageError(f"--shape {text!r}", expected="sizes like 1,3,112,112, or NAME=1,3,112,112") from error
