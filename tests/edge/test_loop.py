from __future__ import annotations

import contextlib
import logging
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge.annotate import VideoWriter
from edge.config.settings import Decide, Publish, Settings
from edge.datatypes import Box, Frame, Image
from edge.errors import ModelError, OstiaryError, SourceError, SourceStuckError
from edge.health import ServiceManager
from edge.loop import FAULT_BUDGET, Loop, Outside, describe_event, snapshot_jpeg
from edge.timebase import Clock
from tests.edge.test_pipeline import House
from tests.support.fakes import BLUE, RED, SECOND, FakeDetector, FakeSource, face, make_frame
from tests.support.publishers import MemoryPublisher
from tests.support.schemas import validator

GONE = SourceError("gone")
DESCRIPTION: dict[str, Any] = {
    "gallery_revision": 3, "bundle_id": "b", "embedder_id": "e", "outbox": {"depth": 0, "dropped": 0},
    "camera": {"online": True, "reopened": 0},
    "bundle": {"bundle_id": "b", "version": None, "state": "confirmed", "previous": None, "reason": "", "since": None},
}  # fmt: skip


class FaultyDetector(FakeDetector):
    """Breaks on chosen frames, counted from 0."""

    faults: set[int]

    def __init__(self, faults: set[int], kind: type[Exception] = RuntimeError) -> None:
        super().__init__([[face(100, 100)]] * 1000)
        self.faults, self.kind = faults, kind

    def detect(self, image: Image, *, frame_scale: float = 1.0) -> Any:
        found = super().detect(image, frame_scale=frame_scale)
        if len(self.seen) - 1 in self.faults:
            raise self.kind("a broken frame")
        return found


@dataclass
class Run:
    """A loop over a script of frames and errors, STEP_S of a made-up clock each."""

    items: list[Frame | Exception]
    house: House = field(default_factory=House)
    is_live: bool = False
    step_s: float = 0.2
    video: VideoWriter | None = None
    notify: str = ""
    publisher: MemoryPublisher = field(default_factory=MemoryPublisher)
    refreshed: int = 0
    now_ns: int = 0

    def __post_init__(self) -> None:
        def advance(reads: int) -> None:
            self.now_ns = int(reads * self.step_s * SECOND)

        def refresh() -> None:
            self.refreshed += 1

        self.source = FakeSource(list(self.items), is_live=self.is_live, before_read=advance)
        self.outside = Outside(
            self.source, self.house.pipeline, self.publisher, self.house.health, ServiceManager(self.notify),
            refresh=refresh, describe=lambda: DESCRIPTION, video=self.video, clock=Clock(lambda: self.now_ns),
        )  # fmt: skip

    def start(self, is_stopping: Callable[[], bool] = lambda: False) -> Run:
        Loop(self.house.settings, self.outside).until_end(is_stopping)
        return self


def visit(count: int, colour: tuple[int, int, int] = BLUE, first: int = 0) -> list[Any]:
    return [make_frame(number, {colour: face(100, 100)}) for number in range(first, first + count)]


def seeing(count: int, settings: Settings | None = None) -> House:
    """A house whose detector finds the visitor in the first `count` frames."""
    return House(settings or Settings(), detector=FakeDetector([[face(100, 100)]] * count))


def test_every_frame_until_the_end() -> None:
    run = Run(visit(5), seeing(5)).start()
    assert run.house.health.counters["frames"] == 5
    assert run.house.told == [("recognized", "Ada")]
    assert run.refreshed == 5


def test_somebody_stops_it() -> None:
    run = Run(visit(9), seeing(9))
    run.start(lambda: run.source.reads == 3)
    assert run.house.health.counters["frames"] == 3


def test_the_end_decides_what_is_open_and_tells_health(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    run = Run(visit(4, RED), seeing(4)).start()
    assert run.house.told == [("unknown", None)]
    assert "unknown: somebody (track 1, similarity" in caplog.text
    assert run.publisher.healths[-1]["counters"]["events_unknown"] == 1
    assert [error.message for error in validator("health").iter_errors(run.publisher.healths[-1])] == []


def test_health_is_told_at_once_and_then_at_its_interval() -> None:
    house = seeing(0, Settings(publish=Publish(health_interval_s=1.0)))
    run = Run([make_frame(number) for number in range(11)], house).start()
    # At 0, 1 and 2 seconds, and at the end.
    assert [report["counters"]["frames"] for report in run.publisher.healths] == [1, 6, 11, 11]


def test_presence_comes_and_goes() -> None:
    house = seeing(3, Settings(publish=Publish(presence_off_after_s=1.0)))
    run = Run([*visit(3), *[make_frame(number) for number in range(3, 12)]], house).start()
    assert run.publisher.states == [("presence", True), ("presence", False)]


def test_a_live_source_that_is_away_does_not_stop_the_world() -> None:
    house = seeing(3, Settings(publish=Publish(presence_off_after_s=1.0, health_interval_s=1.0)))
    run = Run([*visit(3), *[GONE] * 9, *visit(1, first=12)], house, is_live=True).start()
    assert run.publisher.states == [("presence", True), ("presence", False)]
    assert len(run.publisher.healths) == 4
    assert run.refreshed == 13
    assert house.health.counters["frames"] == 4


def test_a_file_that_breaks_off_ends_the_run_and_loses_nobody(tmp_path: Path) -> None:
    video = VideoWriter(tmp_path / "out.mp4")
    run = Run([*visit(4, RED), GONE, *visit(4)], seeing(8), video=video)
    with pytest.raises(SourceError, match="gone"):
        run.start()
    assert run.house.told == [("unknown", None)]
    assert len(run.publisher.healths) == 2
    assert frames_in(tmp_path / "out.mp4") == 4


def test_a_frame_that_breaks_a_stage_is_counted_and_the_loop_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    house = House(detector=FaultyDetector({1, 3}))
    run = Run(visit(8), house).start()
    assert (house.health.counters["frames_failed"], house.health.counters["frames"]) == (2, 6)
    assert house.told == [("recognized", "Ada")]
    assert run.refreshed == 8
    assert [record.getMessage() for record in caplog.records] == ["frame 1 failed", "frame 3 failed"]
    assert "a broken frame" in caplog.text


def test_too_many_faults_end_the_run(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    faults = set(range(1, 1 + FAULT_BUDGET))
    run = Run(visit(30), House(detector=FaultyDetector(faults)), video=VideoWriter(tmp_path / "out.mp4"))
    with pytest.raises(OstiaryError, match=f"{FAULT_BUDGET} frames failed within 60 s") as caught:
        run.start()
    assert caught.value.exit_code == 1
    assert run.source.reads == 1 + FAULT_BUDGET
    assert caplog.text.count("frame 10 failed") == 1, "the last one is in the log, too"
    assert frames_in(tmp_path / "out.mp4") == 1


def test_faults_far_apart_are_borne() -> None:
    house = House(detector=FaultyDetector(set(range(30))))
    run = Run(visit(30), house, step_s=7.0).start()
    assert run.house.health.counters["frames_failed"] == 30


def test_a_network_that_fails_on_one_face_does_not_turn_the_daemon_off(caplog: pytest.LogCaptureFixture) -> None:
    house = House(detector=FaultyDetector({1}, ModelError))
    Run(visit(8), house).start()
    assert (house.health.counters["frames_failed"], house.health.counters["frames"]) == (1, 7)
    assert "frame 1 failed: a broken frame" in caplog.text
    assert "Traceback" not in caplog.text


def test_a_fault_with_a_name_ends_the_run_at_once() -> None:
    run = Run(visit(5), House(detector=FaultyDetector({1}, OstiaryError)))
    with pytest.raises(OstiaryError, match="a broken frame"):
        run.start()
    assert run.source.reads == 2


@contextlib.contextmanager
def listening(tmp_path: Path) -> Iterator[tuple[str, list[bytes]]]:
    """An address for the service manager, and what it has heard when the context ends."""
    address, heard = str(tmp_path / "notify"), []  # type: ignore[var-annotated]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(address)
        channel.settimeout(0.0)
        yield address, heard
        with contextlib.suppress(BlockingIOError):
            while True:
                heard.append(channel.recv(100))


def test_the_watchdog_is_fed_by_frames_that_came_through(tmp_path: Path) -> None:
    with listening(tmp_path) as (address, heard):
        Run([*visit(3), GONE, GONE], House(detector=FaultyDetector({1})), is_live=True, notify=address).start()
    assert heard == [b"WATCHDOG=1"] * 2


def test_the_watchdog_is_fed_by_each_try_at_a_camera_that_is_away_and_by_nothing_else(tmp_path: Path) -> None:
    progress = [0, 0, 1, 1, 1, 2, 2, 4, 4]
    with listening(tmp_path) as (address, heard):
        run = Run([GONE] * len(progress), is_live=True, notify=address)

        def attend(reads: int) -> None:
            run.source.progress = progress[min(reads, len(progress) - 1)]

        run.source.before_read = attend
        run.start()
    assert heard == [b"WATCHDOG=1"] * 3


def test_a_camera_that_only_a_new_process_can_free_ends_the_run() -> None:
    run = Run([*visit(4, RED), SourceStuckError("a call has not come back"), *visit(4)], seeing(8), is_live=True)
    with pytest.raises(SourceStuckError):
        run.start()
    # Who was seen until then still counts.
    assert run.house.told == [("unknown", None)]
    assert len(run.publisher.healths) == 2


def snapshots() -> Settings:
    return Settings(publish=Publish(snapshot=True, snapshot_px=64))


def test_a_snapshot_of_who_was_decided() -> None:
    run = Run(visit(5), seeing(5, snapshots())).start()
    (jpeg,) = run.publisher.snapshots
    shown = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert shown is not None
    assert shown.shape == (64, 64, 3)
    # The blue face, and 0.4 of its size of grey wall around it.
    assert shown[32, 32, 0] > 100
    assert np.abs(shown[3, 3].astype(int) - 90).max() < 12


def test_no_snapshot_of_an_empty_place() -> None:
    # The track ends, and is decided, when nobody has been there for a second.
    frames = [*visit(4, RED), *[make_frame(number) for number in range(4, 12)]]
    run = Run(frames, seeing(4, snapshots())).start()
    assert run.house.told == [("unknown", None)]
    assert run.publisher.snapshots == []


def test_no_snapshot_unless_asked() -> None:
    assert Run(visit(5), seeing(5)).start().publisher.snapshots == []


@pytest.mark.parametrize(
    ("box", "longest_px", "size"),
    [
        (Box(300, 200, 400, 300), 320, (180, 180)),
        (Box(300, 200, 400, 300), 90, (90, 90)),
        (Box(300, 200, 350, 300), 320, (130, 180)),
        (Box(0, 0, 100, 100), 320, (140, 140)),
        (Box(-40, -40, 60, 60), 320, (100, 100)),
        (Box(590, 430, 690, 530), 320, (90, 90)),
        (Box(640, 480, 740, 580), 320, (40, 40)),
        (Box(0, 0, 640, 480), 100, (100, 75)),
        (Box(900, 100, 950, 150), 320, (1, 90)),
        (Box(-900, -900, -800, -800), 320, (1, 1)),
        (Box(300, 200, 300, 200), 320, (1, 1)),
    ],
)
def test_a_snapshot_stays_inside_the_picture(box: Box, longest_px: int, size: tuple[int, int]) -> None:
    image = np.random.default_rng(1).integers(0, 256, (480, 640, 3), np.uint8)
    shown = cv2.imdecode(np.frombuffer(snapshot_jpeg(image, box, longest_px), np.uint8), cv2.IMREAD_COLOR)
    assert shown is not None
    assert (shown.shape[1], shown.shape[0]) == size


def test_the_annotated_video_has_every_frame(tmp_path: Path) -> None:
    Run(visit(6), seeing(6), video=VideoWriter(tmp_path / "out.avi")).start()
    assert frames_in(tmp_path / "out.avi") == 6


def frames_in(path: Path) -> int:
    capture = cv2.VideoCapture(str(path))
    count = 0
    while capture.read()[0]:
        count += 1
    capture.release()
    return count


def test_a_decision_in_words() -> None:
    house = House(Settings(decide=Decide(min_frames=2)))
    for _ in range(3):
        house.show({BLUE: face(100, 100)})
    text = describe_event(house.sink.events[0])
    assert text.startswith("recognized: Ada, allowed (track 1, similarity 1.000, margin 0.9")
    assert text.endswith("2 frames, quality 0.97)")
