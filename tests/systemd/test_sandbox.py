"""The real daemon under the real units, started by the real service manager."""

from __future__ import annotations

import base64
import json
import shutil
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import yaml

from edge.timebase import rfc3339, wall_clock
from tests.e2e.support import MjpegDoor
from tests.support.mosquitto import HOST, free_port, mosquitto, password_file, subscriber, wait_for
from tests.systemd.box import Box
from tests.systemd.probe import ALLOWED, FORBIDDEN

PROBE = "[Service]\nExecStart=\nExecStart=/usr/lib/ostiary/bin/python /run/box/probe.py {0}\n"
FOUND = "/var/lib/ostiary/probe/found.json"
PASSWORD = "correct horse"  # noqa: S105 - of a test's broker
KEY = base64.b64encode(bytes(range(32))).decode()


def configured(box: Box, name: str = "ostiary", **sections: Any) -> None:
    box.write(f"/etc/ostiary/{name}.yaml", yaml.safe_dump(sections))


@pytest.fixture(scope="module")
def outcome(installed: Box) -> dict[str, Any]:
    """What the probe found out in the sandbox of ostiary@.service."""
    for name in ("mqtt-password", "probe.mqtt-password"):
        installed.write(f"/etc/ostiary/{name}", PASSWORD, 0o600, "root")
    installed.write("/run/systemd/timesync/synchronized", "", 0o644, "root")
    installed.write("/dev/camera-group", "seen", 0o640, "video")
    installed.write("/tmp/made-by-somebody", "", 0o644, "root")  # noqa: S108 - of the box
    installed.drop_in("ostiary@probe.service", PROBE.format(FOUND))
    assert installed.start_unit("ostiary@probe").returncode == 0
    assert installed.wait_for_state("ostiary@probe", "inactive", "failed")["Result"] == "success"
    found: dict[str, Any] = json.loads(installed.run("cat", FOUND).stdout)
    return found


@pytest.mark.parametrize("name", FORBIDDEN)
def test_it_cannot(outcome: dict[str, Any], name: str) -> None:
    assert outcome[name].get("refused") in {"EPERM", "EACCES", "EROFS", "EAFNOSUPPORT", "ENOENT"}, outcome[name]


EXPECTED: dict[str, Any] = {
    "own state": [1, 1], "mode of own files": "0o600", "a file of the group video": "seen", "credential": PASSWORD,
    "absent credential": "\n", "clock": True, "camera hotplug": True, "names": True, "processors": True, "memory": True, "user": True,
    "capabilities": [0, 0, 0, 0], "no new privileges": "1", "seccomp": "2", "core dumps": [0, 0],
}  # fmt: skip


@pytest.mark.parametrize("name", ALLOWED)
def test_it_can(outcome: dict[str, Any], name: str) -> None:
    assert "gives" in outcome[name], outcome[name]
    assert outcome[name]["gives"] == EXPECTED.get(name, outcome[name]["gives"])


def test_it_sees_nothing_of_others_in_tmp(outcome: dict[str, Any]) -> None:
    assert "made-by-somebody" not in outcome["others' files in /tmp"]["gives"]


def test_without_the_rest_of_proc_the_boot_has_no_name(installed: Box) -> None:
    """What ProcSubset=pid would take away is not worth a fault."""
    installed.drop_in("ostiary@probe.service", PROBE.format(FOUND) + "ProcSubset=pid\n")
    assert installed.start_unit("ostiary@probe").returncode == 0
    assert installed.wait_for_state("ostiary@probe", "inactive", "failed")["Result"] == "success"
    found = json.loads(installed.run("cat", FOUND).stdout)
    assert found["boot id"] == {"gives": "unknown"}
    assert found["memory"] == {"gives": True}
    assert found["processors"] == {"refused": "ENOENT"}


def visit(box: Box, picture: Path) -> str:
    """Pictures of somebody who stands at the door, as the box sees their folder."""
    folder = box.folder / "visit"
    folder.mkdir(exist_ok=True)
    for number in range(8):
        shutil.copy(picture, folder / f"{number}.jpg")
    return "/run/box/visit"


def test_a_visitor_is_told_and_the_run_ends_well(installed: Box, tmp_path: Path, hopper_file: Path) -> None:
    """With an encrypted gallery and a broker's password that both come as credentials."""
    users = password_file(tmp_path / "users", "door", PASSWORD)
    installed.write("/etc/ostiary/mqtt-password", f"{PASSWORD}\n", 0o600, "root")
    installed.write("/etc/ostiary/template-key", f"{KEY}\n", 0o600, "root")
    with (
        mosquitto(tmp_path / "broker", "allow_anonymous true", f"password_file {users}") as broker,
        subscriber(broker.port) as listening,
    ):
        mqtt = {"host": HOST, "port": broker.port, "username": "door"}
        configured(installed, camera={"uri": visit(installed, hopper_file)}, mqtt=mqtt, device={"name": "front"})
        installed.ostiaryctl("enroll", "--name", "Grace Hopper", "/run/box/visit/0.jpg")
        started = installed.start_unit("ostiary")
        assert started.returncode == 0, started.stderr
        ended = installed.wait_for_state("ostiary", "inactive", "failed")
        wait_for(lambda: listening.on("/event"), "the event")
        assert "u'door'" in broker.log
    assert (ended["Result"], ended["ExecMainStatus"], ended["NRestarts"]) == ("success", "0", "0")
    [event] = [one.data for one in listening.on("/event")]
    assert (event["event_type"], event["identity"]["name"]) == ("recognized", "Grace Hopper")
    gallery = installed.run("stat", "-c", "%U %a", "/var/lib/ostiary/gallery.sqlite").stdout
    assert gallery.split() == ["ostiary", "600"]
    names = installed.run("grep", "-c", "Hopper", "/var/lib/ostiary/gallery.sqlite").stdout
    assert names.strip() == "0"
    told = [(row["PRIORITY"], row["MESSAGE"]) for row in installed.journal("ostiary")]
    assert any(priority == "6" and message.startswith("recognized: Grace Hopper") for priority, message in told)
    assert all(PASSWORD not in message and KEY not in message for _, message in told)
    installed.run("sh", "-c", "rm -r /var/lib/ostiary/* /etc/ostiary/template-key")


@pytest.mark.parametrize(
    ("text", "secret", "code", "says"),
    [
        ("camera: [", None, 2, "ostiary.yaml"),
        ("camera: {uri: /run/box}\nbundle: /run/box", None, 4, "manifest.json"),
        ("camera: {uri: /run/box}\nmqtt: {enabled: false}", "no key", 2, "template-key"),
    ],
    ids=["configuration", "bundle", "key"],
)
def test_what_stays_wrong_ends_it_for_good(installed: Box, text: str, secret: str | None, code: int, says: str) -> None:
    installed.write("/etc/ostiary/ostiary.yaml", text)
    if secret is not None:
        installed.write("/etc/ostiary/template-key", secret, 0o600, "root")
    installed.start_unit("ostiary")
    ended = installed.wait_for_state("ostiary", "failed")
    installed.run("rm", "-f", "/etc/ostiary/template-key")
    assert (ended["ExecMainStatus"], ended["NRestarts"], ended["SubState"]) == (str(code), "0", "failed")
    told = installed.journal("ostiary", "-p", "err", f"_SYSTEMD_INVOCATION_ID={ended['InvocationID']}")
    assert any(says in row["MESSAGE"] for row in told), told


@pytest.mark.parametrize(("number", "result"), [("KILL", "signal"), (None, "watchdog")])
def test_what_dies_or_hangs_is_started_again(installed: Box, number: str | None, result: str) -> None:
    unit = f"ostiary@{result}"
    installed.drop_in(
        f"{unit}.service",
        PROBE.format("x hang") + "RestartSec=20ms\nWatchdogSec=" + ("200ms" if number is None else "60"),
    )
    assert installed.start_unit(unit).returncode == 0
    if number is not None:
        installed.run("systemctl", "kill", f"--signal={number}", unit)
    again = 'until [ "$(systemctl show -P NRestarts "$0")" != 0 ]; do sleep 0.05; done'
    installed.run("sh", "-c", again, unit, timeout=60)
    installed.run("systemctl", "stop", unit)
    installed.run("journalctl", "--sync")
    told = installed.run("journalctl", "-u", unit, "--no-pager").stdout
    assert f"Failed with result '{result}'" in told


def test_a_camera_is_watched_until_somebody_stops_it(installed: Box, tmp_path: Path) -> None:
    """From the template unit, with a live source, a restart by command in between, and numbers for Prometheus."""
    port = free_port()
    with (
        MjpegDoor() as door,
        mosquitto(tmp_path / "broker") as broker,
        subscriber(broker.port) as listening,
    ):
        configured(
            installed, "porch", device={"name": "porch"}, camera={"uri": door.uri}, publish={"health_interval_s": 0.5},
            mqtt={"host": HOST, "port": broker.port}, metrics={"enabled": True, "port": port},
            gallery="/var/lib/ostiary/shared/gallery.sqlite", outbox={"file": "/var/lib/ostiary/porch/outbox.sqlite"},
        )  # fmt: skip
        assert installed.start_unit("ostiary@porch").returncode == 0
        first = installed.show("ostiary@porch")
        wait_for(lambda: listening.last("/porch/camera/door/status") == b"online", "the camera")
        wait_for(lambda: scraped(port, "ostiary_camera_online") == 1, "a camera in the metrics")
        request = {"request_id": "again", "issued_at": rfc3339(wall_clock())}
        listening.client.publish("ostiary/porch/cmd/restart", json.dumps(request), qos=1)
        wait_for(lambda: listening.last("/cmd/restart/reply"), "the reply")
        wait_for(lambda: [one.payload for one in listening.on("/porch/status")].count(b"online") == 2, "another start")
        wait_for(lambda: listening.last("/porch/camera/door/status") == b"online", "the camera again")
        second = installed.show("ostiary@porch")
        assert (second["MainPID"], second["NRestarts"], second["ActiveState"]) == (first["MainPID"], "0", "active")
        stopped = installed.run("systemctl", "stop", "ostiary@porch")
        assert stopped.returncode == 0
        assert listening.last("/porch/status") == b"offline"
    ended = installed.show("ostiary@porch")
    assert (ended["Result"], ended["ExecMainStatus"], ended["ActiveState"]) == ("success", "0", "inactive")
    rows = installed.journal("ostiary@porch")
    assert sum(row["MESSAGE"].startswith("ready in") for row in rows) == 2
    warned = [row["MESSAGE"] for row in rows if row["PRIORITY"] <= "4"]
    assert warned
    assert all(message.startswith("nobody is enrolled") for message in warned)


def scraped(port: int, name: str) -> float:
    with urllib.request.urlopen(f"http://{HOST}:{port}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    return next(float(line.split()[-1]) for line in lines if line.startswith(f"{name} "))
