"""What a release is made from: the checkout, its commit, and the moment that every file of the release is dated."""

from __future__ import annotations

import os
import subprocess
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge.errors import UsageError

EPOCH = "SOURCE_DATE_EPOCH"
_OLDEST = 315_532_800
"""1980-01-01: a wheel is a zip archive, and those know no earlier day."""
_NEWEST = 4_102_444_800
"""2100-01-01."""
_NEEDED = ("pyproject.toml", "edge/__init__.py", "requirements", "systemd", "deploy/release", "LICENSE")


@dataclass(frozen=True, slots=True)
class Origin:
    """A checkout at one moment."""

    checkout: Path
    project: dict[str, Any]
    """[project] of pyproject.toml."""
    version: str
    epoch: int
    """Seconds since 1970, of every file of the release."""
    commit: str | None
    """None where there is no git, or where files differ from the commit."""


def find_origin(checkout: Path, *, environment: dict[str, str] | None = None) -> Origin:
    """Look at a checkout. UsageError when it is none, or when nothing says which moment the release is of."""
    checkout = checkout.resolve()
    missing = [name for name in _NEEDED if not (checkout / name).exists()]
    if missing:
        hint = "A release is made in a checkout: git clone it, and run `ostiary-convert release` from an editable install of it."
        raise UsageError(f"no {missing[0]} in there", where=str(checkout), expected="a checkout of ostiary", hint=hint)
    project = _project(checkout / "pyproject.toml")
    said = os.environ if environment is None else environment
    commit = _git(checkout, "rev-parse", "HEAD")
    epoch = _epoch_of(said[EPOCH]) if said.get(EPOCH) else _epoch_of_commit(checkout, commit)
    is_clean = commit is not None and _git(checkout, "status", "--porcelain") == ""
    return Origin(checkout, project, _version(checkout), epoch, commit if is_clean else None)


def _project(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as handle:
            project = tomllib.load(handle)["project"]
    except (OSError, KeyError, ValueError) as error:
        raise UsageError(f"cannot be read ({error})", where=str(path), expected="the project's own") from error
    if not isinstance(project, dict) or project.get("name") != "ostiary":
        raise UsageError("another project", where=str(path), expected="a checkout of ostiary")
    return project


def _version(checkout: Path) -> str:
    """The checkout's own, which need not be the one that runs."""
    path = checkout / "edge" / "__init__.py"
    for line in path.read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition("=")
        if name.strip() == "__version__":
            return value.strip().strip("\"'")
    raise UsageError("no __version__ in it", where=str(path))


def _epoch_of(text: str) -> int:
    """https://reproducible-builds.org/specs/source-date-epoch/: ASCII digits, seconds since 1970."""
    if not (text.isascii() and text.isdigit() and len(text) < 12 and _OLDEST <= int(text) < _NEWEST):
        expected = f"seconds since 1970, from {_OLDEST} (1980) to {_NEWEST} (2100)"
        raise UsageError(f"{EPOCH}={text[:40]!r}", expected=expected, hint=f"For example: {EPOCH}=$(date +%s)")
    return int(text)


def _epoch_of_commit(checkout: Path, commit: str | None) -> int:
    date = _git(checkout, "log", "-1", "--format=%ct") if commit is not None else None
    if date is None:
        hint = (
            f"A release is dated by its commit. Without git, say when: {EPOCH}=$(date +%s) ostiary-convert release ..."
        )
        raise UsageError("no commit to take the date from", where=str(checkout), hint=hint)
    return _epoch_of(date)


def _git(checkout: Path, *arguments: str) -> str | None:
    """What git says of this very folder; None where there is no git, or no repository of its own."""
    if not (checkout / ".git").exists():
        return None
    command = ["git", "-C", str(checkout), "-c", f"safe.directory={checkout}", *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  our own arguments
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None
