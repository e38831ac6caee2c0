from __future__ import annotations

import os
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from edge.capture.opencv import CaptureDevice, StreamOpener, V4l2Opener, as_bgr, decoder_parameters
from edge.capture.opening import open_source
from edge.config.settings import Camera
from edge.errors import SourceError
from tests.support.fake_capture import FakeCaptures
from tests.support.mjpeg_server import MjpegServer

_MJPG = cv2.VideoWriter.fourcc(*"MJPG")


@pytest.mark.parametrize(("wishes", "expected"), [
    ({}, [(cv2.CAP_PROP_BUFFERSIZE, 1)]),
    ({"width_px": 640, "height_px": 480}, [
        (cv2.CAP_PROP_BUFFERSIZE, 1), (cv2.CAP_PROP_FRAME_WIDTH, 640), (cv2.CAP_PROP_FRAME_HEIGHT, 480),
    ]),
    ({"width_px": 1280, "height_px": 720, "rate_fps": 10}, [
        (cv2.CAP_PROP_BUFFERSIZE, 1), (cv2.CAP_PROP_FOURCC, _MJPG),
        (cv2.CAP_PROP_FRAME_WIDTH, 1280), (cv2.CAP_PROP_FRAME_HEIGHT, 720), (cv2.CAP_PROP_FPS, 10),
    ]),
])  # fmt: skip
def test_v4l2_asks_in_the_right_order(
    wishes: dict[str, Any], expected: list[tuple[int, float]], tmp_path: Path
) -> None:
    node = tmp_path / "video0"
    node.touch()
    captures = FakeCaptures()
    V4l2Opener(str(node), Camera(**wishes), factory=captures)().close()
    assert captures.made[0].arguments[:2] == (str(node), cv2.CAP_V4L2)
    assert captures.made[0].wishes == expected
    assert captures.made[0].released == 1


def test_v4l2_absent_names_the_node(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no such device") as caught:
        V4l2Opener(str(tmp_path / "video9"), Camera(), factory=FakeCaptures())()
    assert "video9" in str(caught.value)


def test_v4l2_busy(tmp_path: Path) -> None:
    (tmp_path / "video0").touch()
    captures = FakeCaptures()
    captures.opens = False
    with pytest.raises(SourceError, match="cannot be opened") as caught:
        V4l2Opener(str(tmp_path / "video0"), Camera(), factory=captures)()
    assert "fuser" in caught.value.hint


@pytest.mark.skipif(os.geteuid() == 0, reason="root may open everything")
def test_v4l2_forbidden_names_the_group(tmp_path: Path) -> None:
    (tmp_path / "video0").touch(mode=0)
    with pytest.raises(SourceError, match="not allowed") as caught:
        V4l2Opener(str(tmp_path / "video0"), Camera(), factory=FakeCaptures())()
    assert "group video" in caught.value.hint


@pytest.mark.skipif(not Path("/dev/video0").exists(), reason="no camera at /dev/video0")
def test_v4l2_real_camera() -> None:
    source = open_source(Camera(uri="v4l2:0"), first_frame_s=10)
    assert source.read() is not None
    source.close()


def test_stream_gets_time_limits_and_few_threads() -> None:
    captures = FakeCaptures()
    StreamOpener("rtsp://u:p@cam/1", "rtsp://***@cam/1", stall_s=2, factory=captures)(10)
    target, backend, parameters = captures.made[0].arguments
    assert (target, backend) == ("rtsp://u:p@cam/1", cv2.CAP_FFMPEG)
    pairs = dict(zip(parameters[::2], parameters[1::2], strict=True))
    assert pairs == {
        cv2.CAP_PROP_OPEN_TIMEOUT_MSEC: 9000, cv2.CAP_PROP_READ_TIMEOUT_MSEC: 1800, cv2.CAP_PROP_N_THREADS: 1,
    }  # fmt: skip


def test_an_opencv_that_knows_no_threads_is_not_asked_for_them() -> None:
    assert decoder_parameters(SimpleNamespace()) == []
    assert decoder_parameters(SimpleNamespace(CAP_PROP_N_THREADS=70)) == [70, 1]


def test_the_users_ffmpeg_options_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for options in ("rtsp_transport;udp", None):
        if options is None:
            monkeypatch.delenv("OPENCV_FFMPEG_CAPTURE_OPTIONS", raising=False)
        else:
            monkeypatch.setenv("OPENCV_FFMPEG_CAPTURE_OPTIONS", options)
        StreamOpener("rtsp://cam/1", "rtsp://cam/1", stall_s=1, factory=FakeCaptures())()
        assert os.environ.get("OPENCV_FFMPEG_CAPTURE_OPTIONS") == options


def test_a_frame_that_cannot_be_decoded_is_a_source_error() -> None:
    captures = FakeCaptures()
    capture = captures("x", 0)
    capture.retrieve = lambda: (False, None)  # type: ignore[assignment,method-assign]
    device = CaptureDevice(capture, "camera")
    device.advance()
    with pytest.raises(SourceError, match="cannot be decoded"):
        device.picture()


class Late:
    """A capture whose reads run out so many times before the first picture, and again after it."""

    def __init__(self, times: int, read_s: float) -> None:
        self.times, self.read_s, self.grabs = times, read_s, 0

    def grab(self) -> bool:
        self.grabs += 1
        if self.grabs == self.times + 1:
            return True
        time.sleep(self.read_s)
        return False


@pytest.mark.parametrize(("read_s", "limit_s", "times", "comes"), [
    (0.05, 30.0, 3, True),
    (0.05, 0.12, 5, False),
    # It breaks off, which is no lateness.
    (0.0, 30.0, 1, False),
])  # fmt: skip
def test_the_first_picture_may_come_late(read_s: float, limit_s: float, times: int, comes: bool) -> None:  # noqa: FBT001
    capture = Late(times, read_s)
    limit = 0.05
    device = CaptureDevice(capture, "camera", read_s=limit, first_until_s=time.monotonic() + limit_s)
    if not comes:
        with pytest.raises(SourceError):
            device.advance()
        assert capture.grabs <= times
        return
    device.advance()
    assert capture.grabs == times + 1
    # The second one may not.
    with pytest.raises(SourceError):
        device.advance()
    assert capture.grabs == times + 2


@pytest.mark.parametrize(("set_before", "stall_s", "expected"), [
    (None, 2.5, "2"), (None, 0.5, "1"), (None, 20.0, "18"), ("7", 2.5, "7"),
])  # fmt: skip
def test_v4l2_waits_no_longer_than_the_stall_limit(
    set_before: str | None, stall_s: float, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT"
    # First set, so that whatever the opener does to it is undone.
    monkeypatch.setenv(name, "")
    if set_before is None:
        monkeypatch.delenv(name)
    else:
        monkeypatch.setenv(name, set_before)
    (tmp_path / "video0").touch()
    V4l2Opener(str(tmp_path / "video0"), Camera(stall_s=stall_s), factory=FakeCaptures())().close()
    assert os.environ[name] == expected


@pytest.mark.parametrize("shape", [(4, 6), (4, 6, 1), (4, 6, 3), (4, 6, 4)])
def test_any_channels_become_bgr(shape: tuple[int, ...]) -> None:
    image = as_bgr(np.full(shape, 77, np.uint8))
    assert image.shape == (4, 6, 3)
    assert np.all(image == 77)


def test_credentials_work_and_are_never_written(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    server = MjpegServer()
    server.credentials = "keeper:geheim"
    with server:
        source = open_source(Camera(uri=server.uri), first_frame_s=10)
        assert source.read() is not None
        source.close()
        wrong = server.uri.replace("geheim", "falsch")
        with pytest.raises(SourceError) as caught:
            open_source(Camera(uri=wrong), first_frame_s=10)
    assert f"***@127.0.0.1:{server.port}" in str(caught.value)
    written = capfd.readouterr()
    for text in (str(caught.value), repr(caught.value), caplog.text, written.out, written.err):
        assert "geheim" not in text
        assert "falsch" not in text
        assert "keeper" not in text
