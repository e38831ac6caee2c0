"""How soon the fault of a camera is noticed, and how soon its frames are back: every kind of live source, default settings.

    python -m tests.faults.cameras [--repeat 5] [--longest 20] [--seed 1] [--only NAME]

Network cameras are servers on this machine, read through FFmpeg; V4L2 and Raspberry Pi cameras are stand-ins for
cv2.VideoCapture and picamera2 with their habits in trouble. Each fault lasts up to `--longest` seconds, drawn anew each
time, so that the return falls on every moment between two tries. All kinds run at once: some ten
minutes.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import random
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from edge.capture import Libraries, LiveOptions, LiveSource, open_source
from edge.config.settings import Camera
from edge.errors import SourceError
from tests.support.fake_capture import FakeCaptures
from tests.support.fake_picamera2 import FakeBoard
from tests.support.mjpeg_server import MjpegServer
from tests.support.rtsp_server import NetworkCamera, RtspServer
from tests.support.stuck_camera import stuck_daemon

TICK_S = 0.25
PATIENCE_S = 60.0


@dataclass(frozen=True, slots=True)
class Fault:
    """One way to fail."""

    name: str
    begin: Callable[[], object]
    end: Callable[[], object]


@dataclass(slots=True)
class Row:
    """Seconds until a fault was told, and from its end to the first frame, of every repetition."""

    kind: str
    fault: str
    noticed_s: list[float] = field(default_factory=list)
    back_s: list[float] = field(default_factory=list)

    def __str__(self) -> str:
        def times(values: list[float]) -> str:
            return f"{statistics.median(values):6.2f} {max(values):6.2f}"

        return (
            f"{self.kind:22} {self.fault:34} {len(self.back_s):3}   {times(self.noticed_s)}      {times(self.back_s)}"
        )


class Kind:
    """A live source under test, read as the daemon reads it."""

    def __init__(self, name: str, camera: Camera, libraries: Libraries | None, faults: list[Fault]) -> None:
        self.name = name
        self.faults = faults
        self.is_online = False
        source = open_source(camera, on_state=self._on_state, options=LiveOptions(wait_s=TICK_S), libraries=libraries)
        assert isinstance(source, LiveSource)
        self.source = source

    def _on_state(self, online: bool, _reason: str) -> None:  # noqa: FBT001 - the signature is the source's
        self.is_online = online

    def read_until(self, done: Callable[[bool], bool]) -> float:
        """Read on until `done` says so of whether a frame came; the seconds that took."""
        began_s = time.monotonic()
        while True:
            came = False
            with contextlib.suppress(SourceError):
                came = self.source.read() is not None
            passed_s = time.monotonic() - began_s
            if done(came):
                return passed_s
            if passed_s > PATIENCE_S:
                raise TimeoutError(f"{self.name}: nothing for {PATIENCE_S:g} s; {dict(self.source.counters)}")

    def suffer(self, fault: Fault, lasting_s: float, row: Row) -> None:
        """One repetition."""
        self.read_until(lambda came: came)
        fault.begin()
        row.noticed_s.append(self.read_until(lambda _: not self.is_online))
        until_s = time.monotonic() + lasting_s
        self.read_until(lambda _: time.monotonic() >= until_s)
        fault.end()
        row.back_s.append(self.read_until(lambda came: came and self.is_online))
        # Up for longer than the last wait: the next fault begins with the first delay again.
        up_s = time.monotonic() + 3.0
        self.read_until(lambda _: time.monotonic() >= up_s)


def network(name: str, server_type: Callable[[], NetworkCamera]) -> contextlib.AbstractContextManager[Kind]:
    """Stalls, freezes, dies, and takes connections without a word."""

    @contextlib.contextmanager
    def running() -> Iterator[Kind]:
        with server_type() as server:

            def hang() -> None:
                server.speaking.clear()
                server.hang_up()

            def hang_for_good() -> None:
                server.forgetful = True
                hang()

            def speak_to_others() -> None:
                server.speaking.set()
                server.forgetful = False

            faults = [
                Fault("connection stays, frames stop", server.flowing.clear, server.flowing.set),
                Fault("server killed, started again", server.vanish, server.appear),
                Fault("server hung: accepts, says nothing", hang, server.speaking.set),
                Fault("hung, then killed and started", hang_for_good, lambda: revived(server)),
                Fault("hung for good on old connections", hang_for_good, speak_to_others),
                Fault(
                    "frozen picture", lambda: setattr(server, "frozen", True), lambda: setattr(server, "frozen", False)
                ),
            ]
            kind = Kind(name, Camera(uri=server.uri), None, faults)  # type: ignore[attr-defined]
            yield kind
            kind.source.close()

    return running()


def revived(server: NetworkCamera) -> None:
    """Its process is another one."""
    server.vanish()
    server.forgetful = False
    server.speaking.set()
    server.appear()


@contextlib.contextmanager
def usb() -> Iterator[Kind]:
    """Named by its link in /dev/v4l/by-id; comes back under another number."""
    with tempfile.TemporaryDirectory() as folder:
        link, captures, plugged = Path(folder) / "usb-camera-index0", FakeCaptures(fps=25), [0]

        def plug() -> None:
            node = Path(folder) / f"video{plugged[0]}"
            node.touch()
            link.symlink_to(node)
            plugged[0] += 2
            captures.present.set()

        def unplug() -> None:
            link.unlink()
            captures.present.clear()

        plug()
        faults = [
            Fault("unplugged, plugged in elsewhere", unplug, plug),
            Fault("a read that never returns", captures.flowing.clear, captures.flowing.set),
            Fault(
                "frozen picture", lambda: setattr(captures, "frozen", True), lambda: setattr(captures, "frozen", False)
            ),
        ]
        kind = Kind("V4L2 (stand-in)", Camera(uri=f"v4l2:{link}"), Libraries(capture=captures), faults)
        yield kind
        kind.source.close()


@contextlib.contextmanager
def pi(*, can_cancel: bool) -> Iterator[Kind]:
    """picamera2 before and since 0.3.25."""
    board = FakeBoard(fps=25, can_cancel=can_cancel)
    faults = [
        Fault("requests stop", board.flowing.clear, board.flowing.set),
        Fault("library raises", lambda: setattr(board, "broken", True), lambda: setattr(board, "broken", False)),
        Fault("frozen picture", lambda: setattr(board, "frozen", True), lambda: setattr(board, "frozen", False)),
    ]
    name = "picamera2 (stand-in)" if can_cancel else "old picamera2 (st.-in)"
    camera = Camera(uri="picamera2:", width_px=320, height_px=240)
    kind = Kind(name, camera, Libraries(picamera2=board), faults)
    yield kind
    kind.source.close()


PLACES: dict[str, Callable[[], contextlib.AbstractContextManager[Kind]]] = {
    "RTSP (FFmpeg)": lambda: network("RTSP (FFmpeg)", RtspServer),
    "HTTP MJPEG (FFmpeg)": lambda: network("HTTP MJPEG (FFmpeg)", MjpegServer),
    "V4L2 (stand-in)": usb,
    "picamera2 (stand-in)": lambda: pi(can_cancel=True),
    "old picamera2 (st.-in)": lambda: pi(can_cancel=False),
}


def measure(name: str, repeat: int, longest_s: float, seed: int, only: str) -> list[Row]:
    """Every fault of one kind, again and again."""
    rng, rows = random.Random(f"{seed} {name}"), []  # noqa: S311
    with PLACES[name]() as kind:
        for fault in kind.faults:
            if only.lower() not in f"{kind.name} {fault.name}".lower():
                continue
            row = Row(kind.name, fault.name)
            for _ in range(repeat):
                kind.suffer(fault, rng.uniform(0.0, longest_s), row)
            rows.append(row)
    return rows


def ending_s(*, by_signal: bool) -> float:
    """Seconds that a daemon with a call that never returns takes to end, when told to or when it gives up by itself."""
    with tempfile.TemporaryDirectory() as folder, stuck_daemon(Path(folder), give_up_s=0 if by_signal else 1) as place:
        process, _ = place
        assert process.stderr is not None
        while "offline" not in process.stderr.readline():
            pass
        began_s = time.monotonic()
        if by_signal:
            process.send_signal(signal.SIGTERM)
        process.communicate(timeout=PATIENCE_S)
        assert process.returncode == (0 if by_signal else 3)
        # It has been left behind for camera.give_up_s then.
        return time.monotonic() - began_s - (0.0 if by_signal else 1.0)


def tell_endings(repeat: int) -> None:
    """Two more lines."""
    for title, by_signal in (("ends by itself with code 3", False), ("ends when told to", True)):
        times = [ending_s(by_signal=by_signal) for _ in range(repeat)]
        worst, middle = max(times), statistics.median(times)
        sys.stdout.write(f"a daemon with a stuck call {title:30} {repeat:3}   {middle:6.2f} {worst:6.2f}\n")


def main(arguments: list[str] | None = None) -> int:
    """The table; 1 when a limit was missed."""
    parser = argparse.ArgumentParser(description="Faults of cameras")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--longest", type=float, default=20.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", help="kinds and faults with this in their name")
    options = parser.parse_args(arguments)
    # A process each, as in service: OpenCV opens the streams of one process one after the other.
    with ProcessPoolExecutor(len(PLACES), mp_context=multiprocessing.get_context("spawn")) as pool:
        measured = [
            pool.submit(measure, name, options.repeat, options.longest, options.seed, options.only) for name in PLACES
        ]
        rows = [row for future in measured for row in future.result()]
    sys.stdout.write(f"{'source':22} {'fault':34} {'n':>3}   noticed after s    frames back after s\n")
    sys.stdout.write(f"{'':22} {'':34} {'':>3}   median    max      median    max\n")
    for row in rows:
        sys.stdout.write(f"{row}\n")
    tell_endings(options.repeat)
    return int(not all(is_kept(row) for row in rows))


def is_kept(row: Row) -> bool:
    """Noticed within 3 s (a frozen picture within camera.frozen_s and 1 s), back within 10 s, every time."""
    limit_s = 11.0 if row.fault == "frozen picture" else 3.0
    return max(row.noticed_s) <= limit_s and max(row.back_s) <= 10.0


if __name__ == "__main__":
    sys.exit(main())
