from __future__ import annotations

import gc
import random
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from edge.capture import BackoffPlan, Libraries, LiveOptions, LiveSource, open_source
from edge.capture.device import Device, Shot
from edge.config.settings import Camera
from edge.datatypes import Frame
from edge.errors import MissingDependencyError, SourceError
from tests.support.clips import numbered_picture
from tests.support.data import ROOT
from tests.support.fake_picamera2 import FakeBoard
from tests.support.mjpeg_server import MjpegServer
from tests.support.rtsp_server import NetworkCamera, RtspServer

PATIENCE_S = 20.0
FAST = LiveOptions(open_s=0.5, backoff=BackoffPlan(first_s=0.01, cap_s=0.05))
CAMERA = Camera(stall_s=0.5)


class FakeDevice:
    """Does what its script says with each `advance`."""

    def __init__(self, script: Callable[[int], None]) -> None:
        self._script = script
        self._number = -1
        self.closed = 0

    def advance(self) -> None:
        self._number += 1
        self._script(self._number)

    def picture(self) -> Shot:
        return Shot(numbered_picture(self._number % 256), time.monotonic_ns())

    def close(self) -> None:
        self.closed += 1


class Plan:
    """Opens the devices given, in turn; the last again and again. Exceptions are raised instead."""

    def __init__(self, *openings: FakeDevice | Exception | Callable[[], Device]) -> None:
        self._openings = openings
        self.opened = 0

    def __call__(self) -> Device:
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


def make(plan: Callable[[], Device], states: list[tuple[bool, str]] | None = None, **options: object) -> LiveSource:
    wishes = LiveOptions(**{**{name: getattr(FAST, name) for name in FAST.__slots__}, **options})  # type: ignore[arg-type]
    told = states if states is not None else []
    return LiveSource(
        plan,
        CAMERA,
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
        except SourceError:
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
    source = make(plan, max_stuck=2)
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


@pytest.mark.parametrize("server_type", [RtspServer, MjpegServer])
def test_a_network_camera_stalls_hangs_up_vanishes_and_returns(server_type: type[NetworkCamera]) -> None:
    states: list[tuple[bool, str]] = []
    options = LiveOptions(open_s=5.0, backoff=BackoffPlan(first_s=0.02, cap_s=0.1))
    with server_type(fps=50) as server:
        camera = Camera(uri=server.uri, stall_s=1.0)  # type: ignore[attr-defined]
        source = open_source(camera, on_state=lambda *state: states.append(state), options=options)
        assert isinstance(source, LiveSource)
        read_until(source, lambda: len(states) == 1)
        server.flowing.clear()
        read_until(source, lambda: len(states) == 2)
        assert source.counters["stalled"] == 1
        server.flowing.set()
        read_until(source, lambda: len(states) == 3)
        server.hang_up()
        read_until(source, lambda: len(states) == 5)
        server.vanish()
        read_until(source, lambda: len(states) == 6)
        read_until(source, lambda: source.counters["failed"] >= 4)
        assert len(states) == 6
        server.appear()
        read_until(source, lambda: len(states) == 7)
        source.close()
    assert [online for online, _ in states] == [True, False] * 3 + [True]
    assert all(reason for online, reason in states if not online)


def test_an_unreachable_network_camera_fails_soon() -> None:
    with RtspServer() as server:
        uri = server.uri.replace("//", "//keeper:geheim@")
    with pytest.raises(SourceError) as caught:
        open_source(Camera(uri=uri), first_frame_s=PATIENCE_S)
    assert "geheim" not in str(caught.value)
    assert "cannot be opened" in str(caught.value)


def test_a_raspberry_pi_camera_that_hangs_is_opened_again() -> None:
    board = FakeBoard()
    states: list[tuple[bool, str]] = []
    source = open_source(
        Camera(uri="picamera2:", width_px=160, height_px=120, stall_s=0.5),
        on_state=lambda *state: states.append(state),
        options=FAST,
        libraries=Libraries(picamera2=board),
    )
    assert isinstance(source, LiveSource)
    read_until(source, lambda: len(states) == 1)
    board.flowing.clear()
    read_until(source, lambda: len(states) == 2)
    # The thread left behind still holds the camera: busy, until its request comes.
    read_until(source, lambda: source.counters["failed"] >= 2)
    board.flowing.set()
    read_until(source, lambda: len(states) == 3)
    source.close()
    assert not board.acquired


HANGING = """
    import signal, sys, threading, time
    from edge.capture import LiveOptions, LiveSource
    from edge.config.settings import Camera

    def hang():
        while True:
            time.sleep(60)

    source = LiveSource(hang, Camera(), shown="camera", options=LiveOptions(wait_s=600.0))
    signal.signal(signal.SIGTERM, lambda *_: source.close())
    print("ready", flush=True)
    assert source.read() is None
    print("stopped", flush=True)
"""


def test_a_process_with_a_hanging_camera_stops_when_told() -> None:
    command = [sys.executable, "-c", textwrap.dedent(HANGING)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        try:
            assert process.communicate(timeout=PATIENCE_S)[0] == "stopped\n"
        finally:
            process.kill()
    assert process.returncode == 0


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
