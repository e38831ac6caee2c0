from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np
import pytest

from edge.capture.opening import open_source
from edge.capture.picamera import PicameraOpener
from edge.config.settings import Camera
from edge.errors import MissingDependencyError, SourceError
from tests.support.clips import corner_colours, numbered_picture
from tests.support.fake_picamera2 import FakeBoard, Picamera2


def _config(board: FakeBoard, camera: Camera, small_px: int | None = 640) -> dict[str, Any]:
    PicameraOpener(0, camera, small_px=small_px, library=board)().close()
    return board.opened[-1].camera_configuration()


@pytest.mark.parametrize(("wishes", "small_px", "main", "lores"), [
    ({}, 640, (1280, 720), (640, 360)),
    ({}, 320, (1280, 720), (320, 180)),
    ({}, None, (1280, 720), None),
    ({"width_px": 640, "height_px": 480}, 640, (640, 480), None),
    ({"width_px": 1080, "height_px": 1920}, 640, (1080, 1920), (360, 640)),
    ({"width_px": 1001, "height_px": 777}, 500, (1001, 777), (500, 388)),
])  # fmt: skip
def test_streams(
    wishes: dict[str, Any], small_px: int | None, main: tuple[int, int], lores: tuple[int, int] | None
) -> None:
    config = _config(FakeBoard(), Camera(**wishes), small_px)
    assert config["main"] == {"size": main, "format": "RGB888"}
    assert (config["lores"] and config["lores"]["size"]) == lores


@pytest.mark.parametrize(("rate_fps", "controls"), [(None, {}), (10.0, {"FrameRate": 10.0}), (0.5, {})])
def test_rate_is_asked_of_the_sensor_where_it_can(rate_fps: float | None, controls: dict[str, float]) -> None:
    assert _config(FakeBoard(), Camera(rate_fps=rate_fps))["controls"] == controls


def test_memory_order_is_bgr_and_the_stride_is_cut_off() -> None:
    board = FakeBoard()
    device = PicameraOpener(0, Camera(width_px=400, height_px=240), small_px=100, library=board)()
    device.advance()
    shot = device.picture()
    device.close()
    np.testing.assert_array_equal(shot.image, numbered_picture(0, 400, 240))
    assert shot.small is not None
    assert shot.small.shape == (60, 100, 3)
    assert corner_colours(shot.small) == corner_colours(shot.image)


def test_frames_left_out_give_their_buffers_back() -> None:
    board = FakeBoard(fps=1000)
    device = PicameraOpener(0, Camera(), library=board)()
    for _ in range(20):
        device.advance()
    device.close()
    assert board.opened[0].free_buffers == 4
    assert not board.acquired


def test_the_exposure_is_what_is_stamped() -> None:
    device = PicameraOpener(0, Camera(), library=FakeBoard())()
    import time

    before_ns = time.monotonic_ns()
    device.advance()
    after_ns = time.monotonic_ns()
    shot = device.picture()
    device.close()
    # The fake says that the exposure was 3 ms before the request.
    assert before_ns - 3_100_000 <= shot.captured_ns <= after_ns - 2_900_000


@pytest.mark.parametrize("stamp", [None, 0, 1, 2**62])
def test_nonsense_stamps_are_ignored(stamp: int | None) -> None:
    import time

    from edge.capture.picamera import _captured_ns

    before_ns = time.monotonic_ns()
    assert before_ns <= _captured_ns({"SensorTimestamp": stamp}) <= time.monotonic_ns()


def test_absent_camera() -> None:
    with pytest.raises(SourceError, match="IndexError") as caught:
        PicameraOpener(3, Camera(), library=FakeBoard())()
    assert "list-cameras" in caught.value.hint


def test_busy_camera() -> None:
    board = FakeBoard()
    Picamera2(board, 0)
    with pytest.raises(SourceError, match="busy"):
        PicameraOpener(0, Camera(), library=board)()


def test_a_refused_configuration_frees_the_camera() -> None:
    board = FakeBoard()

    class Picky:
        @staticmethod
        def Picamera2(number: int) -> Picamera2:  # noqa: N802
            camera = board.Picamera2(number)

            def refuse(config: dict[str, Any]) -> None:
                raise RuntimeError("Bad camera configuration")

            camera.configure = refuse  # type: ignore[method-assign]
            return camera

    with pytest.raises(SourceError, match="Bad camera configuration"):
        PicameraOpener(0, Camera(), library=Picky)()
    assert not board.acquired


@pytest.mark.skipif(importlib.util.find_spec("picamera2") is not None, reason="picamera2 is installed")
def test_missing_library_says_how_to_get_it() -> None:
    with pytest.raises(MissingDependencyError) as caught:
        open_source(Camera(uri="picamera2:"))
    assert "apt install python3-picamera2" in str(caught.value)
    assert "--system-site-packages" in str(caught.value)
