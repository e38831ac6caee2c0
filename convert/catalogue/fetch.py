"""Downloads the files of a catalogue model: resumed where they broke off, and kept only when their digest is right."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Callable
from http import HTTPStatus
from http.client import HTTPException
from pathlib import Path
from typing import Any

from convert.catalogue import Recipe
from convert.catalogue.recipe import SourceFile
from convert.catalogue.sources import check_digest, how_to_get
from edge import __version__
from edge.errors import ModelError, UnavailableError, UsageError

Progress = Callable[[str, int, int], None]
"""File name, bytes that are there, bytes in all (0 where the server does not say)."""

_TIMEOUT_S = 30.0
_CHUNK_BYTES = 1 << 16
_MOST_BYTES = 2_000_000_000
_RETRIES = 3


def fetch_model(name: str, recipe: Recipe, folder: Path, progress: Progress) -> list[Path]:
    """Get every file of a recipe into `folder`; those that are there and right are left alone. Returns those fetched.

    UsageError where an address is not known, UnavailableError (exit code 3) where it cannot be reached, ModelError
    (exit code 4) where another file than the recipe's comes.
    """
    without = [file.name for file in recipe.files if not file.url and not _is_there(folder / file.name, file)]
    if without:
        hint = recipe.obtain or f"Get them from {recipe.source}, and put them into {folder}."
        raise UsageError(f"no address is known for {', '.join(without)}", where=name, hint=hint)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot be made ({error.strerror})", where=str(folder)) from error
    wanted = [file for file in recipe.files if not _is_there(folder / file.name, file)]
    return [_fetch(file, folder, progress, hint=_offline_hint(name, recipe, folder)) for file in wanted]


def _is_there(path: Path, file: SourceFile) -> bool:
    if not path.is_file():
        return False
    check_digest(path, file)
    return True


def _offline_hint(name: str, recipe: Recipe, folder: Path) -> str:
    return (
        f"Without a network: copy the files to {folder} from a machine that has one, or name their folder with --source."
        f" {how_to_get(name, recipe) if recipe.obtain else f'They come from {recipe.source}.'}"
    )


def _fetch(file: SourceFile, folder: Path, progress: Progress, hint: str) -> Path:
    part = folder / f"{file.name}.part"
    for attempt in range(_RETRIES):
        try:
            _download(file, part, progress)
            break
        except (OSError, HTTPException) as error:
            # A refusal (HTTPError) is final; a connection that broke goes on where it broke.
            if isinstance(error, urllib.error.HTTPError) or attempt == _RETRIES - 1 or not part.exists():
                reason = getattr(error, "reason", None) or error
                raise UnavailableError(f"cannot be fetched ({reason})", where=file.url, hint=hint) from error
    try:
        check_digest(part, file)
    except ModelError:
        part.unlink()
        raise
    return part.rename(folder / file.name)


def _download(file: SourceFile, part: Path, progress: Progress) -> None:
    there = part.stat().st_size if part.exists() else 0
    if file.bytes and there == file.bytes:
        return
    headers = {"User-Agent": f"ostiary-convert/{__version__}"} | ({"Range": f"bytes={there}-"} if there else {})
    request = urllib.request.Request(file.url, headers=headers)  # noqa: S310  the scheme is checked below
    if request.type not in {"http", "https"}:
        raise UsageError(f"address of kind {request.type}", where=file.url, expected="http or https")
    with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:  # noqa: S310
        resumed = answer.status == HTTPStatus.PARTIAL_CONTENT
        _receive(answer, part, file, progress, there if resumed else 0)


def _receive(answer: Any, part: Path, file: SourceFile, progress: Progress, there: int) -> None:
    length = int(answer.headers.get("Content-Length") or 0)
    most = file.bytes or _MOST_BYTES
    with part.open("ab" if there else "wb") as handle:
        got = there
        while chunk := answer.read(_CHUNK_BYTES):
            got += len(chunk)
            if got > most:
                raise ModelError(f"more than {most} bytes come", where=file.url, expected=f"{most} bytes")
            handle.write(chunk)
            progress(file.name, got, there + length if length else file.bytes)
    if length and got < there + length:
        raise ConnectionError(f"{got} of {there + length} bytes came")
