"""The daemon before cameras that fail: frozen, hung, away, and never coming back from a call."""

from __future__ import annotations

import contextlib
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edge.datatypes import Image
from tests.e2e.support import MjpegDoor, daemon, mqtt
from tests.support.mosquitto import Mosquitto, Subscriber, subscriber, wait_for
from tests.support.stuck_camera import stuck_daemon


def camera_of(listening: Subscriber) -> dict[str, Any]:
    """As the newest health tells it."""
    reports = listening.on("/health")
    return reports[-1].data["camera"] if reports else {}


def is_told(listening: Subscriber, status: bytes, picture: str) -> Callable[[], bool]:
    def told() -> bool:
        return listening.last("camera/porch/status") == status and camera_of(listening).get("picture") == picture

    return told


def test_a_camera_that_says_nothing_at_first_and_freezes_later(
    tmp_path: Path, broker: Mosquitto, hopper: Image, hopper_file: Path
) -> None:
    with MjpegDoor() as door, subscriber(broker.port) as listening:
        # It takes connections, and says nothing on them.
        door.speaking.clear()
        with daemon(
            tmp_path / "box", pictures={"Grace Hopper": hopper_file},
            camera={"uri": door.uri, "frozen_s": 0.6}, mqtt=mqtt(broker.port),
        ) as running:  # fmt: skip
            wait_for(lambda: len(listening.on("/health")) >= 3, "health, again and again")
            assert is_told(listening, b"offline", "ok")()
            assert listening.last("front/status") == b"online"
            assert camera_of(listening)["online"] is False
            door.speaking.set()
            wait_for(is_told(listening, b"online", "ok"), "the camera")
            door.show(hopper)
            running.wait_for_log("recognized: ")
            door.frozen = True
            wait_for(is_told(listening, b"offline", "frozen"), "a frozen picture")
            # Opened anew it shows the same: whoever stood there when it froze is not let in again.
            connections = door.connections
            wait_for(lambda: door.connections > connections or camera_of(listening)["reopened"], "the next opening")
            until = door.sent + 20
            wait_for(lambda: door.sent >= until, "20 more of it")
            assert running.log.count("recognized: ") == 1
            door.show(None)
            door.frozen = False
            wait_for(is_told(listening, b"online", "ok"), "a living picture")
            assert running.stop() == 0
        wait_for(lambda: listening.last("front/status") == b"offline", "the farewell")
    assert "the picture has not changed for" in running.log
    assert camera_of(listening)["frozen"] >= 1
    assert "Traceback" not in running.log


def test_a_call_that_never_returns_ends_in_a_restart_by_the_service_manager(tmp_path: Path) -> None:
    with stuck_daemon(tmp_path) as (process, manager):
        assert manager.recv(200).startswith(b"READY=1")
        _, log = process.communicate(timeout=60)
        # While it tries again and again, the watchdog does not bite.
        fed = drained(manager)
    assert process.returncode == 3
    assert "frames arrive" in log
    assert "offline: no frame for 0." in log
    assert "a call to the camera has not come back for" in log
    assert "Only a new process frees the camera" in log
    assert "Traceback" not in log
    assert fed.count(b"WATCHDOG=1") >= 3


def test_a_call_that_never_returns_does_not_keep_it_from_ending(tmp_path: Path) -> None:
    with stuck_daemon(tmp_path, give_up_s=0) as (process, manager):
        assert manager.recv(200).startswith(b"READY=1")
        assert process.stderr is not None
        while "offline" not in process.stderr.readline():
            pass
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
    assert process.returncode == 0


def drained(manager: socket.socket) -> list[bytes]:
    """What was sent and not read yet."""
    manager.setblocking(False)  # noqa: FBT003 - the library's signature
    heard = []
    with contextlib.suppress(BlockingIOError):
        while True:
            heard.append(manager.recv(200))
    return heard
