"""Two real daemons, one real broker, one publisher: enrolled once, recognized at both; removed once, erased at both."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from edge.datatypes import Image
from edge.gallery import open_any_gallery
from tests.e2e.support import DaemonProcess, MjpegDoor, daemon, mqtt
from tests.support.mosquitto import Mosquitto, Subscriber, subscriber, wait_for

RECOGNIZED = "recognized: Eileen Collins"


def ostiary(*words: object) -> str:
    command = [sys.executable, "-m", "edge", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def sync_of(listening: Subscriber, device: str) -> dict[str, Any]:
    """As the newest health of that box tells it."""
    reports = [one for one in listening.heard if one.topic == f"ostiary/{device}/health"]
    found: dict[str, Any] = reports[-1].data["sync"]["staff"] if reports else {}
    return found


def is_empty_of(running: DaemonProcess, identity_id: str) -> bool:
    """No word of that identity but in the log of changes and in what is remembered of the group."""
    with open_any_gallery(running.gallery) as gallery:
        return not gallery.list_identities() and gallery.audit(who=identity_id)[0].action == "unsynced"


def test_enrolled_once_recognized_at_both_doors_and_erased_at_both(
    tmp_path: Path, broker: Mosquitto, bust: Image, collins_file: Path
) -> None:
    keys, secrets, office = tmp_path / "sync-keys", tmp_path / "sync-secrets", tmp_path / "office.sqlite"
    key = tmp_path / "office.key"
    keys.write_text(ostiary("keys", "new", "office", "--sync-groups", "staff", "-o", key), encoding="utf-8")
    keys.write_text(keys.read_text(encoding="utf-8").splitlines()[0] + "\n", encoding="utf-8")
    ostiary("keys", "group-secret", "staff", "-o", secrets)
    publish = ["gallery", "publish", "--group", "staff", "--key", key, "--secret", secrets, "--gallery", office]
    publish += ["--host", "127.0.0.1", "--port", broker.port, "--config", tmp_path / "office.yaml"]
    (tmp_path / "office.yaml").write_text("{}\n", encoding="utf-8")
    ostiary("enroll", "--gallery", office, "--name", "Eileen Collins", collins_file)
    section = {"groups": ["staff"], "keys_file": str(keys), "secrets_file": str(secrets)}

    def box(name: str, door: MjpegDoor) -> Any:
        sections = {"camera": {"uri": door.uri}, "mqtt": mqtt(broker.port), "sync": section, "device": {"name": name}}
        return daemon(tmp_path / name, **sections)

    with (
        MjpegDoor() as one, MjpegDoor() as two, subscriber(broker.port) as listening,
        box("front", one) as front, box("back", two) as back,
    ):  # fmt: skip
        for door in (one, two):
            door.show(bust)
        said = ostiary(*publish, "--new", "--all")
        assert "group staff: 1 published sealed" in said
        for running in (front, back):
            running.wait_for_log(RECOGNIZED)
        wait_for(lambda: sync_of(listening, "back").get("identities") == 1, "its report")
        assert sync_of(listening, "back")["missing"] == 0
        # One is away while she is removed.
        assert back.stop() == 0
        ostiary(*publish, "--remove", "Eileen Collins")
        front.wait_for_log("1 erased; nothing of them is left")
        back.start()
        back.wait_for_log("1 erased; nothing of them is left")
        with open_any_gallery(office) as gallery:
            [person] = gallery.list_identities()
        assert all(is_empty_of(running, person.id) for running in (front, back))
        wait_for(lambda: sync_of(listening, "front").get("identities") == 0, "its report")
        one.stay_empty()
        one.show(bust)
        front.wait_for_log("unknown: somebody")
        for running in (front, back):
            assert "Traceback" not in running.log
