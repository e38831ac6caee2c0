"""deploy/mosquitto/bridge as it is, other names and paths aside: two sites and a centre, each a mosquitto of its own, with TLS and access rules."""

from __future__ import annotations

import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from tests.deploy.test_mosquitto import SOURCE, Installed
from tests.support.mosquitto import HOST, wait_for

BRIDGE = SOURCE / "bridge"
DOORS = {"harbour": ("gate", "office-door"), "mill": ("entrance",)}
UP = {
    "event": "1", "history": "1", "status": "1", "camera/porch/status": "1", "presence": "1", "enabled": "1", "health": "0",
    "cmd/list/reply": "1",
}  # fmt: skip


class Centre(Installed):
    """A broker without doors, with a user for each site."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        shutil.copy(BRIDGE / "centre.acl", folder / "ostiary.acl")
        for user in ("watch", "office"):
            self.passwords[user] = self._password(user)
        for site, doors in DOORS.items():
            self.passwords[f"site-{site}"] = add_site(folder, site, *doors, "@staff")

    def _password(self, user: str) -> str:
        users = self._folder / "ostiary.users"
        subprocess.run(["mosquitto_passwd", "-b", str(users), user, "secret"], check=True, capture_output=True)
        return "secret"


class Site(Installed):
    """A broker with doors, and the bridge."""

    def __init__(self, folder: Path, name: str, centre: Centre) -> None:
        super().__init__(folder)
        for door in DOORS[name]:
            self.passwords[door] = self._run("add-device.sh", door, folder, "staff")
        shutil.copy(centre.ca, folder / "certs" / "centre-ca.crt")
        text = (BRIDGE / "bridge.conf").read_text(encoding="utf-8")
        changes = {
            "broker.centre.example:8883": f"{HOST}:{centre.port}", "HARBOUR": name, "PASSWORD": centre.passwords[f"site-{name}"],
            "restart_timeout 2 30": "restart_timeout 1", "/etc/mosquitto/": f"{folder}/",
        }  # fmt: skip
        for old, new in changes.items():
            assert old in text, old
            text = text.replace(old, new)
        self._bridge = text

    def configuration(self) -> str:
        """Both files, as from conf.d."""
        return f"{super().configuration()}\n{self._bridge}"


def add_site(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["sh", str(BRIDGE / "add-site.sh"), str(folder), *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


class Talker:
    """A user of a broker that says and hears, in MQTT 5; its session is kept when it is persistent."""

    def __init__(self, broker: Installed, user: str, *topics: str, name: str = "") -> None:
        self.heard: list[paho.MQTTMessage] = []
        self._subscribed = False
        self.client = paho.Client(CallbackAPIVersion.VERSION2, name or None, protocol=paho.MQTTv5)
        self.client.username_pw_set(user, broker.passwords[user])
        self.client.tls_set(str(broker.ca))
        self.client.reconnect_delay_set(1, 1)
        self.client.on_message = lambda _client, _userdata, one: self.heard.append(one)
        self.client.on_connect = lambda client, *_: [client.subscribe(topic, 1) for topic in topics]
        self.client.on_subscribe = lambda *_: setattr(self, "_subscribed", True)
        session = Properties(PacketTypes.CONNECT)
        session.SessionExpiryInterval = 600 if name else 0
        self.client.connect(HOST, broker.port, clean_start=not name, properties=session)
        self.client.loop_start()
        wait_for(lambda: self._subscribed if topics else self.client.is_connected(), f"{user} at its broker")

    def say(self, topic: str, payload: str = "x", *, retain: bool = False, expiry_s: int | None = None) -> None:
        """Until the broker has it."""
        properties = Properties(PacketTypes.PUBLISH)
        if expiry_s is not None:
            properties.MessageExpiryInterval = expiry_s
        self.client.publish(topic, payload, 1, retain, properties).wait_for_publish(10)

    def on(self, topic: str) -> list[tuple[str, bool]]:
        """Payloads on that topic, and whether each was retained."""
        return [(one.payload.decode(), bool(one.retain)) for one in self.heard if one.topic == topic]

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


@dataclass(frozen=True, slots=True)
class Brokers:
    """All three, running."""

    centre: Centre
    sites: dict[str, Site]
    open: list[Talker]

    def talker(self, broker: Installed, user: str, *topics: str, **how: Any) -> Talker:
        self.open.append(Talker(broker, user, *topics, **how))
        return self.open[-1]

    def wait_bridged(self) -> None:
        """Until the centre has a connection from each."""
        watch = self.talker(self.centre, "watch", "ostiary-sites/#")
        states = lambda: {one.topic: one.payload for one in watch.heard}  # noqa: E731
        wait_for(lambda: list(states().values()) == [b"1"] * len(self.sites), "every bridge")
        assert set(states()) == {f"ostiary-sites/{name}/bridge" for name in self.sites}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Brokers]:
    folder = tmp_path_factory.mktemp("bridged")
    made = Centre(folder / "centre")
    sites = {name: Site(folder / name, name, made) for name in DOORS}
    try:
        for one in (made, *sites.values()):
            one.start()
        yield Brokers(made, sites, [])
    finally:
        for one in (*sites.values(), made):
            one.stop()


@pytest.fixture
def brokers(running: Brokers) -> Iterator[Brokers]:
    running.wait_bridged()
    yield running
    for talker in running.open:
        talker.close()
    running.open.clear()


def test_what_doors_tell_goes_up_and_nothing_comes_back(brokers: Brokers) -> None:
    harbour = brokers.sites["harbour"]
    watch = brokers.talker(brokers.centre, "watch", "ostiary/#")
    here = brokers.talker(harbour, "home", "ostiary/#")
    there = brokers.talker(brokers.sites["mill"], "home", "ostiary/#")
    gate = brokers.talker(harbour, "gate")
    for end in UP:
        gate.say(f"ostiary/gate/{end}", end)
    gate.say("ostiary/gate/snapshot", "a picture")
    gate.say("ostiary/gate/status", "last")
    wait_for(lambda: len(watch.on("ostiary/gate/status")) == 2, "the last of it at the centre")
    assert {one.topic for one in watch.heard} == {f"ostiary/gate/{end}" for end in UP}
    assert all(len(watch.on(f"ostiary/gate/{end}")) == 1 for end in UP if end != "status")
    # Had it gone round, it would have been heard twice; and another site hears nothing of it.
    wait_for(lambda: len(here.heard) == len(UP) + 2, "the same at home")
    assert there.heard == []


def test_orders_come_down_to_the_site_of_the_door_alone(brokers: Brokers) -> None:
    gate = brokers.talker(brokers.sites["harbour"], "gate", "ostiary/gate/cmd/+", "ostiary/gate/enabled/set")
    mill = brokers.talker(brokers.sites["mill"], "home", "ostiary/#")
    office = brokers.talker(brokers.centre, "office")
    entrance = brokers.talker(brokers.sites["mill"], "entrance", "ostiary/entrance/cmd/+")
    office.say("ostiary/gate/cmd/list", "signed")
    office.say("ostiary/entrance/cmd/list", "signed, too")
    wait_for(lambda: gate.on("ostiary/gate/cmd/list") == [("signed", False)], "the order")
    wait_for(lambda: entrance.on("ostiary/entrance/cmd/list") == [("signed, too", False)], "the other order")
    wait_for(lambda: mill.heard, "the same at home")
    assert {one.topic for one in mill.heard} == {"ostiary/entrance/cmd/list"}
    # What needs no signature is not for the centre: neither its rules nor the bridge let it through.
    office.say("ostiary/gate/enabled/set", "ON")
    office.say("ostiary/gate/cmd/list", "later")
    wait_for(lambda: len(gate.on("ostiary/gate/cmd/list")) == 2, "the order after it")
    assert gate.on("ostiary/gate/enabled/set") == []


def test_people_published_once_reach_every_site_also_one_that_comes_later(brokers: Brokers) -> None:
    mill = brokers.sites["mill"]
    mill.stop()
    office = brokers.talker(brokers.centre, "office")
    office.say("ostiary/gallery/staff/ada", "her faces", retain=True)
    office.say("ostiary/gallery/board/bob", "no site has this group", retain=True)
    mill.start()
    brokers.wait_bridged()
    for site in brokers.sites.values():
        # Retained at the site, too: a door that comes after it gets it.
        wait_for(
            lambda site=site: (
                _retained(brokers, site, "ostiary/gallery/#") == {"ostiary/gallery/staff/ada": "her faces"}
            ),
            "it",
        )
    office.say("ostiary/gallery/staff/ada", "a tombstone", retain=True)
    for site in brokers.sites.values():
        wait_for(
            lambda site=site: (
                _retained(brokers, site, "ostiary/gallery/#") == {"ostiary/gallery/staff/ada": "a tombstone"}
            ),
            "it",
        )


def test_states_stay_retained_at_the_centre_and_events_never_are(brokers: Brokers) -> None:
    gate = brokers.talker(brokers.sites["harbour"], "gate")
    watch = brokers.talker(brokers.centre, "watch", "ostiary/#")
    gate.say("ostiary/gate/status", "online", retain=True)
    gate.say("ostiary/gate/event", "somebody")
    wait_for(lambda: watch.on("ostiary/gate/status") and watch.on("ostiary/gate/event"), "both")
    assert _retained(brokers, brokers.centre, "ostiary/gate/#") == {"ostiary/gate/status": "online"}


def test_a_line_that_was_cut_loses_nothing_and_doubles_nothing(brokers: Brokers) -> None:
    harbour, centre = brokers.sites["harbour"], brokers.centre
    kept = brokers.talker(centre, "watch", "ostiary/+/history", "ostiary/+/event", name="keeper")
    gate = brokers.talker(harbour, "gate")
    gate.say("ostiary/gate/history", "before")
    wait_for(lambda: kept.on("ostiary/gate/history"), "what went before")
    centre.kill()
    for number in range(200):
        gate.say("ostiary/gate/history", str(number))
    # The site's broker goes, too: what waits for the line is on its disk. (Before what is to expire: mosquitto 2.0.11 loses an expiry
    # when it starts within the second in which it ends.)
    harbour.stop()
    harbour.start()
    gate = brokers.talker(harbour, "gate")
    gate.say("ostiary/gate/event", "too late when it comes", expiry_s=1)
    gate.say("ostiary/gate/event", "early enough", expiry_s=600)
    _pass_seconds(2)
    centre.start()
    wait_for(lambda: kept.on("ostiary/gate/event"), "what waited", 60)
    assert [text for text, _ in kept.on("ostiary/gate/history")] == ["before", *map(str, range(200))]
    assert kept.on("ostiary/gate/event") == [("early enough", False)]


def test_a_site_can_say_nothing_for_the_doors_of_another(brokers: Brokers) -> None:
    watch = brokers.talker(brokers.centre, "watch", "ostiary/#")
    thief = brokers.talker(brokers.centre, "site-harbour", "ostiary/#")
    for topic in (
        "ostiary/entrance/event",
        "ostiary/gallery/staff/eve",
        "ostiary/gate/cmd/list",
        "ostiary-sites/mill/bridge",
    ):
        thief.say(topic, "forged")
    thief.say("ostiary/gate/event", "its own")
    wait_for(lambda: watch.on("ostiary/gate/event"), "its own")
    said = [one.topic for one in watch.heard if one.payload == b"forged"]
    assert said == []
    assert all(one.topic.startswith("ostiary/gallery/") for one in thief.heard)


def test_doors_of_a_site_may_change_and_its_password_stays(tmp_path: Path) -> None:
    if shutil.which("mosquitto_passwd") is None:
        pytest.skip("mosquitto_passwd is not installed")
    shutil.copy(BRIDGE / "centre.acl", tmp_path / "ostiary.acl")
    assert len(add_site(tmp_path, "harbour", "gate")) == 48
    assert len(add_site(tmp_path, "mill", "entrance")) == 48
    users = (tmp_path / "ostiary.users").read_bytes()
    assert add_site(tmp_path, "harbour", "office") == ""
    rules = (tmp_path / "ostiary.acl").read_text(encoding="utf-8")
    assert (tmp_path / "ostiary.users").read_bytes() == users
    assert "ostiary/office/event" in rules
    assert "ostiary/gate/" not in rules
    assert rules.count("user site-harbour\n") == rules.count("user site-mill\n") == 1
    assert rules.startswith((BRIDGE / "centre.acl").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", ["", "a/b", "+", "two words", "gallery"])
def test_a_door_of_no_good_name_is_refused(tmp_path: Path, name: str) -> None:
    script = ["sh", str(BRIDGE / "add-site.sh"), str(tmp_path), "harbour", name]
    done = subprocess.run(script, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert list(tmp_path.iterdir()) == []


def _retained(brokers: Brokers, broker: Installed, topic: str) -> dict[str, str]:
    """What somebody who comes now is handed over."""
    user = (
        "watch"
        if broker is brokers.centre
        else next(name for name in broker.passwords if name in sum(DOORS.values(), ()))
    )
    listener = Talker(broker, user, topic)
    try:
        # The answer to a question of its own comes after all that is retained.
        answered = threading.Event()
        listener.client.on_unsubscribe = lambda *_: answered.set()
        listener.client.unsubscribe(topic)
        assert answered.wait(10)
        return {one.topic: one.payload.decode() for one in listener.heard if one.retain}
    finally:
        listener.close()


def _pass_seconds(seconds: float) -> None:
    """Until an expiry of whole seconds is over: nothing else tells that it is."""
    time.sleep(seconds)
