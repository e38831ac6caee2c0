"""What a camera URI means, and how it may be shown: addresses of cameras carry passwords."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import unquote

from edge.errors import UsageError

SCHEMES = (
    "picamera2: or picamera2:1 (Raspberry Pi camera)",
    "v4l2:/dev/video0, v4l2:0, 0, or v4l2:/dev/v4l/by-id/NAME (USB camera)",
    "rtsp://, rtsps:// (network camera)",
    "http://, https:// (Motion JPEG or another stream)",
    "a video file, a folder of pictures or one picture (a path, or file:)",
)
Kind = Literal["picamera2", "v4l2", "stream", "path"]
_STREAMS = frozenset({"rtsp", "rtsps", "http", "https"})
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):(.*)", re.DOTALL)
_USER = re.compile(r"(?<=://)[^/?# \t\r\n]*@")
_USER_WITH_SLASH = re.compile(r"(?<=://)[^/ \t\r\n:]+:(?!\d+(?:/|$))[^ \t\r\n]*@")
"""A password may wrongly hold a slash; a port, which looks alike, is only digits."""
_QUERY = re.compile(r"(?<=\?)\S+")


@dataclass(frozen=True, slots=True)
class Address:
    """A parsed camera URI. `target` may hold a password: log `shown`, never `target`."""

    kind: Kind
    target: str
    shown: str


def redact(text: str) -> str:
    """`text` with user names, passwords and query strings of every address in it replaced by ***."""
    if "://" not in text:
        return text
    without_user = _USER_WITH_SLASH.sub("***@", _USER.sub("***@", text))
    return _QUERY.sub("***", without_user)


def parse_uri(uri: str) -> Address:
    """What kind of source `uri` names. UsageError lists the schemes when it is none."""
    text = uri.strip()
    shown = redact(text)
    if re.fullmatch(r"[0-9]{1,3}", text):
        return Address("v4l2", f"/dev/video{int(text)}", f"v4l2:/dev/video{int(text)}")
    if text.startswith(("/dev/video", "/dev/v4l/")):
        return Address("v4l2", text, f"v4l2:{text}")
    match = _SCHEME.fullmatch(text)
    if match is None or Path(text).exists():
        return _path(text, shown)
    return _by_scheme(match[1].lower(), match[2], text, shown)


def _by_scheme(scheme: str, rest: str, text: str, shown: str) -> Address:
    if scheme == "picamera2" and re.fullmatch(r"[0-9]{0,2}", rest):
        return Address("picamera2", rest or "0", shown)
    if scheme == "v4l2" and rest:
        return Address("v4l2", f"/dev/video{int(rest)}" if re.fullmatch(r"[0-9]{1,3}", rest) else rest, shown)
    if scheme in _STREAMS and re.match(r"//[^/]", rest):
        return Address("stream", text, shown)
    if scheme == "file":
        return _path(unquote(re.sub(r"^//(localhost)?(?=/)", "", rest)), shown)
    raise _unknown(shown)


def _path(text: str, shown: str) -> Address:
    if not text or "\0" in text:
        raise _unknown(shown)
    # Path.expanduser raises for a user that does not exist; such a path is just not found.
    return Address("path", str(Path(os.path.expanduser(text))), shown)  # noqa: PTH111


def _unknown(shown: str) -> UsageError:
    return UsageError(
        f"no such kind of source: {shown!r}",
        where="camera.uri",
        expected="one of\n  " + "\n  ".join(SCHEMES),
        hint="A file with a colon in its name is written ./name.",
    )
