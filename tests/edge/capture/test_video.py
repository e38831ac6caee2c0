from __future__ import annotations

import logging
import threading
from itertools import pairwise
from pathlib import Path

import pytest

from edge.capture.opening import open_source
from edge.capture.video import VideoSource
from edge.config.settings import Camera
from edge.errors import SourceError
from tests.support.clips import number_of, write_clip
from tests.support.data import test_data
from tests.support.fake_capture import FakeCaptures


def _numbers(path: Path, camera: Camera | None = None) -> list[int]:
    source = VideoSource(path, camera or Camera())
    return [number_of(frame.image) for frame in iter(source.read, None)]


def test_cut_off_gives_what_decodes_and_warns(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    raw = write_clip(tmp_path / "whole.avi", range(40)).read_bytes()
    cut = tmp_path / "cut.avi"
    cut.write_bytes(raw[: len(raw) // 2])
    with caplog.at_level(logging.WARNING):
        numbers = _numbers(cut)
    # The last one may be half a picture.
    assert 10 < len(numbers) < 30
    assert numbers[:-1] == list(range(len(numbers) - 1))
    assert f"ended after {len(numbers)} of 40 frames" in caplog.text


def test_whole_clip_warns_of_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert _numbers(write_clip(tmp_path / "whole.mp4", range(40))) == list(range(40))
    assert caplog.text == ""


def _no_index(path: Path) -> None:
    whole = write_clip(path.with_suffix(".mp4"), range(40)).read_bytes()
    path.write_bytes(whole[: len(whole) // 2])


@pytest.mark.parametrize(("make", "found"), [
    (Path.exists, "no such file or folder"),
    (lambda path: path.write_bytes(b""), "an empty file"),
    (lambda path: path.write_bytes(b"not a video at all" * 100), "not a video"),
    (lambda path: path.write_bytes(b"\0" * 5000), "not a video"),
    (_no_index, "not a video"),
    (Path.mkdir, "no pictures"),
])  # fmt: skip
def test_says_what_is_wrong_with_a_file(make: object, found: str, tmp_path: Path) -> None:
    path = tmp_path / "door.avi"
    make(path)  # type: ignore[operator]
    with pytest.raises(SourceError, match=found) as caught:
        open_source(Camera(uri=str(path)))
    assert caught.value.where == str(path)
    assert caught.value.expected
    assert caught.value.exit_code == 3


def test_a_name_is_never_taken_for_a_protocol(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_clip(tmp_path / "clip.avi", range(3)).rename(tmp_path / "concat:clip.avi")
    monkeypatch.chdir(tmp_path)
    assert len(list(iter(open_source(Camera(uri="concat:clip.avi")).read, None))) == 3


def test_rate_goes_by_the_clip(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.avi", range(50), fps=25)
    assert _numbers(path, Camera(rate_fps=5)) == list(range(0, 50, 5))
    assert len(_numbers(path, Camera(rate_fps=240))) == 50


class Clock:
    """Nanoseconds that pass only when a frame is looked at."""

    def __init__(self) -> None:
        self.now_ns = 0

    def __call__(self) -> int:
        return self.now_ns


def test_realtime_drops_what_a_live_camera_would(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.avi", range(50), fps=100)
    clock = Clock()
    source = VideoSource(path, Camera(realtime=True), clock=clock)
    numbers = []
    for frame in iter(source.read, None):
        numbers.append(number_of(frame.image))
        clock.now_ns += 50_000_000
    # Every frame takes as long to look at as five last.
    steps = [later - sooner for sooner, later in pairwise(numbers)]
    assert numbers[0] == 0
    assert set(steps) <= {4, 5, 6}
    assert source.counters["frames"] == len(numbers)
    assert source.counters["dropped"] + len(numbers) >= 46


def test_realtime_never_starves(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.avi", range(20), fps=100)
    clock = Clock()
    source = VideoSource(path, Camera(realtime=True), clock=clock)
    given = 0
    for _ in iter(source.read, None):
        given += 1
        clock.now_ns += 5_000_000_000
    assert given == 20


def test_realtime_waits_for_the_clip_and_close_ends_the_wait(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.avi", range(5), fps=0.02)
    source = VideoSource(path, Camera(realtime=True))
    assert source.read() is not None
    results: list[object] = []
    reader = threading.Thread(target=lambda: results.append(source.read()))
    reader.start()
    reader.join(0.1)
    assert reader.is_alive()
    source.close()
    reader.join(10)
    assert results == [None]


def test_releases_at_the_end_once(tmp_path: Path) -> None:
    captures = FakeCaptures(fps=1000)
    path = tmp_path / "clip.any"
    path.write_bytes(b"x")
    captures.made.clear()
    source = VideoSource(path, Camera(), factory=_ending(captures, 3))
    assert len(list(iter(source.read, None))) == 3
    source.close()
    assert [capture.released for capture in captures.made] == [1]


def _no_property(name: int) -> float:
    return float("nan")


def _ending(captures: FakeCaptures, frames: int) -> object:
    """A factory whose capture ends after so many frames and knows no properties."""

    def factory(*arguments: object) -> object:
        capture = captures(*arguments)  # type: ignore[arg-type]
        plain = capture.grab
        capture.grab = lambda: capture._number + 1 < frames and plain()  # type: ignore[method-assign]
        capture.get = _no_property  # type: ignore[attr-defined]
        return capture

    return factory


def test_walkers_are_all_there() -> None:
    source = VideoSource(test_data("data", "clips", "walkers.mp4"), Camera(width_px=640, height_px=640))
    frames = list(iter(source.read, None))
    assert len(frames) == 105
    assert {(frame.width, frame.height) for frame in frames} == {(640, 360)}


def test_a_clip_read_as_fast_as_it_can_keeps_its_own_timeline(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.avi", range(5), fps=25)
    frames = list(iter(VideoSource(path, Camera()).read, None))
    assert [frame.timeline_ns for frame in frames] == [pytest.approx(number * 40e6, abs=1e3) for number in range(5)]
    played = VideoSource(path, Camera(realtime=True)).read()
    assert played is not None
    assert played.timeline_ns is None
