"""Reading a lock of `requirements/`: names, versions and digests, as far as they concern one target."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from deploy.release.target import Target
from edge.errors import UsageError

_DIGEST = re.compile(r"--hash=sha256:([0-9a-f]{64})(?=\s|$)")
_HINT = "./scripts/lock writes the locks; `git status` shows whether somebody changed one."


@dataclass(frozen=True, slots=True)
class Pin:
    """One project at one version, and the digests of its files; one of them is the target's wheel."""

    name: str
    """Normalised: opencv-python-headless."""
    version: str
    digests: frozenset[str]

    @property
    def requirement(self) -> str:
        """A line that pip understands."""
        return " ".join([f"{self.name}=={self.version}", *(f"--hash=sha256:{it}" for it in sorted(self.digests))])


def read_lock(path: Path, target: Target) -> tuple[Pin, ...]:
    """What the lock wants on the target, sorted by name. UsageError when it is missing or not such a lock.

    Markers are judged by the target's Python here: pip judges them by the one that it runs on, whatever --python-version says.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not text"
        raise UsageError(f"cannot be read ({reason})", where=str(path), expected="a lock", hint=_HINT) from error
    lines = text.replace("\\\n", " ").splitlines()
    pins = [_read_line(line, path, target) for line in lines if line.strip() and not line.lstrip().startswith("#")]
    found = sorted((pin for pin in pins if pin is not None), key=lambda pin: pin.name)
    _check_twice(found, path)
    left_out = {it.project for it in target.provided}
    return tuple(pin for pin in found if pin.name not in left_out)


def _read_line(line: str, path: Path, target: Target) -> Pin | None:
    """One requirement; None when its marker leaves the target out."""
    try:
        wanted = Requirement(line.partition("--hash")[0].strip())
    except InvalidRequirement as error:
        raise UsageError(f"not a requirement: {line.strip()[:80]!r}", where=str(path), hint=_HINT) from error
    pinned = [it.version for it in wanted.specifier if it.operator == "==" and not it.version.endswith("*")]
    digests = frozenset(_DIGEST.findall(line))
    if len(pinned) != 1 or not digests:
        problem = f"{wanted.name} without " + ("a digest" if pinned else "one exact version")
        raise UsageError(problem, where=str(path), expected="name==version --hash=sha256:...", hint=_HINT)
    if wanted.marker is not None and not wanted.marker.evaluate(target.environment):
        return None
    return Pin(canonicalize_name(wanted.name), pinned[0], digests)


def _check_twice(pins: list[Pin], path: Path) -> None:
    for one, other in itertools.pairwise(pins):
        if one.name == other.name:
            problem = f"{one.name} twice, as {one.version} and {other.version}"
            raise UsageError(problem, where=str(path), expected="markers that exclude each other", hint=_HINT)
