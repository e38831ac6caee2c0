from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.capture.uri import SCHEMES, parse_uri, redact
from edge.errors import UsageError


@pytest.mark.parametrize(("uri", "kind", "target"), [
    ("picamera2:", "picamera2", "0"),
    ("picamera2:1", "picamera2", "1"),
    ("v4l2:/dev/video2", "v4l2", "/dev/video2"),
    ("v4l2:0", "v4l2", "/dev/video0"),
    ("V4L2:3", "v4l2", "/dev/video3"),
    ("0", "v4l2", "/dev/video0"),
    (" 12 ", "v4l2", "/dev/video12"),
    ("/dev/video0", "v4l2", "/dev/video0"),
    ("v4l2:/dev/v4l/by-id/usb-cam", "v4l2", "/dev/v4l/by-id/usb-cam"),
    ("/dev/v4l/by-path/pci-0000:01:00.0-usb-0:1.3:1.0-video-index0", "v4l2",
     "/dev/v4l/by-path/pci-0000:01:00.0-usb-0:1.3:1.0-video-index0"),
    ("rtsp://cam/1", "stream", "rtsp://cam/1"),
    ("rtsps://u:p@cam:322/1?x=y", "stream", "rtsps://u:p@cam:322/1?x=y"),
    ("HTTP://cam/video", "stream", "HTTP://cam/video"),
    ("https://cam/video", "stream", "https://cam/video"),
    ("clip.mp4", "path", "clip.mp4"),
    ("./odd:name.mp4", "path", "odd:name.mp4"),
    ("/a b/clip.mp4", "path", "/a b/clip.mp4"),
    ("file:clip.mp4", "path", "clip.mp4"),
    ("file:///a%20b/clip.mp4", "path", "/a b/clip.mp4"),
    ("file://localhost/clip.mp4", "path", "/clip.mp4"),
    ("~/clip.mp4", "path", str(Path("~/clip.mp4").expanduser())),
])  # fmt: skip
def test_kinds(uri: str, kind: str, target: str) -> None:
    address = parse_uri(uri)
    assert (address.kind, address.target) == (kind, target)


@pytest.mark.parametrize(
    "uri", ["", "ftp://host/x", "picamera2:left", "v4l2:", "rtsp:", "http:///x", "gst:videotestsrc", "file:", "a\0b"]
)
def test_unknown_lists_the_schemes(uri: str) -> None:
    with pytest.raises(UsageError, match="no such kind of source") as caught:
        parse_uri(uri)
    assert all(scheme in str(caught.value) for scheme in SCHEMES)
    assert caught.value.exit_code == 2


def test_unknown_does_not_show_a_password() -> None:
    with pytest.raises(UsageError) as caught:
        parse_uri("rtmp://user:geheim@host/x")
    assert "geheim" not in str(caught.value)
    assert "***@host" in str(caught.value)


def test_a_file_with_a_colon_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "visit:1.mp4").touch()
    monkeypatch.chdir(tmp_path)
    assert parse_uri("visit:1.mp4").kind == "path"


@pytest.mark.parametrize(("text", "shown"), [
    ("rtsp://cam:554/1", "rtsp://cam:554/1"),
    ("rtsp://cam:554/at@sign", "rtsp://cam:554/at@sign"),
    ("rtsp://user@cam/1", "rtsp://***@cam/1"),
    ("rtsp://user:p@ss@cam/1", "rtsp://***@cam/1"),
    ("rtsp://user:pa/ss@cam/1", "rtsp://***@cam/1"),
    ("http://cam/v?user=a&pwd=b", "http://cam/v?***"),
    ("open http://u:p@cam/v failed, so did http://u:q@cam/v", "open http://***@cam/v failed, so did http://***@cam/v"),
    ("clip@home?.mp4", "clip@home?.mp4"),
])  # fmt: skip
def test_redact(text: str, shown: str) -> None:
    assert redact(text) == shown


@given(
    scheme=st.sampled_from(["rtsp", "rtsps", "http", "https"]),
    password=st.text(st.characters(min_codepoint=33, max_codepoint=0x2FF, exclude_characters="?#"), min_size=1),
)
def test_no_password_is_ever_shown(scheme: str, password: str) -> None:
    secret = f"geheim{password}"
    address = parse_uri(f"{scheme}://user:{secret}@cam/1")
    assert "geheim" not in address.shown


@given(st.text())
def test_any_text_is_an_address_or_a_usage_error(text: str) -> None:
    with contextlib.suppress(UsageError):
        assert parse_uri(text).target
