"""What a picture file says about itself before anything is decoded: its format, its size, and whether it is all there.

Written here because a decoder allocates first and complains later: a header of a few bytes may claim 50,000x50,000
pixels. Pure; `edge.pictures` decodes. Sources: ITU-T T.81 (JPEG), PNG 3rd edition, GIF89a, RFC 9649 (WebP), TIFF 6.0.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

FORMATS = "a JPEG, PNG, WebP, GIF, BMP or TIFF picture"
_PNG = b"\x89PNG\r\n\x1a\n"
_FRAME_HEADERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""JPEG markers that carry the size; the three left out define tables."""
_AFTER_SCAN = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
"""In entropy-coded data FF is followed by 00 or by a restart marker; anything else ends the scan."""
_MAX_TIFF_TAGS = 4096
_TIFF_SIZES = {3: ("H", 2), 4: ("I", 4)}


class HeaderFault(Exception):  # noqa: N818 - it becomes a PictureError where the file's name is known
    """Two halves of a message: what was found, and what was expected."""

    def __init__(self, found: str, expected: str) -> None:
        super().__init__(found)
        self.found = found
        self.expected = expected


@dataclass(frozen=True, slots=True)
class Header:
    """What the first frame of a picture needs; pixels as stored, before any EXIF orientation."""

    format: str
    width: int
    height: int
    frame: bytes
    """The file itself, or only its first frame where it is animated."""


def read_header(data: bytes) -> Header:
    """Format and size of a picture. HeaderFault when it is none of FORMATS, is cut off, or has a size of 0."""
    if not data:
        raise HeaderFault("an empty file", FORMATS)
    reader = next((reader for magic, reader in _READERS.items() if data.startswith(magic)), None)
    if reader is None or (reader is _webp and data[8:12] != b"WEBP"):
        raise HeaderFault(_other_kind(data), FORMATS)
    try:
        header = reader(data)
    except (struct.error, IndexError) as error:
        raise HeaderFault("a picture that is cut off within its header", "a whole file") from error
    if header.width < 1 or header.height < 1:
        raise HeaderFault(f"a {header.format} picture of {header.width}x{header.height} pixels", "at least 1x1")
    return header


def is_picture(head: bytes) -> bool:
    """Whether a file that begins with `head` (12 bytes are enough) claims to be one of FORMATS."""
    return any(head.startswith(magic) for magic in _READERS) and (head[:4] != b"RIFF" or head[8:12] == b"WEBP")


def _other_kind(data: bytes) -> str:
    brand = data[8:12] if data[4:8] == b"ftyp" else b""
    if brand in {b"heic", b"heix", b"hevc", b"mif1", b"msf1", b"avif", b"avis"}:
        return "a HEIC or AVIF picture"
    return f"a file that begins with {data[:8].hex(' ')}"


def _cut_off(kind: str) -> HeaderFault:
    return HeaderFault(f"a {kind} picture that is cut off", "a whole file")


def _jpeg(data: bytes) -> Header:
    size: tuple[int, int] | None = None
    offset = 2
    while True:
        offset, marker = _next_marker(data, offset)
        if marker == 0xD9:
            break
        (length,) = struct.unpack_from(">H", data, offset)
        if marker in _FRAME_HEADERS and size is None:
            height, width = struct.unpack_from(">HH", data, offset + 3)
            size = width, height
        offset += max(length, 2)
        if marker == 0xDA:
            found = _AFTER_SCAN.search(data, offset)
            if found is None:
                # A decoder would fill the missing part with grey and say nothing.
                raise _cut_off("JPEG")
            offset = found.start()
    if size is None:
        raise HeaderFault("a JPEG file without a picture", "a whole file")
    return Header("JPEG", *size, data)


def _next_marker(data: bytes, offset: int) -> tuple[int, int]:
    """Offset behind the next marker, and the marker."""
    start = data.find(b"\xff", offset)
    while start >= 0 and data[start + 1 : start + 2] == b"\xff":
        start += 1
    if start < 0 or start + 1 >= len(data):
        raise _cut_off("JPEG")
    return start + 2, data[start + 1]


def _png(data: bytes) -> Header:
    width, height = struct.unpack_from(">II", data, 16)
    offset = len(_PNG)
    while True:
        if offset + 12 > len(data):
            raise _cut_off("PNG")
        length, kind = struct.unpack_from(">I4s", data, offset)
        offset += 12 + length
        if kind == b"IEND":
            return Header("PNG", width, height, data)


def _gif(data: bytes) -> Header:
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    offset = 13 + _colour_table_bytes(flags)
    while data[offset] == 0x21:
        offset = _behind_blocks(data, offset + 2)
    if data[offset] != 0x2C:
        raise HeaderFault("a GIF file without a picture", "at least one frame")
    left, top, own_width, own_height, own_flags = struct.unpack_from("<HHHHB", data, offset + 1)
    behind = _behind_blocks(data, offset + 11 + _colour_table_bytes(own_flags))
    return Header("GIF", max(width, left + own_width), max(height, top + own_height), data[:behind] + b";")


def _colour_table_bytes(flags: int) -> int:
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _behind_blocks(data: bytes, offset: int) -> int:
    """Skip sub-blocks: a length and so many bytes, until a length of 0."""
    while data[offset]:
        offset += 1 + data[offset]
    return offset + 1


def _riff_chunks(data: bytes, offset: int) -> Iterator[tuple[bytes, bytes]]:
    while offset + 8 <= len(data):
        kind, length = struct.unpack_from("<4sI", data, offset)
        yield kind, data[offset + 8 : offset + 8 + length]
        offset += 8 + length + length % 2


def _webp(data: bytes) -> Header:
    (length,) = struct.unpack_from("<I", data, 4)
    if length + 8 > len(data):
        raise _cut_off("WebP")
    chunks = list(_riff_chunks(data, 12))
    animated = next((content for kind, content in chunks if kind == b"ANMF"), None)
    if animated is not None:
        chunks = list(_riff_chunks(animated, 16))
    kind, stream = next(((kind, content) for kind, content in chunks if kind in {b"VP8 ", b"VP8L"}), (b"", b""))
    if kind == b"":
        raise HeaderFault("a WebP file without a picture", "at least one frame")
    width, height = _webp_stream_size(kind, stream)
    if animated is None and chunks[0][0] == b"VP8X":
        canvas = chunks[0][1]
        width = max(width, int.from_bytes(canvas[4:7], "little") + 1)
        height = max(height, int.from_bytes(canvas[7:10], "little") + 1)
    return Header("WebP", width, height, data if animated is None else _bare_webp(kind, stream))


def _webp_stream_size(kind: bytes, stream: bytes) -> tuple[int, int]:
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", stream, 6)
        return width & 0x3FFF, height & 0x3FFF
    (bits,) = struct.unpack_from("<I", stream, 1)
    return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1


def _bare_webp(kind: bytes, stream: bytes) -> bytes:
    """A still picture from one frame of an animation; older OpenCV refuses animations altogether."""
    body = b"WEBP" + kind + struct.pack("<I", len(stream)) + stream + b"\0" * (len(stream) % 2)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _bmp(data: bytes) -> Header:
    (header_bytes,) = struct.unpack_from("<I", data, 14)
    width, height = struct.unpack_from("<HH" if header_bytes == 12 else "<ii", data, 18)
    # A negative height only means that rows run downwards.
    return Header("BMP", width, abs(height), data)


def _tiff(data: bytes) -> Header:
    order = "<" if data[:2] == b"II" else ">"
    (offset,) = struct.unpack_from(order + "I", data, 4)
    (count,) = struct.unpack_from(order + "H", data, offset)
    tags: dict[int, int] = {}
    for index in range(min(count, _MAX_TIFF_TAGS)):
        entry = offset + 2 + 12 * index
        tag, kind, values = struct.unpack_from(order + "HHI", data, entry)
        if kind in _TIFF_SIZES:
            code, size = _TIFF_SIZES[kind]
            at = entry + 8 if values * size <= 4 else struct.unpack_from(order + "I", data, entry + 8)[0]
            tags[tag] = struct.unpack_from(order + code, data, at)[0]
    if tags.get(258, 1) > 16 or tags.get(339, 1) != 1:
        raise HeaderFault(f"a TIFF picture with {tags.get(258, 1)}-bit or floating-point values", "8 or 16 bits")
    # A tile may be larger than the picture, and is what a decoder allocates.
    return Header("TIFF", max(tags.get(256, 0), tags.get(322, 0)), max(tags.get(257, 0), tags.get(323, 0)), data)


_READERS = {
    b"\xff\xd8\xff": _jpeg,
    _PNG: _png,
    b"GIF87a": _gif,
    b"GIF89a": _gif,
    b"RIFF": _webp,
    b"BM": _bmp,
    b"II*\0": _tiff,
    b"MM\0*": _tiff,
}
