"""The wheels that a target needs: found by pip, kept in a cache, checked here without running the target."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

from deploy.release.fetch import fetch_wheels
from deploy.release.locks import Pin, read_lock
from deploy.release.target import Target
from deploy.release.wheel import Wheel, check_wheel, rank, tags_in_name
from edge.errors import RejectedError

__all__ = ["Wheel", "cache_folder", "collect"]


def cache_folder() -> Path:
    """Where wheels are kept between builds: `$XDG_CACHE_HOME/ostiary/wheels`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ostiary" / "wheels"


def collect(target: Target, folder: Path, *, checkout: Path, cache: Path | None = None) -> tuple[Wheel, ...]:
    """Fill `folder` with the wheels of the target's lock; returns them sorted by name.

    `cache` keeps them, in a folder for each target: which of several fitting wheels is taken must not hang on what was built
    before. What is in there and has not the digest of the lock is fetched again. Whatever is wrong: UsageError, RejectedError, or
    UnavailableError without a network.
    """
    pins = read_lock(checkout / target.lock, target)
    kept = (cache or cache_folder()) / target.label
    kept.mkdir(parents=True, exist_ok=True)
    held = {pin.name: _held(pin, kept, target) for pin in pins}
    missing = [pin for pin in pins if held[pin.name] is None]
    if missing:
        with tempfile.TemporaryDirectory(prefix=".fetch-", dir=kept) as scratch:
            fetch_wheels(missing, target, Path(scratch))
            for pin in missing:
                held[pin.name] = _keep(pin, Path(scratch), kept, target)
    return tuple(check_wheel(_copied(path, folder), target) for path in held.values() if path is not None)


def _held(pin: Pin, folder: Path, target: Target) -> Path | None:
    """The best wheel of that project in the folder, if it is whole. Damaged ones are removed."""
    best: tuple[int, str, Path] | None = None
    for path in _wheels(folder):
        name, version, tags = tags_in_name(path)
        place = rank(tags, target)
        if (name, version) != (pin.name, pin.version) or place is None:
            continue
        if _digest(path) not in pin.digests:
            path.unlink()
        elif best is None or (place, path.name) < best[:2]:
            best = (place, path.name, path)
    return best[2] if best is not None else None


def _keep(pin: Pin, fetched: Path, kept: Path, target: Target) -> Path:
    """Move what pip brought into the cache, after a look of our own at its digest."""
    path = _held(pin, fetched, target)
    if path is None:
        names = ", ".join(path.name for path in _wheels(fetched)) or "nothing"
        problem = f"pip brought {names[:300]}"
        raise RejectedError(
            problem, where=f"{pin.name} {pin.version}", expected=f"a wheel of the lock for {target.label}"
        )
    return path.replace(kept / path.name)


def _wheels(folder: Path) -> Iterable[Path]:
    return sorted(folder.glob("*.whl"))


def _digest(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _copied(path: Path, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return Path(shutil.copyfile(path, folder / path.name))
