"""One wheel, and whether it runs on a target: its tags, the machine of its libraries, and the C library that they ask for.

Format: "Binary distribution format", packaging.python.org; tags: PEP 425 and PEP 600. Nothing of the target is run.
"""

from __future__ import annotations

import hashlib
import re
import struct
import zipfile
from dataclasses import dataclass
from email.message import Message
from email.parser import HeaderParser
from pathlib import Path

from packaging.tags import Tag, parse_tag
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

from deploy.release.target import Target
from edge.errors import RejectedError

_ELF_MACHINES = {"x86_64": (2, 62), "aarch64": (2, 183), "armv7l": (1, 40)}
"""machine -> class (1 for 32 bits, 2 for 64) and e_machine of an ELF header (System V ABI, chapter 4)."""
_ELF_NAMES = {machine: name for name, (_, machine) in _ELF_MACHINES.items()}
_GLIBC = re.compile(rb"\0GLIBC_2\.(\d{1,3})(?=[.\0])")
"""Versions of symbols that a library asks for lie in its table of names."""
_MOST_BYTES = 512_000_000
_HINT = "Delete it; it is fetched again. If it comes back the same, the lock names a file that is not meant for this target."


@dataclass(frozen=True, slots=True)
class Wheel:
    """One checked wheel."""

    path: Path
    name: str
    """Normalised: opencv-python-headless."""
    version: str
    tags: frozenset[Tag]
    """Those of its name."""
    sha256: str
    glibc: tuple[int, int] | None = None
    """The newest version of the C library that its libraries name; None for pure Python."""


def tags_in_name(path: Path) -> tuple[str, str, frozenset[Tag]]:
    """Normalised name, version and tags of a wheel's file name. RejectedError when it is no such name."""
    try:
        name, version, _, tags = parse_wheel_filename(path.name)
    except InvalidWheelFilename as error:
        raise RejectedError("not the name of a wheel", where=str(path), hint=_HINT) from error
    return canonicalize_name(name), str(version), tags


def rank(tags: frozenset[Tag], target: Target) -> int | None:
    """Place of the best of these tags among the target's: 0 is the best; None when none runs there."""
    places = {tag: place for place, tag in enumerate(target.tags)}
    return min((places[tag] for tag in tags if tag in places), default=None)


def check_wheel(path: Path, target: Target) -> Wheel:
    """Read a wheel. RejectedError (exit code 4) when it is damaged or does not run on the target."""
    name, version, tags = tags_in_name(path)
    _check_tags(tags, target, path)
    try:
        with zipfile.ZipFile(path) as archive:
            _check_tags(_tags_inside(archive, path), target, path)
            glibc = _check_libraries(archive, target, path)
    except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        raise RejectedError(f"damaged ({error})", where=str(path), expected="a wheel", hint=_HINT) from error
    with path.open("rb") as handle:
        digest = hashlib.file_digest(handle, "sha256").hexdigest()
    return Wheel(path, name, version, tags, digest, glibc)


def metadata(path: Path) -> Message:
    """METADATA of a wheel. RejectedError when it has none."""
    with zipfile.ZipFile(path) as archive:
        return HeaderParser().parsestr(_member(archive, "METADATA", path))


def info_folder(archive: zipfile.ZipFile, path: Path) -> str:
    """Its `.dist-info/` folder, with the slash."""
    found = {name.partition("/")[0] for name in archive.namelist() if ".dist-info/" in name.partition("/")[0] + "/"}
    folders = {name for name in found if name.endswith(".dist-info")}
    if len(folders) != 1:
        raise RejectedError(f"{len(folders)} folders .dist-info", where=str(path), expected="one", hint=_HINT)
    return f"{folders.pop()}/"


def _member(archive: zipfile.ZipFile, name: str, path: Path) -> str:
    inside = info_folder(archive, path) + name
    if inside not in archive.namelist():
        raise RejectedError(f"no {name} in it", where=str(path), expected="a wheel", hint=_HINT)
    return archive.read(inside).decode("utf-8", "replace")


def _tags_inside(archive: zipfile.ZipFile, path: Path) -> frozenset[Tag]:
    rows = HeaderParser().parsestr(_member(archive, "WHEEL", path)).get_all("Tag", [])
    return frozenset(tag for row in rows for tag in parse_tag(str(row).strip()))


def _check_tags(tags: frozenset[Tag], target: Target, path: Path) -> None:
    if rank(tags, target) is None:
        found = ", ".join(sorted(map(str, tags))[:6]) or "none"
        expected = f"one of {target.label}, like {target.usual_tag}"
        raise RejectedError(f"tags {found}", where=str(path), expected=expected, hint=_HINT)


def _check_libraries(archive: zipfile.ZipFile, target: Target, path: Path) -> tuple[int, int] | None:
    """The newest glibc that any ELF file in it names; RejectedError for another machine's file or a newer glibc."""
    needs = [
        need
        for member in archive.infolist()
        if not member.is_dir() and (need := _library_need(archive, member, target, path)) is not None
    ]
    if not needs:
        return None
    need = max(needs)
    if need > target.glibc:
        expected = f"at most {target.glibc[0]}.{target.glibc[1]}, which {target.debian} has"
        raise RejectedError(f"it needs glibc {need[0]}.{need[1]}", where=str(path), expected=expected, hint=_HINT)
    return need


def _library_need(
    archive: zipfile.ZipFile, member: zipfile.ZipInfo, target: Target, path: Path
) -> tuple[int, int] | None:
    """The C library that one member names, (2, 0) when it names none; None when it is no ELF file."""
    if member.file_size > _MOST_BYTES:
        problem = f"{member.filename[:200]} of {member.file_size} bytes"
        raise RejectedError(problem, where=str(path), expected=f"at most {_MOST_BYTES}", hint=_HINT)
    with archive.open(member) as stream:
        head = stream.read(20)
        if len(head) < 20 or not head.startswith(b"\x7fELF"):
            return None
        machine = struct.unpack_from("<H", head, 18)[0]
        if (head[4], machine) != _ELF_MACHINES[target.machine]:
            shown = _ELF_NAMES.get(machine, f"machine {machine}")
            where = f"{path}: {member.filename}"
            raise RejectedError(f"a library for {shown}", where=where, expected=target.machine, hint=_HINT)
        minors = [int(minor) for minor in _GLIBC.findall(head + stream.read())]
    return 2, max(minors, default=0)
