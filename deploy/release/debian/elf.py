"""What a shared library says of itself: the machine that it is for, and the libraries that it needs.

Layout: System V ABI, chapters 4 and 5 (https://refspecs.linuxfoundation.org/elf/gabi4+/contents.html).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from edge.errors import RejectedError

MAGIC = b"\x7fELF"
_MACHINES = {40: "armv7l", 62: "x86_64", 183: "aarch64"}
_LOADED, _DYNAMIC = 1, 2
_END, _NEEDED, _STRINGS, _NAME = 0, 1, 5, 14
_HINT = "The wheel that it came in is damaged: fetch it again."


@dataclass(frozen=True, slots=True)
class Library:
    """A program or library in ELF."""

    machine: str
    """As `uname -m` has it; `machine N` where the number is none that Ostiary is made for."""
    needed: tuple[str, ...]
    """Names of the libraries that the loader must find."""
    name: str
    """Its own name (DT_SONAME), or empty."""


class _Segment(NamedTuple):
    kind: int
    offset: int
    address: int
    size: int


class _Widths(NamedTuple):
    """Formats of a 32-bit or 64-bit file, byte order first."""

    header: str
    segment: str
    entry: str


def is_elf(path: Path) -> bool:
    """Whether a file begins as one."""
    with path.open("rb") as file:
        return file.read(4) == MAGIC


def read_library(path: Path) -> Library:
    """RejectedError where the file is cut off or contradicts itself."""
    data = path.read_bytes()
    try:
        return _library(data)
    except (struct.error, IndexError, OverflowError, ValueError) as error:
        raise RejectedError(f"not a whole ELF file ({error})", where=str(path), hint=_HINT) from error


def _library(data: bytes) -> Library:
    widths = _widths(data)
    machine = struct.unpack_from(widths.header[0] + "H", data, 18)[0]
    segments = _segments(data, widths)
    entries = _entries(data, widths, segments)
    place = next((value for tag, value in entries if tag == _STRINGS), None)
    needed, name = [], ""
    for tag, value in entries:
        if tag in {_NEEDED, _NAME} and place is not None:
            text = _text(data, _offset(place, segments) + value)
            needed += [text] if tag == _NEEDED else []
            name = text if tag == _NAME else name
    return Library(_MACHINES.get(machine, f"machine {machine}"), tuple(needed), name)


def _widths(data: bytes) -> _Widths:
    if data[:4] != MAGIC or data[4] not in {1, 2} or data[5] not in {1, 2}:
        raise ValueError("no ELF header")
    order = "<" if data[5] == 1 else ">"
    if data[4] == 2:
        # e_phoff, then e_phentsize and e_phnum; p_type, p_flags, p_offset, p_vaddr, p_paddr, p_filesz; d_tag, d_val.
        return _Widths(f"{order}32xQ14xHH", f"{order}IIQQQQ", f"{order}qQ")
    return _Widths(f"{order}28xI10xHH", f"{order}IIIII", f"{order}iI")


def _segments(data: bytes, widths: _Widths) -> list[_Segment]:
    start, size, count = struct.unpack_from(widths.header, data)
    found = []
    for index in range(count):
        fields = struct.unpack_from(widths.segment, data, start + index * size)
        if len(fields) == 6:
            found.append(_Segment(fields[0], fields[2], fields[3], fields[5]))
        else:
            found.append(_Segment(fields[0], fields[1], fields[2], fields[4]))
    return found


def _entries(data: bytes, widths: _Widths, segments: list[_Segment]) -> list[tuple[int, int]]:
    for segment in segments:
        if segment.kind == _DYNAMIC:
            size = struct.calcsize(widths.entry)
            whole = data[segment.offset : segment.offset + segment.size // size * size]
            pairs: list[tuple[int, int]] = list(struct.iter_unpack(widths.entry, whole))
            ends = [index for index, (tag, _) in enumerate(pairs) if tag == _END]
            return pairs[: ends[0]] if ends else pairs
    return []


def _offset(address: int, segments: list[_Segment]) -> int:
    """Where in the file that lies which the loader puts at an address."""
    for segment in segments:
        if segment.kind == _LOADED and segment.address <= address < segment.address + segment.size:
            return segment.offset + address - segment.address
    raise ValueError(f"nothing is loaded at {address:#x}")


def _text(data: bytes, offset: int) -> str:
    return data[offset : data.index(b"\0", offset)].decode("ascii")
