"""What several commands need: settings from options, one way to print, one way to show progress."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from edge.config import Settings, find_config, load_settings
from edge.errors import UsageError

T = TypeVar("T")


def settings_of(args: argparse.Namespace) -> Settings:
    """The configuration file's settings (or the defaults) with the options of this command over them."""
    path = args.config or find_config()
    settings = load_settings(path) if path is not None else Settings()
    changes = {name: value for name in ("bundle", "gallery") if (value := getattr(args, name, None)) is not None}
    return dataclasses.replace(settings, **changes)


def print_json(data: Any) -> None:
    """One object on one line, and out at once: the reader may be a program at the other end of a pipe."""
    is_utf8 = (sys.stdout.encoding or "").lower().replace("_", "-") == "utf-8"
    print(json.dumps(data, ensure_ascii=not is_utf8), flush=True)


def complain(text: str) -> None:
    """To standard error."""
    print(text, file=sys.stderr, flush=True)


def plural(count: int, one: str, many: str | None = None) -> str:
    """1 face, 2 faces."""
    return f"{count} {one if count == 1 else many or one + 's'}"


def progress(items: Sequence[T], description: str, *, prints: bool = False) -> Iterator[T]:
    """The items, with a bar on standard error when a person is looking and rich is installed.

    `prints` says that the caller prints lines meanwhile: where they go to the same terminal they are progress enough.
    """
    if len(items) < 2 or not sys.stderr.isatty() or (prints and sys.stdout.isatty()):
        yield from items
        return
    try:
        from rich.console import Console
        from rich.progress import Progress
    except ImportError:
        yield from items
        return
    # rich would send what is printed meanwhile to its own console: away from the file that the user named.
    with Progress(console=Console(stderr=True), transient=True, redirect_stdout=False, redirect_stderr=False) as bar:
        yield from bar.track(items, description=description)


def shown(text: str) -> str:
    """For a terminal: a file name may hold line breaks and escape sequences, which are spelt out."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def pictures_of(paths: Sequence[Path]) -> list[Path]:
    """Files as they are; folders as the pictures directly inside, in natural order. UsageError when that makes none."""
    from edge.capture.folder import pictures_in

    found: list[Path] = []
    for path in paths:
        found += pictures_in(path) if path.is_dir() else [path]
    if not found:
        expected, hint = "JPEG, PNG, WebP, GIF, BMP or TIFF files", "Folders inside are not searched."
        raise UsageError("no pictures in there", where=", ".join(map(str, paths)), expected=expected, hint=hint)
    return found


def ready_folder(folder: Path) -> None:
    """Make it, unless it is there. UsageError when it cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"cannot be made ({error.strerror})", where=str(folder), expected="a folder that may be written"
        ) from error
