"""Installing a bundle: copied or fetched into a hidden folder, checked, brought to disk, and only then given its name by one rename."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from edge.bundle.activation import store_of, version_of
from edge.bundle.durable import give_to_owner_of, remove_tree, sync_folder, sync_tree
from edge.bundle.folder import MANIFEST_NAME, load_bundle, sha256_of
from edge.bundle.store import BundleStore, is_name
from edge.bundle.trust import Trust, trust_of
from edge.config.settings import Settings
from edge.errors import BundleError, UsageError

SCRATCH = ".install"
SPARE_BYTES = 16_000_000
"""Left free on the disk: gallery and outbox have to go on."""
CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Installed:
    """A bundle in its slot."""

    name: str
    bundle_id: str
    version: int | None
    is_new: bool
    """Whether it was not there before, whole and the same."""


def install(settings: Settings, source: str | None = None, *, name: str | None = None) -> Installed:
    """Bring a bundle into the folder of settings.bundles; it is not in use by that.

    `source` is the folder of a bundle, or where updates.trust is set a repository: a folder or an address; updates.source
    when None. `name` chooses among the bundles of a repository. BundleError, UsageError, RepositoryError; nothing is then
    installed, and nothing half-made can be seen.
    """
    store = store_of(settings)
    place = source or settings.updates.source
    if place is None:
        hint = "ostiary bundle install FOLDER, or set updates.source."
        raise UsageError("nowhere to install from", expected="a folder, or updates.source", hint=hint)
    with _scratch(store) as scratch:
        trust = trust_of(settings)
        fetched = _copied(place, scratch, name) if trust is None else _fetched(trust, place, scratch, name)
        bundle = load_bundle(fetched)
        version = version_of(settings, bundle)
        slot = bundle.manifest.bundle_id
        if not is_name(slot):
            raise BundleError(f"bundle_id {slot!r} is a name of our own", where=place, expected="another bundle_id")
        return Installed(slot, slot, version, _put(store, fetched, slot))


def _copied(place: str, scratch: Path, name: str | None) -> Path:
    source = Path(place)
    if "://" in place or (source / "metadata").is_dir():
        hint = "Put root.json into a folder, and name it in updates.trust: docs/updates.md."
        raise UsageError("updates.trust names no keys", where=place, expected="whose bundles to take", hint=hint)
    bundle = load_bundle(source)
    manifest = bundle.manifest
    if name is not None and name != manifest.bundle_id:
        raise UsageError(f"no bundle {name[:64]!r}", where=str(source), expected=manifest.bundle_id)
    need_room(scratch, sum(file.bytes for file in manifest.files))
    target = scratch / "bundle"
    target.mkdir()
    for file in (MANIFEST_NAME, *(one.path for one in manifest.files)):
        _copy(source / file, target / file)
    return target


def _fetched(trust: Trust, place: str, scratch: Path, name: str | None) -> Path:
    target = scratch / "bundle"
    target.mkdir()
    with _room_told(scratch):
        trust.fetch(place, name, target)
    return target


def _copy(source: Path, target: Path) -> None:
    """Bytes alone: neither modes nor times of a stick mean anything here."""
    with _room_told(target), source.open("rb") as reader, target.open("xb") as writer:
        shutil.copyfileobj(reader, writer, CHUNK_BYTES)


def _put(store: BundleStore, fetched: Path, slot: str) -> bool:
    """Give it its name. False when the very same was there."""
    target = store.path / slot
    if target.exists() or target.is_symlink():
        if not _is_same(target, fetched):
            hint = "A bundle that changes gets another bundle_id. `ostiary bundle remove` takes one away."
            raise BundleError("is there already, and differs", where=str(target), expected="a new bundle_id", hint=hint)
        if _is_whole(target):
            return False
        # Damaged, as when a card loses blocks: the sound one takes its place.
        target.rename(fetched.parent / "damaged")
    with store.writing():
        _make_readable(store.path, fetched)
        sync_tree(fetched)
        fetched.rename(target)
        sync_folder(store.path)
    return True


def _is_same(one: Path, other: Path) -> bool:
    try:
        return sha256_of(one / MANIFEST_NAME) == sha256_of(other / MANIFEST_NAME)
    except OSError:
        return False


def _is_whole(folder: Path) -> bool:
    try:
        load_bundle(folder)
    except BundleError:
        return False
    return True


def _make_readable(store: Path, folder: Path) -> None:
    """Whatever the umask of who installs: the service's user has to read it, and may take it away."""
    for path in (folder, *folder.iterdir()):
        path.chmod(0o755 if path.is_dir() else 0o644)
        give_to_owner_of(store, path)


def need_room(folder: Path, size: int) -> None:
    """BundleError when so many bytes would not leave SPARE_BYTES on the disk of `folder`."""
    free = shutil.disk_usage(folder).free
    if free < size + SPARE_BYTES:
        raise _full(folder, f"{free // 1_000_000} MB free", f"{(size + SPARE_BYTES) // 1_000_000 + 1} MB")


def _full(folder: Path, found: str, expected: str) -> BundleError:
    hint = "Make room: `ostiary bundle list` shows what is installed, `ostiary bundle remove NAME` takes one away."
    return BundleError(f"the disk is full: {found}", where=str(folder), expected=expected, hint=hint)


@contextmanager
def _room_told(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
            raise
        raise _full(folder, "it was filled meanwhile", "room for the bundle") from error


@contextmanager
def _scratch(store: BundleStore) -> Iterator[Path]:
    """A hidden folder beside the slots, for one installation at a time; what a cut one has left there is taken away."""
    scratch = store.path / SCRATCH
    with store.writing():
        store.path.mkdir(parents=True, exist_ok=True)
        scratch.mkdir(exist_ok=True)
        descriptor = os.open(scratch, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _claim(store, descriptor)
        try:
            with store.writing():
                store.sweep()
                _empty(scratch)
            yield scratch
            with store.writing():
                remove_tree(scratch)
        except BaseException:
            shutil.rmtree(scratch, ignore_errors=True)
            raise
    finally:
        os.close(descriptor)


def _claim(store: BundleStore, descriptor: int) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        hint = "Wait until it has ended."
        raise UsageError("another installation is under way", where=str(store.path), hint=hint) from None


def _empty(folder: Path) -> None:
    for entry in folder.iterdir():
        remove_tree(entry)
