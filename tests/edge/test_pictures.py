from __future__ import annotations

import base64
import contextlib
import os
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.datatypes import Image
from edge.errors import PictureError
from edge.picture_header import is_picture, read_header
from edge.pictures import MAX_BYTES, MAX_PIXELS, decode_picture, read_picture
from tests.support.memory import peak_kib

WIDTH, HEIGHT = 80, 64
COLOUR = (20, 60, 200)
"""BGR of the embedded pictures, which are 16x16."""
EMBEDDED = {
    # Written by Pillow: Image.new("RGB", (16, 16), (200, 60, 20)), where animated followed by a green frame.
    "cmyk.jpg": (
        "/9j/7gAOQWRvYmUAZAAAAAAA/9sAQwADAgIDAgIDAwMDBAMDBAUIBQUEBAUKBwcGCAwKDAwLCgsLDQ4SEA0OEQ4LCxAWEBETFBUV"
        "FQwPFxgWFBgSFBUU/8AAFAgAEAAQBEMRAE0RAFkRAEsRAP/EAB8AAAEFAQEBAQEBAAAAAAAAAAABAgMEBQYHCAkKC//EALUQAAIB"
        "AwMCBAMFBQQEAAABfQECAwAEEQUSITFBBhNRYQcicRQygZGhCCNCscEVUtHwJDNicoIJChYXGBkaJSYnKCkqNDU2Nzg5OkNERUZH"
        "SElKU1RVVldYWVpjZGVmZ2hpanN0dXZ3eHl6g4SFhoeIiYqSk5SVlpeYmZqio6Slpqeoqaqys7S1tre4ubrCw8TFxsfIycrS09TV"
        "1tfY2drh4uPk5ebn6Onq8fLz9PX29/j5+v/aAA4EQwBNAFkASwAAPwD7Ar5Kr836/VOiiiiiiiiiiiiv/9k="
    ),
    "anim.webp": (
        "UklGRoYAAABXRUJQVlA4WAoAAAACAAAADwAADwAAQU5JTQYAAAAAAAAAAABBTk1GKgAAAAAAAAAAAA8AAA8AAGQAAAJWUDhMEQAA"
        "AC8PwAMAB1CeIpei/4GI6H8AAEFOTUYoAAAAAAAAAAAADwAADwAAZAAAAFZQOEwPAAAALw/AAwAH0P+I/gciov8BAA=="
    ),
    "anim_lossy.webp": (
        "UklGRsgAAABXRUJQVlA4WAoAAAACAAAADwAADwAAQU5JTQYAAAAAAAAAAABBTk1GSAAAAAAAAAAAAA8AAA8AAGQAAAJWUDggMAAA"
        "ADABAJ0BKhAAEAABQCYloAADcAD+7tPf//mwP/bz/wR6Af//tof/+2h//7aH/SgAAEFOTUZMAAAAAAAAAAAADwAADwAAZAAAAFZQ"
        "OCA0AAAANAEAnQEqEAAQAAAAJiWgAANwAP7pIh//958//7nz//ufP+jP//8p+//yOP//I4/+UCAAAA=="
    ),
    "anim.gif": (
        "R0lGODlhEAAQAIEAAMg8FAAAAAAAAAAAACH5BAAKAAAALAAAAAAQABAAAAgdAAEIHEiwoMGDCBMqXMiwocOHECNKnEixosWBAQEA"
        "IfkEAQoAAQAsAAAAABAAEACBAP8AAAAAAAAAAAAACB0AAQgcSLCgwYMIEypcyLChw4cQI0qcSLGixYEBAQA7"
    ),
    "anim.png": (
        "iVBORw0KGgoAAAANSUhEUgAAABAAAAAQCAIAAACQkWg2AAAACGFjVEwAAAACAAAAAPONk3AAAAAaZmNUTAAAAAAAAAAQAAAAEAAA"
        "AAAAAAAAAAEACgAAY0bPJQAAABlJREFUeJxjPGEjwkAKYCJJ9aiGUQ1DSgMAjEEBOOPRAJcAAAAaZmNUTAAAAAEAAAAQAAAAEAAA"
        "AAAAAAAAAAEACgAA+DUl8QAAABxmZEFUAAAAAnicY2T4z0ASYCJN+aiGUQ1DSQMAPy8BH1XzhQMAAAAASUVORK5CYII="
    ),
    "alpha.webp": "UklGRhwAAABXRUJQVlA4TBAAAAAvD8ADEAdQniKXIgIR0f8A",
}


def smooth() -> Image:
    """Not flat, but survives JPEG."""
    noise = np.random.default_rng(7).integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
    return np.asarray(cv2.GaussianBlur(noise, (0, 0), 4), np.uint8)


def encoded(suffix: str, image: np.ndarray, *options: int) -> bytes:
    done, data = cv2.imencode(suffix, image, list(options))
    assert done
    return data.tobytes()


def close_to(image: Image, expected: Image, tolerance: float = 6.0) -> bool:
    return image.shape == expected.shape and float(np.abs(image.astype(int) - expected).mean()) < tolerance


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".bmp", ".tif"])
def test_reads_each_format(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"face{suffix}"
    path.write_bytes(encoded(suffix, smooth()))
    image = read_picture(path)
    assert image.dtype == np.uint8
    assert image.flags.c_contiguous
    assert close_to(image, smooth())


_GREY = smooth()[:, :, 0]
_WITH_ALPHA = np.dstack([smooth(), np.zeros((HEIGHT, WIDTH), np.uint8)])


@pytest.mark.parametrize(("suffix", "stored", "expected"), [
    (".png", smooth().astype(np.uint16) * 257, smooth()),
    (".tif", smooth().astype(np.uint16) * 257, smooth()),
    (".png", _GREY.astype(np.uint16) * 257, cv2.merge([_GREY] * 3)),
    (".png", _GREY, cv2.merge([_GREY] * 3)),
    (".jpg", _GREY, cv2.merge([_GREY] * 3)),
    (".tif", _GREY, cv2.merge([_GREY] * 3)),
    (".png", _WITH_ALPHA, smooth()),
    (".png", _WITH_ALPHA.astype(np.uint16) * 257, smooth()),
    (".tif", _WITH_ALPHA, None),
], ids=["16bit-png", "16bit-tiff", "16bit-grey", "grey-png", "grey-jpeg", "grey-tiff", "alpha", "16bit-alpha", "alpha-tiff"])  # fmt: skip
def test_unusual_pixels_become_bgr(suffix: str, stored: np.ndarray, expected: Image | None) -> None:
    image = decode_picture(encoded(suffix, stored))
    assert image.shape == (HEIGHT, WIDTH, 3)
    # TIFF keeps colours multiplied by their alpha, so below full transparency there is nothing to find.
    assert expected is None or close_to(image, expected)


@pytest.mark.parametrize("name", EMBEDDED)
def test_first_frame_in_the_right_colours(name: str) -> None:
    image = decode_picture(base64.b64decode(EMBEDDED[name]), name)
    assert image.shape == (16, 16, 3)
    assert np.abs(image.astype(int) - COLOUR).max() <= 8


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation: int) -> None:
    upright = smooth()
    # EXIF 2.32, tag 0x0112: what must be done to the upright picture so that the tag makes it upright again.
    stored = {
        1: upright, 2: upright[:, ::-1], 3: upright[::-1, ::-1], 4: upright[::-1],
        5: upright.transpose(1, 0, 2), 6: np.rot90(upright), 7: np.rot90(upright, 2).transpose(1, 0, 2),
        8: np.rot90(upright, -1),
    }[orientation]  # fmt: skip
    plain = encoded(".jpg", np.ascontiguousarray(stored), cv2.IMWRITE_JPEG_QUALITY, 98)
    entry = struct.pack(">HHIHH", 0x0112, 3, 1, orientation, 0)
    exif = b"Exif\0\0MM\0*" + struct.pack(">IH", 8, 1) + entry + bytes(4)
    marked = plain[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + plain[2:]
    assert close_to(decode_picture(marked), upright)


def test_what_follows_a_jpeg_does_no_harm() -> None:
    assert close_to(decode_picture(encoded(".jpg", smooth()) + b"trailer of a telephone" * 9), smooth())


def test_progressive_jpeg() -> None:
    assert close_to(decode_picture(encoded(".jpg", smooth(), cv2.IMWRITE_JPEG_PROGRESSIVE, 1)), smooth())


def _png_header(width: int, height: int) -> bytes:
    chunk = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    end = b"\0\0\0\0IEND" + struct.pack(">I", zlib.crc32(b"IEND"))
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk)) + end


def _jpeg_header(width: int, height: int) -> bytes:
    data = encoded(".jpg", smooth())
    at = data.index(b"\xff\xc0") + 5
    return data[:at] + struct.pack(">HH", height, width) + data[at + 4 :]


def _bmp_header(width: int, height: int) -> bytes:
    data = encoded(".bmp", smooth())
    return data[:18] + struct.pack("<ii", width, -height) + data[26:]


def _gif_header(width: int, height: int) -> bytes:
    data = base64.b64decode(EMBEDDED["anim.gif"])
    return data[:6] + struct.pack("<HH", width, height) + data[10:]


def _webp_header(width: int, height: int) -> bytes:
    canvas = bytes(4) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    body = b"WEBPVP8X" + struct.pack("<I", 10) + canvas + encoded(".webp", smooth())[12:]
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _tiff(width: int, height: int, *more: tuple[int, int]) -> bytes:
    tags = sorted([(256, width), (257, height), (258, 8), (262, 1), *more])
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4)


_MOST_KIB = 1_000_000
"""The largest picture that is let through, four times."""


HUGE = [_png_header, _jpeg_header, _bmp_header, _gif_header, _webp_header, _tiff]


@pytest.mark.parametrize("header", HUGE)
def test_a_huge_header_is_refused_before_decoding(header: object) -> None:
    before = peak_kib()
    width, height = (16_000, 16_000) if header is _webp_header else (50_000, 50_000)
    with pytest.raises(PictureError, match=f"{width}x{height}, {width * height:,} pixels") as caught:
        decode_picture(header(width, height), "face")  # type: ignore[operator]
    assert caught.value.where == "face"
    assert f"{MAX_PIXELS:,}" in caught.value.expected
    # Decoded it would have taken 7.5 GB.
    assert peak_kib() - before < _MOST_KIB


def test_a_huge_tile_is_refused_too() -> None:
    with pytest.raises(PictureError, match="65536x65536"):
        decode_picture(_tiff(16, 16, (322, 65536), (323, 65536)))


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif", ".bmp"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
def test_cut_off_is_refused(suffix: str, share: float, tmp_path: Path) -> None:
    data = encoded(suffix, smooth())
    path = tmp_path / f"cut{suffix}"
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(PictureError) as caught:
        read_picture(path)
    assert str(path) in str(caught.value)
    assert caught.value.expected
    assert caught.value.hint


@pytest.mark.parametrize("name", ["anim.webp", "anim.gif", "anim.png"])
def test_cut_off_animation_is_refused(name: str) -> None:
    with pytest.raises(PictureError):
        decode_picture(base64.b64decode(EMBEDDED[name])[:60])


def test_a_jpeg_without_its_last_two_bytes_is_cut_off() -> None:
    with pytest.raises(PictureError, match="a JPEG picture that is cut off"):
        decode_picture(encoded(".jpg", smooth())[:-2])


@pytest.mark.parametrize(("data", "found"), [
    (b"", "an empty file"),
    (b"hello", "begins with 68 65 6c 6c 6f"),
    (b"\0\0\0\x20ftypheic" + bytes(50), "a HEIC or AVIF picture"),
    (b"RIFF\x24\0\0\0WAVEfmt ", "begins with 52 49"),
    (b"\xff\xd8\xff\xd9", "without a picture"),
    (b"GIF89a" + bytes(7) + b";", "without a picture"),
    (_png_header(0, 5), "a PNG picture of 0x5"),
    (_png_header(5, 5), "a PNG picture that cannot be decoded"),
    (_tiff(16, 16, (339, 3)), "floating-point"),
    (b"\x89PNG\r\n\x1a\n", "cut off within its header"),
])  # fmt: skip
def test_says_what_was_found(data: bytes, found: str) -> None:
    with pytest.raises(PictureError) as caught:
        decode_picture(data, "face.jpg")
    assert found in caught.value.problem
    assert caught.value.where == "face.jpg"


def test_too_many_bytes(tmp_path: Path) -> None:
    path = tmp_path / "huge.jpg"
    path.touch()
    os.truncate(path, MAX_BYTES + 1)
    with pytest.raises(PictureError, match="more than 64,000,000 bytes"):
        read_picture(path)


def test_places_that_are_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "absent.jpg", tmp_path, tmp_path / "pipe", Path("/dev/zero"), Path("a\0b")):
        with pytest.raises(PictureError) as caught:
            read_picture(path)
        assert caught.value.hint


@pytest.mark.parametrize(("head", "expected"), [
    (b"\xff\xd8\xff\xe0", True), (b"RIFF\0\0\0\0WEBP", True), (b"RIFF\0\0\0\0AVI ", False), (b"", False),
    (b"GIF89a", True), (b"\0\0\0\x20ftypisom", False),
])  # fmt: skip
def test_recognises_pictures_among_videos(head: bytes, *, expected: bool) -> None:
    assert is_picture(head) is expected


def test_sizes_are_those_of_the_file() -> None:
    for suffix in (".jpg", ".png", ".webp", ".bmp", ".tif"):
        header = read_header(encoded(suffix, smooth()))
        assert (header.width, header.height) == (WIDTH, HEIGHT)


def _never_worse_than_a_picture_error(data: bytes) -> None:
    with contextlib.suppress(PictureError):
        image = decode_picture(data)
        assert image.dtype == np.uint8
        assert image.shape[2] == 3
        assert image.size <= 3 * MAX_PIXELS


_MAGICS = [b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"RIFF\xff\0\0\0WEBP", b"BM", b"II*\0", b"MM\0*", b""]


@given(st.sampled_from(_MAGICS), st.binary(max_size=300))
def test_random_bytes(magic: bytes, data: bytes) -> None:
    _never_worse_than_a_picture_error(magic + data)


_WHOLE = [
    *(encoded(suffix, smooth()) for suffix in (".jpg", ".png", ".webp", ".tif", ".bmp")),
    *(base64.b64decode(text) for text in EMBEDDED.values()),
]
_change = st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255))


@settings(max_examples=300, deadline=None)
@given(whole=st.sampled_from(_WHOLE), changes=st.lists(_change, min_size=1, max_size=8), near_start=st.booleans())
def test_random_mutations(whole: bytes, changes: list[tuple[float, int]], *, near_start: bool) -> None:
    data = bytearray(whole)
    for place, value in changes:
        # Headers are short; half of the trials aim at them.
        data[int(place * (min(64, len(data)) if near_start else len(data)))] = value
    before = peak_kib()
    _never_worse_than_a_picture_error(bytes(data))
    assert peak_kib() - before < _MOST_KIB
