"""deploy/mosquitto as it is, with other paths: every door for itself, the home hears all, and nobody is anonymous."""

from __future__ import annotations

import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from edge.config.settings import Mqtt, Tls
from edge.errors import BrokerError
from edge.outbox import Outbox
from edge.publish import MqttPublisher, probe_broker
from tests.support.data import ROOT
from tests.support.events import make_event, make_health
from tests.support.mosquitto import HOST, PATIENCE_S, Mosquitto, wait_for

SOURCE = ROOT / "deploy" / "mosquitto"
NOT_AUTHORISED = 0x87


class Installed(Mosquitto):
    """The configuration of deploy/mosquitto, installed in a folder as README.md says."""

    def __init__(self, folder: Path, changes: dict[str, str] | None = None) -> None:
        super().__init__(folder)
        for tool in ("openssl", "mosquitto_passwd"):
            if shutil.which(tool) is None:
                pytest.skip(f"{tool} is not installed")
        shutil.copy(SOURCE / "ostiary.acl", folder)
        self._run("make-certificates.sh", folder / "certs", "broker", "localhost", HOST)
        self._run("make-certificates.sh", folder / "certs", "device", "front")
        self.passwords = {name: self._run("add-device.sh", name, folder) for name in ("front", "back", "home")}
        self.ca = folder / "certs" / "ca.crt"
        self._changes = {
            "listener 8883": f"listener {self.port} {HOST}\nuser root",
            "/var/lib/mosquitto/": f"{folder}/",
            "/etc/mosquitto/": f"{folder}/",
            **(changes or {}),
        }

    def _run(self, name: str, *arguments: object) -> str:
        done = script(name, *arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def configuration(self) -> str:
        """The file itself, with these changes and no other."""
        text = (SOURCE / "mosquitto.conf").read_text(encoding="utf-8")
        for line, other in self._changes.items():
            assert line in text, line
            text = text.replace(line, other)
        return text


def script(name: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = ["sh", str(SOURCE / name), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installed]:
    made = Installed(tmp_path_factory.mktemp("installed"))
    try:
        made.start()
        yield made
    finally:
        made.stop()


class Client:
    """Somebody with a user, or without, who says and hears."""

    def __init__(self, broker: Installed, user: str | None, password: str | None = None) -> None:
        self.heard: list[tuple[str, bytes]] = []
        self.answers: dict[int, int] = {}
        self.refusal: str = ""
        self._is_open, self._is_subscribed = threading.Event(), threading.Event()
        self.client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5, reconnect_on_failure=False)
        if user is not None:
            self.client.username_pw_set(user, password or broker.passwords[user])
        self.client.tls_set(str(broker.ca))
        self.client.on_connect = self._on_connect
        self.client.on_subscribe = lambda *_: self._is_subscribed.set()
        self.client.on_message = lambda _client, _userdata, one: self.heard.append((one.topic, bytes(one.payload)))
        self.client.on_publish = self._on_publish
        self.client.connect(HOST, broker.port)
        self.client.loop_start()
        assert self._is_open.wait(PATIENCE_S)

    def _on_connect(self, _client: Any, _userdata: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        self.refusal = str(reason) if reason.is_failure else ""
        self._is_open.set()

    def _on_publish(self, _client: Any, _userdata: Any, mid: int, reason: Any, _properties: Any) -> None:
        self.answers[mid] = reason.value

    def listen(self, topic: str) -> None:
        self.client.subscribe(topic, 1)
        assert self._is_subscribed.wait(PATIENCE_S)

    def may_say(self, topic: str, payload: bytes = b"forged", *, retain: bool = False) -> bool:
        """Whether the broker takes it."""
        mid = self.client.publish(topic, payload, 1, retain).mid
        wait_for(lambda: mid in self.answers, f"an answer about {topic}")
        return self.answers[mid] != NOT_AUTHORISED

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


@pytest.fixture
def enter(broker: Installed) -> Iterator[Callable[..., Client]]:
    made: list[Client] = []

    def build(*arguments: str | None) -> Client:
        made.append(Client(broker, *arguments))
        return made[-1]

    yield build
    for one in made:
        one.close()


def settings(broker: Installed, user: str, folder: Path, **fields: Any) -> Mqtt:
    secret = folder / f"{user}-password"
    secret.write_text(broker.passwords[user], encoding="utf-8")
    secret.chmod(0o600)
    tls = Tls(enabled=True, ca_file=broker.ca)
    return Mqtt(host=HOST, port=broker.port, username=user, password_file=secret, tls=tls, **fields)


@contextmanager
def publishing(broker: Installed, folder: Path, protocol: str) -> Iterator[MqttPublisher]:
    mqtt = settings(broker, "front", folder, protocol=protocol)
    outbox = Outbox(folder / "outbox.sqlite")
    publisher = MqttPublisher(mqtt, device="front", camera="porch", outbox=outbox, snapshots=True, boot_id="this-boot")
    try:
        assert publisher.wait_connected(PATIENCE_S)
        yield publisher
    finally:
        publisher.close()


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_a_door_may_do_all_that_it_does_and_only_the_home_hears(
    broker: Installed, tmp_path: Path, enter: Callable[..., Client], protocol: str
) -> None:
    home, back = enter("home"), enter("back")
    home.listen("ostiary/#")
    back.listen("#")
    with publishing(broker, tmp_path, protocol) as publisher:
        publisher.publish(make_event())
        publisher.presence(is_present=True)
        publisher.camera_status(is_online=True)
        publisher.health(make_health())
        publisher.snapshot(b"\xff\xd8\xff")
        publisher.reply(publisher.topics.command_reply("snapshot"), {"ok": True})
        expected = {
            "status", "camera/porch/status", "presence", "enabled", "event", "health", "snapshot", "cmd/snapshot/reply",
        }  # fmt: skip
        wait_for(lambda: {topic.removeprefix("ostiary/front/") for topic, _ in home.heard} >= expected, "every topic")
        assert home.may_say("ostiary/front/enabled/set", b"OFF")
        wait_for(lambda: ("ostiary/front/enabled", b"OFF") in home.heard, "the switch to be obeyed")
        wait_for(lambda: publisher.outbox_state()["depth"] == 0, "an empty outbox")
        assert publisher.counters()["events_refused"] == 0
    assert [topic for topic, _ in back.heard if topic.startswith("ostiary/")] == []


OWN = (
    "status",
    "camera/porch/status",
    "event",
    "history",
    "presence",
    "health",
    "snapshot",
    "enabled",
    "cmd/list/reply",
)


@pytest.mark.parametrize("end", [*OWN, "cmd/list", "enabled/set"])
def test_no_door_speaks_for_another(enter: Callable[..., Client], end: str) -> None:
    back = enter("back")
    assert not back.may_say(f"ostiary/front/{end}")
    assert back.may_say(f"ostiary/back/{end}") is (end in OWN)


def test_no_door_hears_of_another(enter: Callable[..., Client]) -> None:
    front, back, home = enter("front"), enter("back"), enter("home")
    for topic in ("#", "ostiary/#", "ostiary/back/cmd/+", "ostiary/back/enabled/set", "ostiary/back/event"):
        front.listen(topic)
    assert back.may_say("ostiary/back/event", b"private")
    assert home.may_say("ostiary/back/cmd/list", b"private")
    assert home.may_say("ostiary/back/enabled/set", b"private")
    assert home.may_say("homeassistant/secret", b"private")
    # What is heard comes in order: after its own, nothing that was said before can follow.
    assert home.may_say("ostiary/front/cmd/list", b"own")
    assert home.may_say("homeassistant/status", b"online")
    wait_for(lambda: ("homeassistant/status", b"online") in front.heard, "what concerns it")
    assert set(front.heard) == {("ostiary/front/cmd/list", b"own"), ("homeassistant/status", b"online")}


@pytest.mark.parametrize(
    ("user", "topic", "is_allowed"),
    [
        ("front", "homeassistant/device/ostiary-front/config", True),
        ("front", "homeassistant/device/ostiary-back/config", False),
        ("front", "homeassistant/status", False),
        ("front", "homeassistant/lock/front/set", False),
        ("front", "other/topic", False),
        ("front", "ostiary/front", False),
        ("home", "ostiary/front/cmd/list", True),
        ("home", "homeassistant/status", True),
        # Nobody but a door says that somebody is at it.
        ("home", "ostiary/front/event", False),
        ("home", "ostiary/front/history", False),
        ("home", "ostiary/front/status", False),
        ("home", "ostiary/front/cmd/list/reply", False),
    ],
)
def test_roles(enter: Callable[..., Client], user: str, topic: str, is_allowed: bool) -> None:  # noqa: FBT001
    assert enter(user).may_say(topic, b"") is is_allowed


@pytest.mark.parametrize(("user", "password"), [(None, None), ("front", "guessed"), ("stranger", "x")])
def test_nobody_else_comes_in(enter: Callable[..., Client], user: str | None, password: str | None) -> None:
    assert "Not authorized" in enter(user, password).refusal


def test_nothing_is_said_in_the_clear(broker: Installed, tmp_path: Path) -> None:
    with pytest.raises(BrokerError):
        probe_broker(Mqtt(host=HOST, port=broker.port))
    with pytest.raises(BrokerError, match="not trusted"):
        probe_broker(Mqtt(host=HOST, port=broker.port, tls=Tls(enabled=True)))
    probe_broker(settings(broker, "front", tmp_path))


def test_with_certificates_demanded_a_devices_own_lets_it_in(tmp_path: Path) -> None:
    made = Installed(tmp_path / "strict", {"require_certificate false": "require_certificate true"})
    try:
        made.start()
        front = settings(made, "front", tmp_path)
        with pytest.raises(BrokerError, match="certificate"):
            probe_broker(front)
        folder = made.ca.parent
        tls = Tls(enabled=True, ca_file=made.ca, cert_file=folder / "front.crt", key_file=folder / "front.key")
        own = Mqtt(host=HOST, port=made.port, username="front", password_file=front.password_file, tls=tls)
        probe_broker(own)
    finally:
        made.stop()


@pytest.mark.parametrize("name", ["", "a/b", "+", "front#", "two words", "%u"])
def test_a_name_that_would_be_more_than_a_name_is_refused(tmp_path: Path, name: str) -> None:
    done = script("add-device.sh", name, tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert list(tmp_path.iterdir()) == []


def test_a_new_password_adds_no_second_rule_and_nobody_else_reads_the_secrets(tmp_path: Path) -> None:
    if shutil.which("mosquitto_passwd") is None or shutil.which("openssl") is None:
        pytest.skip("mosquitto_passwd or openssl is not installed")
    shutil.copy(SOURCE / "ostiary.acl", tmp_path)
    first, second = (script("add-device.sh", "front", tmp_path).stdout.strip() for _ in range(2))
    assert len(first) == len(second) == 48
    assert first != second
    rules = (tmp_path / "ostiary.acl").read_text(encoding="utf-8")
    assert rules.count("user front\n") == rules.count("homeassistant/device/ostiary-front/config") == 1
    assert script("make-certificates.sh", tmp_path / "ca", "broker", "localhost", "::1").returncode == 0
    modes = {one.name: one.stat().st_mode & 0o777 for one in [*tmp_path.iterdir(), *(tmp_path / "ca").iterdir()]}
    for secret in ("ostiary.users", "ca.key", "broker.key"):
        assert modes[secret] == 0o600
    assert script("make-certificates.sh", tmp_path / "ca", "nonsense", "x").returncode == 2
