"""Two people come to an emulated box's door, one of whom it knows; a broker on this machine hears of it."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from tests.arm.box import LIMIT_S, STATE, Box
from tests.deploy.package_life import CONFFILE
from tests.support.mosquitto import HOST, Mosquitto, subscriber, wait_for

UNIT = Path("usr/lib/systemd/system/ostiary.service")
DEVICE, CAMERA = "front", "porch"


def configured(door: Box, broker: Mosquitto, clip: Path) -> None:
    """As an administrator would, but for the intervals: the clip is short."""
    settings: dict[str, Any] = {
        "device": {"name": DEVICE},
        "camera": {"name": CAMERA, "uri": door.put(clip, f"/srv/{clip.name}")},
        # What an emulated box tells is late; late events go to /history.
        "mqtt": {"host": HOST, "port": broker.port, "event_ttl_s": 3600},
        "track": {"lost_after_s": 0.5},
        "decide": {"unknown_after_s": 0.6, "give_up_after_s": 0.6, "cool_down_s": 0.0},
    }
    path = door.path(CONFFILE)
    path.write_text(yaml.safe_dump(settings), encoding="utf-8")


def service(door: Box) -> tuple[str, list[str]]:
    """User and command of the unit that the package brought."""
    unit = (door.root / UNIT).read_text(encoding="utf-8")
    found = [re.search(rf"(?m)^{key}=(.*)$", unit) for key in ("User", "ExecStart")]
    user, command = (match[1] for match in found if match)
    return user, command.split()


@contextmanager
def served(door: Box, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The daemon, as the service manager would start it."""
    user, command = service(door)
    surroundings = {**door.surroundings, "STATE_DIRECTORY": STATE, "HOME": STATE}
    with (folder / "daemon.log").open("wb") as log:
        running = subprocess.Popen(
            door.command(*command, user=user), env=surroundings, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    try:
        yield running
    finally:
        running.kill()
        running.wait()


def test_somebody_known_and_a_stranger(
    copy: Box, broker: Mosquitto, clip: Path, busts: dict[str, Path], tmp_path: Path
) -> None:
    configured(copy, broker, clip)
    picture = copy.put(busts["Grace Hopper"], "/srv/hopper.png")
    assert "Grace Hopper" in copy.run("ostiaryctl", "enroll", "--name", "Grace Hopper", picture)
    said = copy.run("ostiaryctl", "check")
    assert said.endswith("all well\n"), said
    # Leaving this context checks every payload against its schema.
    with subscriber(broker.port) as listening:
        with served(copy, tmp_path) as running:
            code = running.wait(LIMIT_S)
        log = (tmp_path / "daemon.log").read_text(encoding="utf-8", errors="replace")
        assert code == 0, log
        wait_for(lambda: listening.last(f"{DEVICE}/status") == b"offline", "the farewell")
    events = [one.data for one in listening.on("/event")]
    told = [(event["event_type"], event["identity"] and event["identity"]["name"]) for event in events]
    assert told == [("recognized", "Grace Hopper"), ("unknown", None)], log
    assert {(event["device"], event["camera"], event["replayed"]) for event in events} == {(DEVICE, CAMERA, False)}
    assert [event["allowed"] for event in events] == [True, False]
    assert events[0]["similarity"] > events[1]["similarity"]


def test_everything_it_keeps_is_for_its_user_alone(copy: Box, busts: dict[str, Path]) -> None:
    copy.run("ostiaryctl", "enroll", "--name", "Grace Hopper", copy.put(busts["Grace Hopper"], "/srv/hopper.png"))
    kept = copy.run("find", STATE, "-printf", "%u:%g %m %y\n").split("\n")[:-1]
    assert len(kept) > 1
    assert set(kept) <= {"ostiary:ostiary 700 d", "ostiary:ostiary 600 f"}, kept


def test_a_wrong_configuration_is_told(copy: Box) -> None:
    copy.path(CONFFILE).write_text("camera: {name: porch, url: none}\n", encoding="utf-8")
    user, command = service(copy)
    said = copy.run(*command, user=user, code=2)
    assert "camera.url" in said
    assert "Traceback" not in said
