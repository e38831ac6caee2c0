"""Writing so that a power cut leaves the old or the new, never something between: bytes to disk first, names afterwards.

POSIX promises that rename(2) is atomic, not that it is on disk, nor that what it names is: hence fsync(2) of a file before its
name changes, and of the folder after it.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path


def sync_folder(folder: Path) -> None:
    """The names in it are on disk from here on."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(folder: Path) -> None:
    """Everything below it, the folder itself last."""
    for root, _, names in os.walk(folder, topdown=False):
        for name in names:
            descriptor = os.open(Path(root, name), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        sync_folder(Path(root))


def replace_file(path: Path, content: bytes, *, mode: int = 0o644) -> None:
    """Write a small file whole or not at all. OSError when that cannot be done; the old one is then as it was."""
    draft = path.with_name(f".{path.name}.new")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        # Not left to the umask: what root writes, the service's user has to read.
        os.fchmod(descriptor, mode)
        with os.fdopen(descriptor, "wb", closefd=False) as handle:
            handle.write(content)
        give_to_owner_of(path.parent, descriptor)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    draft.replace(path)
    sync_folder(path.parent)


def replace_link(link: Path, target: str | None) -> None:
    """Let a symbolic link name `target`, in one step; None takes the link away. OSError as above."""
    if target is None:
        link.unlink(missing_ok=True)
    else:
        draft = link.with_name(f".{link.name}.new")
        draft.unlink(missing_ok=True)
        draft.symlink_to(target)
        draft.replace(link)
    sync_folder(link.parent)


def remove_tree(folder: Path) -> None:
    """Take a folder away that may be half there; nothing when it is not there at all."""
    if folder.is_symlink() or folder.is_file():
        folder.unlink()
    elif folder.exists():
        shutil.rmtree(folder)


def give_to_owner_of(folder: Path, what: int | Path) -> None:
    """What root makes in a folder of the service's user is that user's: a descriptor, or a path."""
    if os.geteuid() == 0:
        status = folder.stat()
        os.chown(what, status.st_uid, status.st_gid)
