from __future__ import annotations

import gc
import random
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from edge.capture import BackoffPlan, Libraries, LiveOptions, LiveSource, open_source
from edge.capture.device import OPEN_S, Device, Opener, Shot
from edge.config.settings import Camera
from edge.datatypes import Frame, Image
from edge.errors import MissingDependencyError, SourceError, SourceStuckError
from tests.support.clips import numbered_picture
from tests.support.data import ROOT
from tests.support.fake_capture import FakeCaptures
from tests.support.mjpeg_server import MjpegServer
from tests.support.rtsp_server import NetworkCamera, RtspServer

PATIENCE_S = 20.0
FAST = LiveOptions(open_s=0.5, backoff=BackoffPlan(first_s=0.01, cap_s=0.05))
CAMERA = Camera(stall_s=0.5)


class FakeDevice:
    """Does what its script says with each `advance`; shows numbered pictures unless `show` says otherwise."""

    def __init__(self, script: Callable[[int], None], show: Callable[[int], Image] = numbered_picture) -> None:
        self._script = script
        self._show = show
        self._number = -1
        self.closed = 0

    def advance(self) -> None:
        self._number += 1
        self._script(self._number)

    def picture(self) -> Shot:
        return Shot(self._show(self._number % 256), time.monotonic_ns())

    def close(self) -> None:
        self.closed += 1


class Plan:
    """Opens the devices given, in turn; the last again and again. Exceptions are raised instead."""

    def __init__(self, *openings: FakeDevice | Exception | Callable[[], Device]) -> None:
        self._openings = openings
        self.opened = 0

    def __call__(self, limit_s: float = OPEN_S) -> Device:
        opening = self._openings[min(self.opened, len(self._openings) - 1)]
        self.opened += 1
        if isinstance(opening, Exception):
            raise opening
        return opening if isinstance(opening, FakeDevice) else opening()


def steady(number: int) -> None:
    time.sleep(0.005)


def breaks_after(frames: int, error: Exception | None = None) -> Callable[[int], None]:
    def script(number: int) -> None:
        steady(number)
        if number >= frames:
            raise error or SourceError("it stopped giving frames")

    return script


def waits_for(event: threading.Event, *, behind: int = 0) -> Callable[[int], None]:
    """Gives so many frames, then none until the event."""

    def script(number: int) -> None:
        if number >= behind:
            event.wait(PATIENCE_S)

    return script


def make(
    plan: Opener, states: list[tuple[bool, str]] | None = None, camera: Camera = CAMERA, **options: object
) -> LiveSource:
    wishes = LiveOptions(**{**{name: getattr(FAST, name) for name in FAST.__slots__}, **options})  # type: ignore[arg-type]
    told = states if states is not None else []
    return LiveSource(
        plan,
        camera,
        shown="camera",
        on_state=lambda *state: told.append(state),
        options=wishes,
        rng=random.Random(1),  # noqa: S311
    )


def read_until(source: LiveSource, done: Callable[[], bool]) -> list[Frame]:
    """What a stage loop does."""
    frames = []
    deadline = time.monotonic() + PATIENCE_S
    while not done():
        assert time.monotonic() < deadline, source.counters
        try:
            frame = source.read()
        except SourceError as error:
            if not error.retryable:
                raise
            continue
        assert frame is not None
        frames.append(frame)
    return frames


def test_breaks_and_comes_back_each_told_once() -> None:
    states: list[tuple[bool, str]] = []
    devices = [FakeDevice(breaks_after(3)), FakeDevice(steady)]
    plan = Plan(devices[0], *[SourceError("no such device")] * 4, devices[1])
    source = make(plan, states)
    read_until(source, lambda: len(states) == 3)
    source.close()
    assert states == [(True, ""), (False, "it stopped giving frames"), (True, "")]
    assert plan.opened == 6
    assert source.counters["failed"] == 5
    assert source.counters["reopened"] == 5
    assert [device.closed for device in devices] == [1, 1]


def test_absent_from_the_beginning_is_told_once_and_waited_for() -> None:
    states: list[tuple[bool, str]] = []
    source = make(Plan(*[SourceError("no such device")] * 3, FakeDevice(steady)), states)
    assert len(read_until(source, lambda: len(states) == 2)) == 1
    source.close()
    assert states == [(False, "no such device"), (True, "")]


def test_index_and_time_grow_across_a_reopening() -> None:
    source = make(Plan(FakeDevice(breaks_after(2)), FakeDevice(steady)))
    frames = read_until(source, lambda: source.counters["reopened"] == 1 and source.counters["frames"] > 4)
    source.close()
    assert [frame.index for frame in frames] == sorted({frame.index for frame in frames})
    assert [frame.captured_ns for frame in frames] == sorted({frame.captured_ns for frame in frames})


def test_any_exception_of_a_library_is_a_failure_not_the_end() -> None:
    states: list[tuple[bool, str]] = []
    plan = Plan(FakeDevice(breaks_after(1, ZeroDivisionError("in rtsp://u:geheim@cam/1"))), FakeDevice(steady))
    source = make(plan, states)
    read_until(source, lambda: len(states) == 3)
    source.close()
    assert states[1] == (False, "ZeroDivisionError: in rtsp://***@cam/1")


def test_what_retrying_cannot_mend_is_raised() -> None:
    source = make(Plan(MissingDependencyError("picamera2", extra="x", purpose="this")))
    with pytest.raises(MissingDependencyError):
        read_until(source, lambda: False)
    with pytest.raises(MissingDependencyError):
        source.read()
    source.close()
    assert source.read() is None


@pytest.mark.parametrize("where", ["open", "read"])
def test_a_call_that_never_returns_is_left_behind(where: str) -> None:
    released = threading.Event()
    states: list[tuple[bool, str]] = []

    def hang(*_: object) -> Device:
        released.wait(PATIENCE_S)
        raise SourceError("woke at last")

    stuck = FakeDevice(hang)  # type: ignore[arg-type]
    plan = Plan(hang if where == "open" else stuck, FakeDevice(steady))
    source = make(plan, states)
    frames = read_until(source, lambda: len(states) == 2)
    assert [online for online, _ in states] == [False, True]
    assert ("opening took" if where == "open" else "no frame for") in states[0][1]
    assert source.counters["stalled"] == 1
    assert source.counters["failed"] == 0
    released.set()
    if where == "read":
        # The thread that was left behind releases its device when it wakes.
        deadline = time.monotonic() + PATIENCE_S
        while not stuck.closed and time.monotonic() < deadline:
            time.sleep(0.01)
        assert stuck.closed == 1
    assert frames
    assert states[-1][0] is True
    source.close()


def test_what_a_thread_left_behind_still_delivers_is_not_given() -> None:
    woken, silence = threading.Event(), threading.Event()
    stuck = FakeDevice(waits_for(woken))
    source = make(Plan(stuck, FakeDevice(waits_for(silence, behind=1))), wait_s=0.05)
    read_until(source, lambda: source.counters["frames"] == 1)
    woken.set()
    deadline = time.monotonic() + PATIENCE_S
    while not stuck.closed:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    with pytest.raises(SourceError):
        source.read()
    assert source.counters["frames"] == 1
    silence.set()
    source.close()


def test_threads_left_behind_are_bounded() -> None:
    released = threading.Event()
    plan = Plan(FakeDevice(waits_for(released)))
    source = make(plan, max_stuck=2, wait_s=0.05)
    read_until(source, lambda: source.counters["stalled"] == 2)
    for _ in range(3):
        with pytest.raises(SourceError):
            source.read()
    assert plan.opened == 2
    released.set()
    read_until(source, lambda: plan.opened > 2)
    source.close()


def test_a_source_that_never_delivers_gives_control_back() -> None:
    states: list[tuple[bool, str]] = []
    released = threading.Event()
    source = make(Plan(FakeDevice(waits_for(released))), states, wait_s=0.02)
    with pytest.raises(SourceError, match="no frame \\(not opened yet\\)") as caught:
        source.read()
    assert caught.value.retryable
    assert states == []
    read_until(source, lambda: bool(states))
    assert states[0][0] is False
    released.set()
    source.close()


def test_close_from_another_thread_ends_a_read() -> None:
    released = threading.Event()
    source = make(Plan(FakeDevice(waits_for(released))), wait_s=600.0)
    results: list[object] = []
    reader = threading.Thread(target=lambda: results.append(source.read()))
    reader.start()
    reader.join(0.05)
    assert reader.is_alive()
    source.close()
    reader.join(PATIENCE_S)
    assert results == [None]
    released.set()


def test_whoever_is_told_may_close() -> None:
    source: LiveSource

    def on_state(*_: object) -> None:
        source.close()

    source = LiveSource(Plan(SourceError("gone")), CAMERA, shown="camera", on_state=on_state, options=FAST)
    assert source.read() is None


def test_a_frame_nobody_asked_for_in_time_is_not_given() -> None:
    release = threading.Event()

    source = make(Plan(FakeDevice(waits_for(release, behind=1)), FakeDevice(steady)))
    time.sleep(CAMERA.stall_s * 1.5)
    frame = read_until(source, lambda: source.counters["frames"] == 1)[0]
    source.close()
    release.set()
    assert frame.index >= 1
    assert source.counters["dropped"] >= 1


def test_rate_leaves_frames_out_without_converting_them() -> None:
    converted = []

    class Counting(FakeDevice):
        def picture(self) -> Shot:
            converted.append(self._number)
            return super().picture()

    camera = Camera(stall_s=5, rate_fps=10)
    source = LiveSource(Plan(Counting(steady)), camera, shown="camera", options=FAST)
    frames = [source.read() for _ in range(3)]
    source.close()
    assert all(frames)
    gaps = [later - sooner for sooner, later in pairwise(converted)]
    assert min(gaps) > 1


def test_first_frame_is_kept_for_the_first_read() -> None:
    hold = threading.Event()
    source = make(Plan(FakeDevice(waits_for(hold, behind=1))))
    source.require_first(PATIENCE_S)
    frame = source.read()
    assert frame is not None
    assert frame.index == 0
    hold.set()
    source.close()


def test_impatience_raises_the_first_failure_and_closes() -> None:
    plan = Plan(SourceError("no such device"))
    source = make(plan)
    with pytest.raises(SourceError, match="no such device"):
        source.require_first(PATIENCE_S)
    assert source.read() is None
    assert plan.opened == 1


def test_impatience_with_a_silent_camera() -> None:
    hold = threading.Event()
    source = make(Plan(FakeDevice(waits_for(hold))), open_s=PATIENCE_S)
    with pytest.raises(SourceError, match="no frame"):
        source.require_first(0.05)
    hold.set()


GIVES_UP = Camera(stall_s=0.2, give_up_s=0.3)


@pytest.mark.parametrize("where", ["open", "read"])
def test_a_call_that_never_returns_at_last_wants_another_process(where: str) -> None:
    released = threading.Event()

    def hang(*_: object) -> Device:
        released.wait(PATIENCE_S)
        raise SourceError("woke at last")

    # The thread left behind keeps the device: every other try finds it busy.
    plan = Plan(hang if where == "open" else FakeDevice(hang), SourceError("cannot be opened"))  # type: ignore[arg-type]
    source = make(plan, camera=GIVES_UP, open_s=0.2)
    with pytest.raises(SourceStuckError, match="has not come back") as caught:
        read_until(source, lambda: False)
    assert (caught.value.retryable, caught.value.exit_code) == (False, 3)
    assert "new process" in caught.value.hint
    assert plan.opened >= 3
    with pytest.raises(SourceStuckError):
        source.read()
    source.close()
    released.set()


def test_a_camera_that_is_merely_away_never_ends_the_process() -> None:
    plan = Plan(SourceError("no such device"))
    source = make(plan, camera=Camera(stall_s=0.2, give_up_s=0.2))
    before = source.progress
    read_until(source, lambda: source.counters["failed"] >= 8)
    assert source.progress - before >= 8
    source.close()


def test_frames_from_another_thread_are_reason_to_go_on() -> None:
    released = threading.Event()
    source = make(Plan(FakeDevice(waits_for(released)), FakeDevice(steady)), camera=GIVES_UP)
    read_until(source, lambda: source.counters["frames"] >= 2)
    began = time.monotonic()
    read_until(source, lambda: time.monotonic() - began > 2 * GIVES_UP.give_up_s)
    source.close()
    released.set()


def test_a_frozen_picture_is_withheld_and_the_camera_opened_anew() -> None:
    thawed = threading.Event()

    def show(number: int) -> Image:
        return numbered_picture(number if thawed.is_set() else min(number, 9))

    states: list[tuple[bool, str]] = []
    devices = [FakeDevice(steady, show), FakeDevice(steady, lambda number: show(max(9, number)))]
    plan = Plan(*devices)
    source = make(plan, states, Camera(stall_s=5.0, frozen_s=0.3), wait_s=0.05)
    read_until(source, lambda: len(states) == 2)
    assert states[1][0] is False
    assert "the picture has not changed for 0.3" in states[1][1]
    assert source.picture == "frozen"
    # The new device shows the same again: nothing of it is given, and the watchdog hears that this was looked at.
    progress = source.progress
    read_until(source, lambda: plan.opened == 2)
    given = source.counters["frames"]
    read_until(source, lambda: source.progress > progress + 10)
    assert source.counters["frames"] == given
    assert len(states) == 2
    thawed.set()
    frames = read_until(source, lambda: source.counters["frames"] > given)
    assert (source.picture, states[2:], len(frames)) == ("ok", [(True, "")], 1)
    assert (source.counters["frozen"], source.counters["stalled"]) == (1, 0)
    assert devices[0].closed == 1
    source.close()


def test_a_black_picture_is_told_once_and_given_all_the_same(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    light = threading.Event()

    def show(number: int) -> Image:
        return numbered_picture(number) if light.is_set() else np.zeros((120, 160, 3), np.uint8)

    source = make(Plan(FakeDevice(steady, show)), camera=Camera(stall_s=5.0, frozen_s=0.2, black_s=0.3))
    assert source.picture == "ok"
    assert read_until(source, lambda: source.picture == "black")
    given = source.counters["frames"]
    assert read_until(source, lambda: source.counters["frames"] > given + 20)
    light.set()
    read_until(source, lambda: source.picture == "ok")
    source.close()
    assert source.counters["reopened"] == 0
    told = [record.getMessage() for record in caplog.records]
    assert told == [
        "camera: frames arrive",
        "camera: the picture is black: lens cap, no light, or a dead sensor",
        "camera: the picture has content again",
    ]


@pytest.mark.parametrize("server_type", [RtspServer, MjpegServer])
def test_a_network_camera_hangs_up_vanishes_and_returns(server_type: type[NetworkCamera]) -> None:
    states: list[tuple[bool, str]] = []
    options = LiveOptions(open_s=5.0, backoff=BackoffPlan(first_s=0.02, cap_s=0.1))
    with server_type(fps=50) as server:
        camera = Camera(uri=server.uri, stall_s=1.0)  # type: ignore[attr-defined]
        source = open_source(camera, on_state=lambda *state: states.append(state), options=options)
        assert isinstance(source, LiveSource)
        read_until(source, lambda: len(states) == 1)
        server.hang_up()
        read_until(source, lambda: len(states) == 3)
        server.vanish()
        read_until(source, lambda: len(states) == 4)
        read_until(source, lambda: source.counters["failed"] >= 4)
        assert len(states) == 4
        server.appear()
        read_until(source, lambda: len(states) == 5)
        source.close()
    assert [online for online, _ in states] == [True, False] * 2 + [True]
    assert all(reason for online, reason in states if not online)


def test_an_unreachable_network_camera_fails_soon() -> None:
    with RtspServer() as server:
        uri = server.uri.replace("//", "//keeper:geheim@")
    with pytest.raises(SourceError) as caught:
        open_source(Camera(uri=uri), first_frame_s=PATIENCE_S)
    assert "geheim" not in str(caught.value)
    assert "cannot be opened" in str(caught.value)


def test_a_usb_camera_comes_back_under_another_number(tmp_path: Path) -> None:
    # As udev does it: the link in /dev/v4l/by-id goes with the device, and comes back to whatever number is free then.
    link, captures = tmp_path / "usb-Door_Camera-video-index0", FakeCaptures()
    for number in (0, 2):
        (tmp_path / f"video{number}").touch()
    link.symlink_to(tmp_path / "video0")
    states: list[tuple[bool, str]] = []
    source = open_source(
        Camera(uri=f"v4l2:{link}", stall_s=0.5), on_state=lambda *state: states.append(state), options=FAST,
        libraries=Libraries(capture=captures),
    )  # fmt: skip
    assert isinstance(source, LiveSource)
    read_until(source, lambda: len(states) == 1)
    link.unlink()
    captures.present.clear()
    read_until(source, lambda: source.counters["failed"] >= 3)
    link.symlink_to(tmp_path / "video2")
    captures.present.set()
    read_until(source, lambda: len(states) == 3)
    source.close()
    assert states == [(True, ""), (False, "it stopped giving frames"), (True, "")]


MEMORY = """
    import sys
    from edge.capture import open_source
    from edge.config.settings import Camera
    from tests.support.memory import peak_kib

    source = open_source(Camera(uri=sys.argv[1]))
    assert len(list(map(lambda frame: frame.index, iter(source.read, None)))) > 50
    print(peak_kib())
"""


def test_a_1080p_clip_leaves_room_for_the_rest(tmp_path: Path) -> None:
    from tests.support.data import test_data

    clip = test_data("data", "clips", "walkers.mp4")
    command = [sys.executable, "-c", textwrap.dedent(MEMORY), str(clip)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=True)
    assert int(run.stdout) < 125_000, "KiB; the whole daemon may have 160 MB"
    gc.collect()
