"""Every kind of picture that a user may have by accident, through the whole command."""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.datatypes import Image
from tests.edge.cli.conftest import Command
from tests.edge.test_pictures import EMBEDDED, encoded


def _truncated(image: Image) -> bytes:
    data = encoded(".jpg", image)
    return data[: len(data) // 2]


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _vast(_: Image) -> bytes:
    """A PNG that says it has 50,000 x 50,000 pixels, and holds none of them."""
    header = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0)
    chunks = (_chunk(b"IHDR", header), _chunk(b"IDAT", zlib.compress(b"")), _chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def _with_alpha(image: Image) -> bytes:
    return encoded(".png", np.dstack([image, np.full(image.shape[:2], 255, np.uint8)]))


REFUSED: dict[str, tuple[Callable[[Image], bytes], str]] = {
    "truncated.jpg": (_truncated, "cut off"),
    "empty.jpg": (lambda _: b"", "empty"),
    "vast.png": (_vast, "50000x50000"),
    "text.jpg": (lambda _: b"no picture at all", "JPEG, PNG"),
    "half-a-header.png": (lambda image: encoded(".png", image)[:20], "cut off"),
}
READ: dict[str, Callable[[Image], bytes]] = {
    "16-bit.png": lambda image: encoded(".png", image.astype(np.uint16) * 257),
    "grey.jpg": lambda image: encoded(".jpg", cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)),
    "grey-16-bit.tif": lambda image: encoded(".tif", cv2.cvtColor(image, cv2.COLOR_BGR2GRAY).astype(np.uint16) * 257),
    "alpha.png": _with_alpha,
    "wrong-suffix.png": lambda image: encoded(".jpg", image),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_with_the_reason_and_the_rest_goes_on(ostiary: Command, home: Path, hopper: Image, name: str) -> None:
    make, reason = REFUSED[name]
    (home / name).write_bytes(make(hopper))
    (home / "z.png").write_bytes(encoded(".png", hopper))
    result = ostiary("identify", "--json", name, "z.png")
    assert result.code == 1
    bad, good = result.rows
    assert bad["path"] == name
    assert reason in bad["error"]
    assert len(good["faces"]) == 1
    text = ostiary("identify", name)
    assert (text.code, text.out) == (1, "")
    assert text.err.startswith(f"ostiary: {name}: ")


@pytest.mark.parametrize("name", READ)
def test_read_and_its_face_is_found(ostiary: Command, home: Path, hopper: Image, name: str) -> None:
    (home / name).write_bytes(READ[name](hopper))
    result = ostiary("identify", "--json", name)
    assert result.code == 0
    [row] = result.rows
    assert (row["width"], row["height"]) == (512, 600)
    assert len(row["faces"]) == 1


@pytest.mark.parametrize("name", ["cmyk.jpg", "anim.gif", "anim.png", "anim.webp"])
def test_read_although_unusual(ostiary: Command, home: Path, name: str) -> None:
    (home / name).write_bytes(base64.b64decode(EMBEDDED[name]))
    result = ostiary("identify", "--json", name)
    assert (result.code, result.err) == (0, "")
    assert result.rows == [{"path": name, "width": 16, "height": 16, "faces": []}]


@pytest.mark.parametrize("name", REFUSED)
def test_refused_at_enrolment(ostiary: Command, home: Path, hopper: Image, name: str) -> None:
    (home / name).write_bytes(REFUSED[name][0](hopper))
    result = ostiary("enroll", "--json", "--name", "Ada", name)
    assert result.code == 1
    [row] = result.rows
    assert row["identity"] is None
    assert [refused["reason"] for refused in row["refused"]] == ["unreadable"]
