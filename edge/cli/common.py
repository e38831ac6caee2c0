"""What several commands need: settings from options, one way to print, one way to show progress."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from edge.config import Settings, find_config, load_settings

T = TypeVar("T")


def settings_of(args: argparse.Namespace) -> Settings:
    """The configuration file's settings (or the defaults) with the options of this command over them."""
    path = args.config or find_config()
    settings = load_settings(path) if path is not None else Settings()
    changes = {name: value for name in ("bundle", "gallery") if (value := getattr(args, name, None)) is not None}
    return dataclasses.replace(settings, **changes)


def print_json(data: Any) -> None:
    """One object on one line, and out at once: the reader may be a program at the other end of a pipe."""
    print(json.dumps(data, ensure_ascii=False), flush=True)


def complain(text: str) -> None:
    """To standard error."""
    print(text, file=sys.stderr, flush=True)


def plural(count: int, one: str, many: str | None = None) -> str:
    """1 face, 2 faces."""
    return f"{count} {one if count == 1 else many or one + 's'}"


def progress(items: Sequence[T], description: str) -> Iterator[T]:
    """The items, with a bar on standard error when a person is looking and rich is installed."""
    if len(items) < 2 or not sys.stderr.isatty():
        yield from items
        return
    try:
        from rich.console import Console
        from rich.progress import track
    except ImportError:
        yield from items
        return
    yield from track(items, description=description, console=Console(stderr=True), transient=True)


PICTURE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".gif", ".tif", ".tiff", ".ppm", ".pgm"})


def pictures_in(paths: Iterable[Path]) -> list[Path]:
    """Files as they are; folders as the pictures directly inside, by name."""
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            found += sorted(item for item in path.iterdir() if item.suffix.lower() in PICTURE_SUFFIXES)
        else:
            found.append(path)
    return found
