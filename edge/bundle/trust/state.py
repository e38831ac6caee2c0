"""What this box has come to trust, on disk: whole at every moment, also over a power cut.

    STATE/current -> 3f9c...      one rename is the whole change
    STATE/3f9c.../metadata/       tuf's own folder: the chain of roots, and the newest timestamp, snapshot and targets seen
    STATE/3f9c.../in-force/       targets.json and the root of the last update that was complete
    STATE/3f9c.../moment.json     no clock of this box may be behind it
    STATE/lock

tuf replaces its files one by one and syncs none, so it works in a copy, which takes the place of the old one when it is
on disk. What was seen before an update failed is kept (a rollback stays refused); what may run follows complete updates alone.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from edge.bundle.durable import give_to_owner_of, replace_link, sync_folder, sync_tree
from edge.errors import BundleError

CURRENT = "current"
METADATA = "metadata"
IN_FORCE = "in-force"
TARGETS = "targets.json"
ROOT_VERSION = "root-version"
MOMENT = "moment.json"
LOCK = "lock"
MOST_BYTES = 8_000_000
"""More than tuf takes for any metadata."""
WRITABLE = "The service's user must be able to write it; under systemd that is the folder of its state."


class TrustState:
    """The folder of it."""

    def __init__(self, folder: Path) -> None:
        self.path = folder

    def current(self) -> Path | None:
        """The generation that counts, with the link followed once. None before the first update."""
        link = self.path / CURRENT
        return link.resolve() if link.is_symlink() else None

    @contextmanager
    def draft(self) -> Iterator[Path]:
        """A copy of what counts, or an empty folder; it counts when the block ends, however it ends. One process at a time.

        BundleError where the folder cannot be written, or another process is at it.
        """
        with self._explained(), self._exclusive():
            draft = self._copy()
            try:
                yield draft
            finally:
                self._commit(draft)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            problem = f"cannot be changed ({error.strerror or error})"
            where = str(error.filename or self.path)
            raise BundleError(problem, where=where, expected="a folder that may be written", hint=WRITABLE) from error

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        if not self.path.is_dir():
            self.path.mkdir(parents=True, exist_ok=True)
            give_to_owner_of(self.path.parent, self.path)
            sync_folder(self.path.parent)
        descriptor = os.open(self.path / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            give_to_owner_of(self.path, descriptor)
            self._lock(descriptor)
            yield
        finally:
            os.close(descriptor)

    def _lock(self, descriptor: int) -> None:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            hint = "Wait until the other update is over."
            raise BundleError(
                "in use by another process", where=str(self.path), expected="one update at a time", hint=hint
            ) from error

    def _copy(self) -> Path:
        draft = self.path / os.urandom(8).hex()
        current = self.current()
        if current is not None and current.is_dir():
            shutil.copytree(current, draft)
        for name in (METADATA, IN_FORCE):
            (draft / name).mkdir(parents=True, exist_ok=True)
        return draft

    def _commit(self, draft: Path) -> None:
        # tuf's mark of the newest root; it is found by the chain from the installer's, each time.
        (draft / METADATA / "root.json").unlink(missing_ok=True)
        current = self.current()
        if current is None or _content(current) != _content(draft):
            for path in (draft, *draft.rglob("*")):
                give_to_owner_of(self.path, path)
            sync_tree(draft)
            sync_folder(self.path)
            replace_link(self.path / CURRENT, draft.name)
        # The one before stays: a process that found it a moment ago may still be reading.
        kept = {self.current(), current if self.current() == draft.resolve() else None}
        for entry in self.path.iterdir():
            if entry.is_dir() and not entry.is_symlink() and entry.resolve() not in kept:
                shutil.rmtree(entry, ignore_errors=True)


def put_in_force(draft: Path, root_version: int) -> None:
    """The update was complete: its targets are what may run from now on."""
    shutil.copyfile(draft / METADATA / TARGETS, draft / IN_FORCE / TARGETS)
    (draft / IN_FORCE / ROOT_VERSION).write_text(f"{root_version}\n", encoding="ascii")


def read_moment(draft: Path, keys: list[str]) -> datetime | None:
    """The newest moment that was trusted under these keys of the timestamp role; under others it counts no longer."""
    data = _json(draft / MOMENT)
    if data.get("keys") != sorted(keys):
        return None
    with suppress(TypeError, ValueError):
        return datetime.fromisoformat(data["moment"]).astimezone(UTC)
    return None


def write_moment(draft: Path, moment: datetime, keys: list[str]) -> None:
    """Remember it, in whole hours: a file that changes with every look would wear the card out."""
    whole = moment.replace(minute=0, second=0, microsecond=0)
    (draft / MOMENT).write_text(json.dumps({"moment": whole.isoformat(), "keys": sorted(keys)}), encoding="utf-8")


def read_bounded(path: Path) -> bytes:
    """Bytes of a file of metadata; OSError where it cannot be read, also because it is too large to be one."""
    with path.open("rb") as handle:
        data = handle.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise OSError(0, f"more than {MOST_BYTES} bytes", str(path))
    return data


def _json(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(read_bounded(path))
    except (OSError, ValueError, RecursionError):
        return {}
    return data if isinstance(data, dict) else {}


def _content(folder: Path) -> dict[str, bytes]:
    """Every file by its name."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
