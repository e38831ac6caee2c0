"""Files that hold what is known of people: for the owner alone, and whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import IO, TypeVar

from edge.errors import GalleryError
from edge.gallery.database import sync_folder

T = TypeVar("T")


def write_privately(path: Path, write: Callable[[IO[bytes]], T], *, what: str) -> T:
    """What `write` puts into a new file becomes `path` (mode 0600), on disk when this returns; GalleryError.

    What was there stays when anything fails. `what` names the file for people.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}-{os.urandom(4).hex()}.new")
    try:
        descriptor = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as handle:
                os.fchmod(descriptor, 0o600)
                made = write(handle)
                handle.flush()
                os.fsync(descriptor)
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)
        sync_folder(path.parent)
    except OSError as error:
        hint = f"Choose another place for the {what}."
        raise GalleryError(f"cannot be written ({error.strerror})", where=str(path), hint=hint) from error
    return made
