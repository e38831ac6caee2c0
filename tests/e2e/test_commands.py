"""The real daemon, a real broker, and signed orders: obeyed once, remembered over kill -9, and nobody else's."""

from __future__ import annotations

import json
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from edge.commands.asking import Command, make_command
from edge.commands.signature import PrivateKey, new_key, public_key
from edge.datatypes import Image
from edge.gallery import open_any_gallery
from edge.publish.topics import Topics
from tests.e2e.support import DEVICE, DaemonProcess, MjpegDoor, daemon, mqtt
from tests.support.mosquitto import Mosquitto, Subscriber, subscriber, wait_for

TOPICS = Topics("ostiary", DEVICE)
KEY = new_key("owner")


@dataclass
class Box:
    """A running daemon, and an owner beside it."""

    running: DaemonProcess
    listening: Subscriber
    broker: Mosquitto

    def wait_listening(self, times: int = 1) -> None:
        """Until the daemon, started for the `times`th time, has subscribed to everything."""
        wait_for(lambda: self.broker.log.count("/cmd/unlocking (QoS 1)") >= times, "its subscriptions")

    def send(self, command: Command) -> None:
        self.listening.client.publish(TOPICS.command(command.verb), command.payload, 1)

    def replies(self, command: Command) -> list[Any]:
        topic = TOPICS.command_reply(command.verb)
        found = [json.loads(one.payload) for one in self.listening.heard if one.topic == topic]
        return [one for one in found if one["request_id"] == command.request_id]

    def order(self, verb: str, key: PrivateKey | None = KEY, **arguments: Any) -> Any:
        """Sent, and answered."""
        command = make_command(TOPICS, verb, arguments, key)
        self.send(command)
        wait_for(lambda: self.replies(command), f"a reply to {verb}")
        return self.replies(command)[0]

    def cli(self, *words: object, code: int = 0) -> str:
        command = [sys.executable, "-m", "edge", "command", "--config", self.running.config, *words]
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == code, done.stderr
        return done.stdout + done.stderr


@contextmanager
def box(tmp_path: Path, broker: Mosquitto, uri: str, **sections: Any) -> Iterator[Box]:
    keys = tmp_path / "keys"
    keys.write_text(public_key(KEY).line() + "\n", encoding="utf-8")
    commands = {"keys_file": str(keys), **sections.pop("commands", {})}
    with (
        subscriber(broker.port) as listening,
        daemon(tmp_path / "box", camera={"uri": uri}, mqtt=mqtt(broker.port), commands=commands, **sections) as running,
    ):
        front = Box(running, listening, broker)
        front.wait_listening()
        yield front
        assert "Traceback" not in running.log


@pytest.fixture
def door() -> Iterator[MjpegDoor]:
    with MjpegDoor() as opened:
        yield opened


def test_enrolled_from_afar_recognized_removed_and_enrolled_at_the_door(
    tmp_path: Path, broker: Mosquitto, door: MjpegDoor, bust: Image, collins_file: Path
) -> None:
    key_file = tmp_path / "owner.key"
    key_file.write_text(KEY.line() + "\n", encoding="utf-8")
    with box(tmp_path, broker, door.uri) as front:
        said = front.cli("enrol-picture", "name=Eileen Collins", "--picture", collins_file, "--key", key_file)
        assert "took     picture 1" in said
        door.show(bust)
        front.running.wait_for_log("recognized: Eileen Collins")
        [person] = front.order("list")["result"]["identities"]
        assert (person["name"], person["embeddings"]) == ("Eileen Collins", 1)
        removed = front.order("remove", who=person["id"])
        assert removed["result"] | {"revision": 0} == {
            "id": person["id"], "name": "Eileen Collins", "embeddings": 1, "faces": 0, "is_scrubbed": True, "revision": 0,
        }  # fmt: skip
        # From that answer on, not some moments later.
        door.stay_empty()
        door.show(bust)
        front.running.wait_for_log("unknown: somebody")
        assert front.running.log.count("recognized: ") == 1
        with open_any_gallery(front.running.gallery) as gallery:
            rows = gallery.audit()
        assert [row.action for row in rows] == ["removed", "enrolled"]
        assert {(row.actor.kind, row.actor.name, row.identity_id) for row in rows} == {("mqtt", "owner", person["id"])}
        # She still stands there.
        again = front.order("enrol", name="Eileen Collins", count=1)["result"]
        assert again["identity"]["embeddings"] == len(again["accepted"]) == 1
        front.running.wait_for_log("recognized: Eileen Collins", times=2)


def test_a_restart_keeps_the_process_and_obeys_no_order_twice(
    tmp_path: Path, broker: Mosquitto, door: MjpegDoor
) -> None:
    with box(tmp_path, broker, door.uri) as front:
        process = front.running.process
        assert process is not None
        command = make_command(TOPICS, "restart", {}, KEY)
        front.send(command)
        front.running.wait_for_log("ready in", times=2)
        assert process.poll() is None
        front.wait_listening(times=2)
        assert front.replies(command) == [
            {"request_id": command.request_id, "ok": True, "result": {"restarting": True}}
        ]
        front.send(command)
        wait_for(lambda: len(front.replies(command)) == 2, "the first reply again")
        assert front.replies(command)[1]["result"] == {"restarting": True, "repeated": True}
        assert front.order("list")["ok"]
        assert front.running.log.count("ready in") == 2
        assert front.running.stop() == 0


def test_unlocking_stays_off_over_kill_9_and_needs_the_key_to_come_back(
    tmp_path: Path, broker: Mosquitto, door: MjpegDoor
) -> None:
    with box(tmp_path, broker, door.uri, commands={"unsigned": ["snapshot"]}) as front:
        wait_for(lambda: front.listening.last("front/enabled") == b"ON", "the switch")
        front.listening.client.publish(TOPICS.enabled_set, b"OFF", 1)
        wait_for(lambda: front.listening.last("front/enabled") == b"OFF", "off")
        front.running.stop(signal.SIGKILL)
        heard = len(front.listening.heard)
        front.running.start()
        front.running.wait_for_log("ready in", times=2)
        wait_for(
            lambda: front.listening.heard[heard:] and front.listening.last("front/status") == b"online", "it again"
        )
        front.wait_listening(times=2)
        front.listening.client.publish(TOPICS.enabled_set, b"ON", 1)
        assert front.order("unlocking", None, on=True)["error"]["code"] == "unsigned"
        states = [one.payload for one in front.listening.heard[heard:] if one.topic == TOPICS.enabled]
        assert set(states) <= {b"OFF"}
        assert front.order("unlocking", on=True)["result"] == {"on": True}
        wait_for(lambda: front.listening.last("front/enabled") == b"ON", "on again")
        [journal] = (tmp_path / "box").glob("*-commands.sqlite")
        assert stat.S_IMODE(journal.stat().st_mode) == 0o600


def test_another_bundle_is_proved_linked_and_in_use_after_a_restart(
    tmp_path: Path, broker: Mosquitto, door: MjpegDoor
) -> None:
    import shutil

    from edge.bundle import MANIFEST_NAME, default_bundle_folder

    bundles = tmp_path / "bundles"
    for name in ("one", "two", "broken"):
        shutil.copytree(default_bundle_folder(), bundles / name)
        manifest = json.loads((bundles / name / MANIFEST_NAME).read_text(encoding="utf-8"))
        manifest["bundle_id"] = f"bundle-{name}"
        (bundles / name / MANIFEST_NAME).write_text(json.dumps(manifest), encoding="utf-8")
    (bundles / "broken" / manifest["embedder"]["artifact"]).write_bytes(b"none")
    (bundles / "active").symlink_to("one")
    with box(tmp_path, broker, door.uri, bundles=str(bundles)) as front:
        assert "bundle bundle-one" in front.running.log
        assert front.order("bundle", bundle="broken")["error"]["code"] == "rejected"
        assert front.order("bundle", bundle="three")["error"]["code"] == "refused"
        assert (bundles / "active").readlink() == Path("one")
        made = front.order("bundle", bundle="two")
        assert made["result"] == {"bundle_id": "bundle-two", "previous": "bundle-one", "restarting": True}
        front.running.wait_for_log("bundle bundle-two")
        assert front.running.stop() == 0
