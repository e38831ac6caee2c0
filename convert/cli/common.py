"""What several subcommands share."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TypeAlias

Subcommands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # noqa: SLF001  what add_subparsers returns has no other name


def add_images(command: argparse.ArgumentParser) -> None:
    """The option --images."""
    text = "folder or .tar file with pictures named NAME/NAME_0001.jpg"
    command.add_argument("--images", type=Path, required=True, metavar="TAR|DIR", help=text)
