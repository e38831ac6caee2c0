"""Installed bundles: a folder with one folder each, and the link `active` that names the one in use."""

from __future__ import annotations

import os
import re
from pathlib import Path

from edge.bundle.folder import MANIFEST_NAME
from edge.errors import BundleError, UsageError

ACTIVE = "active"
NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"


class BundleStore:
    """The folder that `bundles` of the configuration names."""

    def __init__(self, folder: Path) -> None:
        self.path = folder

    def names(self) -> list[str]:
        """Of everything that looks like a bundle; whether it is sound shows when it is loaded."""
        try:
            found = [entry.name for entry in self.path.iterdir() if (entry / MANIFEST_NAME).is_file()]
        except OSError as error:
            raise BundleError(
                f"cannot be read ({error.strerror})", where=str(self.path), expected="a folder of bundles"
            ) from error
        return sorted(name for name in found if name != ACTIVE and re.fullmatch(NAME, name))

    def folder(self, name: str) -> Path:
        """Of an installed bundle; UsageError when there is none of that name."""
        names = self.names()
        if name not in names:
            expected = f"one of {', '.join(names)}" if names else "an installed bundle: there is none"
            raise UsageError(f"no bundle {name[:64]!r}", where=str(self.path), expected=expected)
        return self.path / name

    def active(self) -> Path | None:
        """The folder in use, with the link followed once: what is loaded is then all of one bundle. None without a link."""
        link = self.path / ACTIVE
        if not link.is_symlink() and not link.exists():
            return None
        return link.resolve()

    def activate(self, name: str) -> None:
        """Let `active` name it, at once or not at all, and over a power cut. BundleError when the folder is not to be written."""
        folder = self.folder(name)
        draft = self.path / f".{ACTIVE}-{os.getpid()}"
        try:
            draft.unlink(missing_ok=True)
            # Relative, so that the whole folder may be moved.
            draft.symlink_to(folder.name)
            draft.replace(self.path / ACTIVE)
            _sync(self.path)
        except OSError as error:
            draft.unlink(missing_ok=True)
            hint = "The daemon's user must be able to write the folder; under systemd, ReadWritePaths names it."
            raise BundleError(
                f"cannot be changed ({error.strerror})",
                where=str(self.path),
                expected="a folder that may be written",
                hint=hint,
            ) from error


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
