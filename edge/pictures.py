"""Read one picture: a file or its bytes -> BGR uint8, or a PictureError that says what is wrong with it.

16-bit values are cut to 8 bits, grey becomes BGR, transparency is dropped (the colours below it are kept), of an
animation the first frame is taken, and the EXIF orientation is applied (in WebP from OpenCV 4.11 on).
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

import cv2
import numpy as np

from edge.datatypes import Image
from edge.errors import PictureError
from edge.picture_header import FORMATS, Header, HeaderFault, read_header

MAX_BYTES = 64_000_000
"""A 50-megapixel photograph in best JPEG quality has about 30 MB."""
MAX_PIXELS = 64_000_000
"""Covers the 50 megapixels of current telephones; decoded these are 192 MB, which a board of 512 MB just bears."""
PICTURE_SUFFIXES = frozenset({
    ".jpg", ".jpeg", ".jpe", ".png", ".apng", ".webp", ".gif", ".bmp", ".dib", ".tif", ".tiff", ".heic", ".heif", ".avif",
})  # fmt: skip
"""What counts as a picture in a folder. The last three cannot be read, but are reported rather than passed over."""
_HINT = "Save it again as JPEG or PNG, or leave it out."


def read_picture(path: Path) -> Image:
    """The picture in a file as BGR uint8 HxWx3. PictureError names the file, what was found and what was expected."""
    where = str(path)
    try:
        # Asked before opening: a named pipe would block, and a device would never end.
        if not stat.S_ISREG(path.stat().st_mode):
            raise PictureError("not a file", where=where, expected=FORMATS, hint="Name a picture.")
        with path.open("rb") as handle:
            data = handle.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        found = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise PictureError(
            f"cannot be read ({found})", where=where, expected=FORMATS, hint="Check the path."
        ) from error
    return decode_picture(data, where)


def decode_picture(data: bytes, where: str = "picture") -> Image:
    """The picture in `data` as BGR uint8 HxWx3; `where` names it in a PictureError. The size is checked before decoding."""
    if len(data) > MAX_BYTES:
        raise PictureError(
            f"more than {MAX_BYTES:,} bytes", where=where, expected=f"at most {MAX_BYTES:,}", hint="Make it smaller."
        )
    try:
        header = read_header(data)
    except HeaderFault as fault:
        raise PictureError(fault.found, where=where, expected=fault.expected, hint=_HINT) from fault
    pixels = header.width * header.height
    if pixels > MAX_PIXELS:
        found = f"{header.width}x{header.height}, {pixels:,} pixels"
        raise PictureError(found, where=where, expected=f"at most {MAX_PIXELS:,}", hint="Make it smaller.")
    image = _decoded(header)
    if image is None or not _fits(header, image):
        raise PictureError(
            f"a {header.format} picture that cannot be decoded", where=where, expected="an undamaged file", hint=_HINT
        )
    return np.ascontiguousarray(image)


def quiet_opencv() -> None:
    """Keep OpenCV and its FFmpeg from writing to standard error what we report ourselves, unless the user asked for it.

    FFmpeg's lines may hold addresses with passwords. Must run before the process opens its first stream to silence those.
    """
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    if "OPENCV_LOG_LEVEL" not in os.environ:
        # The function moved between OpenCV 4 and 5; 1 is FATAL in both.
        module = cv2 if hasattr(cv2, "setLogLevel") else cv2.utils.logging
        module.setLogLevel(1)


def _decoded(header: Header) -> Image | None:
    quiet_opencv()
    if header.format == "GIF" and not cv2.haveImageWriter(".gif"):
        return _decoded_by_ffmpeg(header.frame)
    try:
        return cv2.imdecode(np.frombuffer(header.frame, np.uint8), cv2.IMREAD_COLOR)  # type: ignore[return-value]
    except (cv2.error, MemoryError):
        return None


def _decoded_by_ffmpeg(data: bytes) -> Image | None:
    """OpenCV reads (and then also writes) GIF by itself only from 4.11 on, but its FFmpeg always did."""
    with os.fdopen(os.memfd_create("picture"), "wb") as handle:
        handle.write(data)
        handle.flush()
        capture = cv2.VideoCapture(f"/proc/self/fd/{handle.fileno()}", cv2.CAP_FFMPEG)
        done, image = capture.read()
        capture.release()
    return image if done else None  # type: ignore[return-value]


def _fits(header: Header, image: Image) -> bool:
    """Whether the decoder saw the size that was checked (turned or not)."""
    return image.ndim == 3 and image.size > 0 and image.shape[0] * image.shape[1] <= header.width * header.height
