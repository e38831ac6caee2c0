"""From a checkout to a release: the folder, the archive, the Debian package. All of it or nothing."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from deploy.release.archive import write_tar
from deploy.release.debian import build_package
from deploy.release.fetch import disk_full
from deploy.release.folder import ABOUT, Ingredients, fill_folder, release_name
from deploy.release.origin import EPOCH
from edge.errors import UsageError

FORMATS = ("tar", "deb")


@dataclass(frozen=True, slots=True)
class Release:
    """What was made."""

    folder: Path
    files: tuple[Path, ...]
    """The archive and the package, as far as they were asked for."""


def make_release(ingredients: Ingredients, output: Path, formats: tuple[str, ...]) -> Release:
    """Make a release in the folder `output`; an older one of the same name is replaced when the new one is whole.

    A step that fails leaves nothing behind. UsageError, RejectedError or UnavailableError say what went wrong.
    """
    name = release_name(ingredients.origin, ingredients.target)
    _refuse_foreign(output / name)
    output.mkdir(parents=True, exist_ok=True)
    # Beside the result, so that one rename ends it.
    with tempfile.TemporaryDirectory(prefix=".release-", dir=output) as scratch:
        folder = Path(scratch) / name
        folder.mkdir()
        try:
            with _dated(ingredients.origin.epoch), _open_umask():
                fill_folder(ingredients, folder)
                made = [_pack(kind, folder, Path(scratch), ingredients) for kind in formats]
        except OSError as error:
            if error.errno in {errno.ENOSPC, errno.EDQUOT}:
                raise disk_full(output) from error
            raise
        files = tuple(path.replace(output / path.name) for path in made)
        _swap(folder, output / name, Path(scratch) / "old")
    return Release(output / name, files)


def _pack(kind: str, folder: Path, scratch: Path, ingredients: Ingredients) -> Path:
    if kind == "tar":
        return write_tar(folder, scratch / f"{folder.name}.tar", ingredients.origin.epoch)
    package = build_package(folder, ingredients.target, scratch / "deb")
    package.chmod(0o644)
    return package


def _refuse_foreign(folder: Path) -> None:
    if folder.exists() and not (folder / ABOUT).is_file():
        hint = "Name another folder with -o, or move it away."
        raise UsageError("something that is no release is there", where=str(folder), hint=hint)


def _swap(folder: Path, target: Path, old: Path) -> None:
    if target.exists():
        shutil.move(target, old)
    folder.rename(target)


@contextmanager
def _dated(epoch: int) -> Iterator[None]:
    """Programs that are started know the date, too (https://reproducible-builds.org/specs/source-date-epoch/)."""
    before = os.environ.get(EPOCH)
    os.environ[EPOCH] = str(epoch)
    try:
        yield
    finally:
        if before is None:
            del os.environ[EPOCH]
        else:
            os.environ[EPOCH] = before


@contextmanager
def _open_umask() -> Iterator[None]:
    """Files of a release are for everybody to read, whatever the user's umask is."""
    before = os.umask(0o022)
    try:
        yield
    finally:
        os.umask(before)
