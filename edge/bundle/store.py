"""Installed bundles: a folder with one folder each (a slot), and links that name two of them.

`active` is what runs; without it the package's own bundle does. `previous` is where a rollback goes; without it, to the
package's own. `trial.json` tells how the last switch stands (edge/bundle/slots.py).
"""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edge.bundle.durable import remove_tree, replace_link, sync_folder
from edge.bundle.folder import MANIFEST_NAME
from edge.errors import BundleError, UsageError

ACTIVE = "active"
PREVIOUS = "previous"
TRIAL = "trial.json"
RESERVED = (ACTIVE, PREVIOUS, TRIAL)
NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
OWN = "the package's own bundle"
"""What runs without a link, in words."""


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
        return sorted(name for name in found if is_name(name))

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

    def active_name(self) -> str | None:
        """Name of the slot in use; None for the package's own bundle. A link out of the folder is given as it stands."""
        return self._named(ACTIVE)

    def previous_name(self) -> str | None:
        """Name of the slot that a rollback goes to; None for the package's own bundle."""
        return self._named(PREVIOUS)

    def activate(self, name: str) -> None:
        """Let `active` name it, at once or not at all, and over a power cut. BundleError when the folder is not to be written.

        Nothing is checked and nothing is on trial: see edge/bundle/activation.py.
        """
        self.turn(self.folder(name).name)

    def turn(self, name: str | None) -> None:
        """The same, for whatever was there once; None takes the link away."""
        with self.writing():
            # Relative, so that the whole folder may be moved.
            replace_link(self.path / ACTIVE, name)

    def keep_previous(self, name: str | None) -> None:
        """Let `previous` name it."""
        with self.writing():
            replace_link(self.path / PREVIOUS, name)

    def remove(self, name: str) -> None:
        """Take a slot away: gone from sight at once, from the disk as far as nothing cuts it; the next one takes the rest.

        Whether it is needed is for edge/bundle/slots.py to say.
        """
        folder = self.folder(name)
        with self.writing():
            self.sweep()
            aside = self.path / f".removed-{name}"
            folder.rename(aside)
            sync_folder(self.path)
            remove_tree(aside)

    def sweep(self) -> None:
        """Take away what removals that were cut short have left."""
        for entry in self.path.glob(".removed-*"):
            remove_tree(entry)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """What the system refuses inside becomes a BundleError."""
        try:
            yield
        except OSError as error:
            hint = "The daemon's user must be able to write the folder; under systemd, ReadWritePaths names it."
            raise BundleError(
                f"cannot be changed ({error.strerror})", where=str(self.path), expected="a folder that may be written",
                hint=hint,
            ) from error  # fmt: skip

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Nobody else switches meanwhile: daemons that share the folder, and commands. Gone with the process that holds it."""
        with self.writing():
            descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            with self.writing():
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _named(self, what: str) -> str | None:
        link = self.path / what
        if not link.is_symlink():
            return what if link.exists() else None
        text = os.readlink(link)  # noqa: PTH115 - as it is written
        inside = self.path / text
        return inside.name if inside.parent.resolve() == self.path.resolve() else text


def is_name(name: str) -> bool:
    """Whether a slot can be called so."""
    return name not in RESERVED and re.fullmatch(NAME, name) is not None
