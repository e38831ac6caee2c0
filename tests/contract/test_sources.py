"""What every frame source promises, whatever it is."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge.capture import BackoffPlan, Libraries, LiveOptions, open_source
from edge.capture.counters import NAMES
from edge.config.settings import Camera
from edge.datatypes import Frame, Image
from edge.errors import SourceError
from edge.interfaces import FrameSource
from tests.support.clips import corner_colours, number_of, numbered_picture, write_clip
from tests.support.fake_capture import FakeCaptures
from tests.support.fake_picamera2 import FakeBoard
from tests.support.mjpeg_server import MjpegServer
from tests.support.rtsp_server import RtspServer

SIZE = (160, 120)
FRAMES = 12
FAST = LiveOptions(open_s=20.0, wait_s=20.0, backoff=BackoffPlan(first_s=0.02, cap_s=0.1))


@dataclass(frozen=True, slots=True)
class Place:
    """A URI and the hardware behind it."""

    uri: str
    libraries: Libraries | None = None
    fixed: dict[str, Any] | None = None
    camera: Any = None
    """With switches: `flowing` (an event), `frozen`, `dark`."""


@contextlib.contextmanager
def folder(tmp_path: Path) -> Iterator[Place]:
    for number in range(FRAMES):
        cv2.imwrite(str(tmp_path / f"{number}.png"), numbered_picture(number, *SIZE))
    yield Place(str(tmp_path))


@contextlib.contextmanager
def picture(tmp_path: Path) -> Iterator[Place]:
    cv2.imwrite(str(tmp_path / "one.png"), numbered_picture(0, *SIZE))
    yield Place(f"file:{tmp_path}/one.png")


@contextlib.contextmanager
def avi(tmp_path: Path) -> Iterator[Place]:
    yield Place(str(write_clip(tmp_path / "clip.avi", range(FRAMES))))


@contextlib.contextmanager
def mp4(tmp_path: Path) -> Iterator[Place]:
    yield Place(f"file://{write_clip(tmp_path / 'clip.mp4', range(FRAMES))}")


@contextlib.contextmanager
def rtsp(tmp_path: Path) -> Iterator[Place]:
    with RtspServer() as server:
        yield Place(server.uri, camera=server)


@contextlib.contextmanager
def mjpeg(tmp_path: Path) -> Iterator[Place]:
    with MjpegServer() as server:
        yield Place(server.uri, camera=server)


@contextlib.contextmanager
def v4l2(tmp_path: Path) -> Iterator[Place]:
    (tmp_path / "video0").touch()
    captures = FakeCaptures()
    yield Place(f"v4l2:{tmp_path}/video0", Libraries(capture=captures), camera=captures)


@contextlib.contextmanager
def picamera(tmp_path: Path, *, can_cancel: bool = True) -> Iterator[Place]:
    board = FakeBoard(can_cancel=can_cancel)
    fixed = {"width_px": SIZE[0], "height_px": SIZE[1]}
    yield Place("picamera2:", Libraries(picamera2=board), fixed, board)
    # Whoever keeps buffers starves the camera; a request that could not be cancelled goes down with it.
    assert not can_cancel or all(
        camera.free_buffers == camera.camera_configuration()["buffer_count"] for camera in board.opened
    )
    assert not board.acquired


def old_picamera(tmp_path: Path) -> contextlib.AbstractContextManager[Place]:
    """Of a version that cannot cancel a request."""
    return picamera(tmp_path, can_cancel=False)


FILES = [folder, avi, mp4]
LIVE = [rtsp, mjpeg, v4l2, picamera]
EVERY = [picture, *FILES, *LIVE]
Maker = Callable[[Path], contextlib.AbstractContextManager[Place]]


@contextlib.contextmanager
def opened(maker: Maker, tmp_path: Path, **wishes: Any) -> Iterator[Any]:
    with maker(tmp_path) as place:
        camera = Camera(uri=place.uri, **{**(place.fixed or {}), **wishes})
        source = open_source(camera, libraries=place.libraries, options=FAST)
        try:
            yield source
        finally:
            source.close()


def first(source: FrameSource) -> Frame:
    frame = source.read()
    assert frame is not None
    return frame


@pytest.mark.parametrize("maker", EVERY)
def test_gives_whole_bgr_frames(maker: Maker, tmp_path: Path) -> None:
    with opened(maker, tmp_path) as source:
        frame = first(source)
    assert frame.image.dtype == np.uint8
    assert frame.image.shape == (SIZE[1], SIZE[0], 3)
    assert frame.image.flags.c_contiguous
    assert corner_colours(frame.image) == corner_colours(numbered_picture(0, *SIZE))
    assert abs(frame.captured_at - time.time()) < 60
    assert 0 <= time.monotonic_ns() - frame.captured_ns < 60e9


@pytest.mark.parametrize("maker", [*FILES, *LIVE])
def test_time_and_index_grow(maker: Maker, tmp_path: Path) -> None:
    with opened(maker, tmp_path) as source:
        frames = [first(source) for _ in range(5)]
    moments = [frame.captured_ns for frame in frames]
    assert moments == sorted(set(moments))
    indices = [frame.index for frame in frames]
    assert indices == sorted(set(indices))


@pytest.mark.parametrize("wishes", [
    {"rotate_deg": 90},
    {"rotate_deg": 270, "mirror": True},
    {"mirror": True, "region": (0.5, 0.0, 1.0, 1.0)},
    # Above the number, which a stream may have counted up before it is read.
    {"rotate_deg": 180, "region": (0.0, 0.0, 1.0, 0.35)},
])  # fmt: skip
@pytest.mark.parametrize("maker", EVERY)
def test_applies_geometry(maker: Maker, wishes: dict[str, Any], tmp_path: Path) -> None:
    with opened(maker, tmp_path, **wishes) as source:
        image = first(source).image
    expected = reference(numbered_picture(0, *SIZE), **wishes)
    assert image.shape == expected.shape
    assert image.flags.c_contiguous
    assert corner_colours(image) == corner_colours(expected)


def reference(
    image: Image,
    *,
    rotate_deg: int = 0,
    mirror: bool = False,
    region: tuple[float, float, float, float] = (0, 0, 1, 1),
) -> Image:
    """The sentences of the configuration, word by word."""
    turned = np.rot90(image, k=-rotate_deg // 90)
    mirrored = turned[:, ::-1] if mirror else turned
    height, width = mirrored.shape[:2]
    return mirrored[
        round(region[1] * height) : round(region[3] * height), round(region[0] * width) : round(region[2] * width)
    ]


@pytest.mark.parametrize("maker", EVERY)
def test_is_never_larger_than_asked(maker: Maker, tmp_path: Path) -> None:
    with opened(maker, tmp_path, width_px=80, height_px=80) as source:
        frame = first(source)
    assert (frame.width, frame.height) in {(80, 60), (80, 80)}


@pytest.mark.parametrize("maker", EVERY)
def test_closes_twice_and_gives_none_after(maker: Maker, tmp_path: Path) -> None:
    with opened(maker, tmp_path) as source:
        first(source)
        source.close()
        source.close()
        assert source.read() is None
        assert source.read() is None


@pytest.mark.parametrize("maker", EVERY)
def test_counts_frames_in_a_snapshot(maker: Maker, tmp_path: Path) -> None:
    with opened(maker, tmp_path) as source:
        before = source.counters
        first(source)
        after = source.counters
    assert tuple(before) == NAMES
    assert (before["frames"], after["frames"]) == (0, 1)
    with pytest.raises(TypeError):
        after["frames"] = 5


@pytest.mark.parametrize("maker", FILES)
def test_file_gives_every_frame_and_ends(maker: Maker, tmp_path: Path) -> None:
    with opened(maker, tmp_path) as source:
        assert source.is_live is False
        frames = list(iter(source.read, None))
        assert source.read() is None
    assert [number_of(frame.image) for frame in frames] == list(range(FRAMES))
    assert [frame.index for frame in frames] == list(range(FRAMES))


@pytest.mark.parametrize("maker", LIVE)
def test_live_keeps_only_the_newest(maker: Maker, tmp_path: Path) -> None:
    with opened(maker, tmp_path) as source:
        assert source.is_live is True
        before = first(source)
        wanted = source.counters["dropped"] + 5
        deadline = time.monotonic() + 20
        while source.counters["dropped"] < wanted:
            assert time.monotonic() < deadline, source.counters
            time.sleep(0.01)
        frame = first(source)
        assert frame.index >= before.index + 6


@dataclass
class Troubled:
    """A live source, its camera, and what it has told."""

    source: Any
    camera: Any
    states: list[tuple[bool, str]]

    def read_until(self, done: Callable[[], bool]) -> list[Frame]:
        """What a stage loop does."""
        frames, deadline = [], time.monotonic() + 20
        while not done():
            assert time.monotonic() < deadline, (self.source.counters, self.states)
            with contextlib.suppress(SourceError):
                frames.append(first(self.source))
        return frames


@contextlib.contextmanager
def in_trouble(maker: Maker, tmp_path: Path, **wishes: Any) -> Iterator[Troubled]:
    """Running, with its first frame given."""
    states: list[tuple[bool, str]] = []
    options = replace(FAST, wait_s=0.05)
    with maker(tmp_path) as place:
        camera = Camera(uri=place.uri, **{**(place.fixed or {}), **wishes})
        source = open_source(
            camera, libraries=place.libraries, options=options, on_state=lambda *state: states.append(state)
        )
        troubled = Troubled(source, place.camera, states)
        try:
            troubled.read_until(lambda: states == [(True, "")])
            yield troubled
        finally:
            place.camera.flowing.set()
            source.close()


@pytest.mark.parametrize("maker", [*LIVE, old_picamera])
def test_live_falls_silent_and_comes_back_even_where_a_read_never_returns(maker: Maker, tmp_path: Path) -> None:
    with in_trouble(maker, tmp_path, stall_s=0.4) as troubled:
        before = first(troubled.source).index
        troubled.camera.flowing.clear()
        troubled.read_until(lambda: len(troubled.states) == 2)
        assert "no frame for" in troubled.states[1][1]
        troubled.read_until(lambda: troubled.source.progress >= 1)
        troubled.camera.flowing.set()
        frames = troubled.read_until(lambda: troubled.states[2:] == [(True, "")])
        assert min(frame.index for frame in frames) > before
        assert troubled.source.counters["stalled"] >= 1


@pytest.mark.parametrize("maker", [v4l2, picamera])
def test_live_tells_black_and_withholds_frozen_pictures(maker: Maker, tmp_path: Path) -> None:
    with in_trouble(maker, tmp_path, frozen_s=0.3, black_s=0.2) as troubled:
        source, camera = troubled.source, troubled.camera
        camera.dark = True
        assert troubled.read_until(lambda: source.picture == "black")
        camera.dark = False
        assert troubled.read_until(lambda: source.picture == "ok")
        assert troubled.states == [(True, "")]
        camera.frozen = True
        troubled.read_until(lambda: source.picture == "frozen")
        assert "has not changed" in troubled.states[-1][1]
        camera.frozen = False
        frames = troubled.read_until(lambda: source.picture == "ok")
        assert len(frames) == 1
        assert [online for online, _ in troubled.states] == [True, False, True]


def test_region_of_one_source_is_that_of_another(tmp_path: Path) -> None:
    wishes: dict[str, Any] = {"rotate_deg": 90, "region": (0.1, 0.2, 0.85, 0.9)}
    shapes = set()
    for maker in (folder, avi, v4l2):
        place = tmp_path / maker.__name__
        place.mkdir()
        with opened(maker, place, **wishes) as source:
            shapes.add(first(source).image.shape)
    assert len(shapes) == 1


def test_small_has_the_same_geometry() -> None:
    board = FakeBoard()
    camera = Camera(uri="picamera2:", width_px=320, height_px=240, rotate_deg=90, mirror=True, region=(0, 0, 1, 0.5))
    for small_px in (160, None):
        source = open_source(camera, libraries=Libraries(picamera2=board), small_px=small_px)
        frame = first(source)
        source.close()
        if small_px is None:
            assert frame.small is None
        else:
            assert frame.small is not None
            assert frame.small.shape == (80, 120, 3)
            assert frame.image.shape == (160, 240, 3)
            assert corner_colours(frame.small) == corner_colours(frame.image)
    unturned = replace(camera, rotate_deg=0, mirror=False, region=None)
    source = open_source(unturned, libraries=Libraries(picamera2=board), small_px=160)
    assert corner_colours(first(source).small) == corner_colours(numbered_picture(0))
    source.close()
