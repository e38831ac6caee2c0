"""Asking pip for the wheels of another machine. pip knows indexes, mirrors, proxies and credentials; nothing here does."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from packaging.utils import canonicalize_name

from deploy.release.locks import Pin
from deploy.release.target import Target
from edge.errors import OstiaryError, RejectedError, UnavailableError, UsageError

_NO_NETWORK = ("Failed to establish a new connection", "name resolution", "ConnectTimeoutError", "ReadTimeoutError")
_NOT_FOUND = re.compile(r"No matching distribution found for (\S+?)==")
_SKIPPED = re.compile(r"none of the wheel's tags \(([^)]*)\) are compatible")
_MOST_TAGS = 12


def fetch_wheels(pins: Sequence[Pin], target: Target, folder: Path) -> None:
    """Let pip download the wheel of each, with digests required. UnavailableError, RejectedError or UsageError otherwise."""
    done = _download(pins, target, folder)
    if done.returncode == 0:
        return
    said = done.stdout + done.stderr
    if "No module named pip" in said:
        hint = f"{sys.executable} -m ensurepip"
        raise UsageError("this Python has no pip, and the wheels are fetched with it", hint=hint)
    if "[Errno 28]" in said:
        raise disk_full(folder.parent)
    found = _NOT_FOUND.search(said)
    pin = next((it for it in pins if found is not None and it.name == canonicalize_name(found[1])), None)
    # In a word pip says only that it found nothing; in many, what there was and what kept it from looking.
    told = _download([pin], target, folder, "-vv").stdout if pin is not None else ""
    if any(sign in said + told for sign in _NO_NETWORK):
        hint = "--wheels DIR names a folder that has them already; pip's own settings (PIP_INDEX_URL, PIP_PROXY) say where it looks."
        raise UnavailableError("the package index cannot be reached", where="pip download", hint=hint)
    if pin is not None:
        raise _no_wheel(pin, target, told)
    lines = [line for line in said.splitlines() if line.strip() and not line.startswith(("WARNING", "    "))]
    raise OstiaryError("pip could not fetch the wheels", where=target.label, hint="\n  ".join(lines[-8:])[:1500])


def disk_full(folder: Path) -> OstiaryError:
    """What to say when there is no room; nothing that was begun is kept."""
    hint = "Make room: a build takes three times the size of its release, and the cache of wheels once more (--wheels DIR)."
    return OstiaryError("the disk is full", where=str(folder), hint=hint)


def _no_wheel(pin: Pin, target: Target, told: str) -> RejectedError:
    """Says which wheels of that version there are."""
    tags = sorted({tag.strip() for tags in _SKIPPED.findall(told) for tag in tags.split(",")})
    shown = ", ".join(tags[:_MOST_TAGS]) + (", ..." if len(tags) > _MOST_TAGS else "") if tags else "no wheels at all"
    hint = f"Lock a version that has one, or let the distribution provide it (deploy/release/target.py). There are: {shown}"
    where = f"{pin.name} {pin.version}"
    return RejectedError(
        f"no wheel for {target.label}", where=where, expected=f"tags like {target.usual_tag}", hint=hint
    )


def _download(pins: Sequence[Pin], target: Target, folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    version = ["--implementation", "cp", "--python-version", target.python]
    platforms = [part for tag in target.platforms for part in ("--platform", tag)]
    quiet = ["--disable-pip-version-check", "--no-input", "--progress-bar", "off"]
    strict = ["--no-deps", "--require-hashes", "--only-binary", ":all:"]
    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as wanted:
        wanted.write("".join(f"{pin.requirement}\n" for pin in pins))
        wanted.flush()
        command = [sys.executable, "-m", "pip", "download", *more, *quiet, *strict, *version, *platforms]
        command += ["--dest", str(folder), "--requirement", wanted.name]
        return subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)  # noqa: S603  our own arguments
