"""The publisher against the real mosquitto, in both protocols."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edge.config.settings import Mqtt, Settings, Tls
from edge.errors import ConfigError
from edge.outbox import Outbox
from edge.publish import MqttPublisher, open_publisher
from tests.support.events import make_event, make_health
from tests.support.mosquitto import HOST, Mosquitto, free_port, mosquitto, password_file, subscriber, wait_for
from tests.support.tls import Authority

JPEG = b"\xff\xd8\xff\xe0picture"
Make = Callable[..., MqttPublisher]
_names = (f"client-{number}" for number in itertools.count())


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    with mosquitto(tmp_path_factory.mktemp("broker")) as running:
        yield running


@pytest.fixture(params=["5", "3.1.1"])
def protocol(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def make(tmp_path: Path, broker: Mosquitto, protocol: str) -> Iterator[Make]:
    made: list[MqttPublisher] = []

    def build(*, base: str = "ostiary", snapshots: bool = False, **mqtt: Any) -> MqttPublisher:
        fields = {
            "host": HOST,
            "port": broker.port,
            "protocol": protocol,
            "client_id": next(_names),
            "base_topic": base,
        }
        outbox = Outbox(tmp_path / f"outbox-{len(made)}.sqlite")
        made.append(
            MqttPublisher(
                Mqtt(**{**fields, **mqtt}), device="front", camera="porch", outbox=outbox, snapshots=snapshots,
                boot_id="this-boot",
            )
        )  # fmt: skip
        return made[-1]

    yield build
    for publisher in made:
        publisher.close()


def test_events_arrive_in_order_live_with_latency_and_unretained(make: Make, broker: Mosquitto, protocol: str) -> None:
    with subscriber(broker.port, "ostiary/front/event") as listening:
        publisher = make()
        for _ in range(30):
            publisher.publish(make_event())
        wait_for(lambda: len(listening.heard) == 30, "30 events")
    assert [one.data["seq"] for one in listening.heard] == list(range(1, 31))
    assert {(one.retained, one.qos) for one in listening.heard} == {(False, 1)}
    for one in listening.heard:
        assert one.data["age_ms"] + 0.1 >= one.data["latency_ms"]["publish"] >= 0
    expected = {"MessageExpiryInterval": 4, "ContentType": "application/json"} if protocol == "5" else {}
    assert listening.heard[0].properties == expected
    wait_for(lambda: publisher.outbox_state()["depth"] == 0, "an empty outbox")
    assert publisher.counters()["events_published"] == 30


def test_a_late_subscriber_hears_states_but_no_event(make: Make, broker: Mosquitto) -> None:
    publisher = make(base="late", snapshots=True)
    assert publisher.wait_connected(10)
    publisher.camera_status(is_online=True)
    publisher.presence(is_present=True)
    publisher.health(make_health())
    with subscriber(broker.port, "late/#", is_checking=False) as first:
        publisher.publish(make_event())
        publisher.snapshot(JPEG)
        wait_for(lambda: first.last("/event") and first.last("/snapshot") == JPEG and first.last("/health"), "all")
    with subscriber(broker.port, "late/#", is_checking=False) as late:
        wait_for(lambda: len(late.heard) == 5, "five retained states")
    assert {one.topic: one.payload for one in late.heard if not one.topic.endswith("/health")} == {
        "late/front/status": b"online",
        "late/front/camera/porch/status": b"online",
        "late/front/presence": b"ON",
        "late/front/enabled": b"ON",
    }
    assert all(one.retained for one in late.heard)


def test_a_clean_end_says_goodbye_after_the_last_event(make: Make, broker: Mosquitto) -> None:
    with subscriber(broker.port) as listening:
        publisher = make()
        publisher.presence(is_present=True)
        for _ in range(5):
            publisher.publish(make_event())
        publisher.close()
        publisher.close()
        wait_for(lambda: listening.last("front/status") == b"offline", "offline")
    assert len(listening.on("/event")) == 5
    assert listening.heard[-1].topic == "ostiary/front/status"
    assert listening.last("camera/porch/status") == b"offline"
    assert listening.last("/presence") == b"OFF"


def test_enabled_is_switched_by_others_and_echoed(make: Make, broker: Mosquitto) -> None:
    with subscriber(broker.port) as listening:
        publisher = make()
        assert publisher.wait_connected(10)
        listening.client.publish("ostiary/front/enabled/set", b"OFF", 1)
        wait_for(lambda: listening.last("front/enabled") == b"OFF", "OFF echoed")
        assert not publisher.is_enabled
        publisher.publish(make_event())
        listening.client.publish("ostiary/front/enabled/set", b"ON", 1)
        wait_for(lambda: listening.last("front/enabled") == b"ON", "ON echoed")
        assert publisher.is_enabled
        wait_for(lambda: listening.on("/event"), "an event that was told while it was off")


def test_hostile_commands_are_ignored_and_counted(make: Make, broker: Mosquitto, protocol: str) -> None:
    hostile = [b"", b"on", b"OFF ", b"\xff\x00\xfe", b"[" * 60_000, b"OFF" * 25_000, b"x" * 1_300_000]
    with subscriber(broker.port, "hostile/#", is_checking=False) as listening:
        publisher = make(base="hostile")
        assert publisher.wait_connected(10)
        for payload in hostile:
            listening.client.publish("hostile/front/enabled/set", payload, 1)
        # The largest packet is kept back by an MQTT 5 broker, as we asked of it.
        expected = len(hostile) - (1 if protocol == "5" else 0)
        wait_for(lambda: publisher.counters()["commands_ignored"] == expected, "all ignored")
        assert publisher.is_enabled
        listening.client.publish("hostile/front/enabled/set", b"OFF", 1)
        wait_for(lambda: not publisher.is_enabled, "a sound command after the hostile ones")
    assert publisher.counters()["thread_faults"] == 0


def test_a_retained_command_is_never_obeyed(make: Make, broker: Mosquitto) -> None:
    with subscriber(broker.port, "stale/#", is_checking=False) as listening:
        listening.client.publish("stale/front/enabled/set", b"OFF", 1, retain=True).wait_for_publish(10)
        publisher = make(base="stale")
        wait_for(lambda: publisher.counters()["commands_ignored"] == 1, "it to be ignored")
        assert publisher.is_enabled


def test_a_handler_that_fails_does_not_end_publishing(make: Make, broker: Mosquitto) -> None:
    def fail(_: bytes) -> None:
        raise RuntimeError("boom")

    with subscriber(broker.port) as listening:
        publisher = make()
        publisher.commands.on(publisher.topics.enabled_set, fail)
        assert publisher.wait_connected(10)
        listening.client.publish("ostiary/front/enabled/set", b"OFF", 1)
        wait_for(lambda: publisher.counters()["commands_ignored"] == 1, "the failure")
        publisher.publish(make_event())
        wait_for(lambda: listening.on("/event"), "an event")
    assert publisher.counters()["connections"] == 1


def test_snapshots_need_leave(make: Make, broker: Mosquitto) -> None:
    with subscriber(broker.port) as listening:
        publisher = make(snapshots=False)
        assert publisher.wait_connected(10)
        publisher.snapshot(JPEG)
        publisher.publish(make_event())
        wait_for(lambda: listening.on("/event"), "an event")
    assert not listening.on("/snapshot")
    assert publisher.counters()["snapshots_dropped"] == 1


def test_tls_with_client_certificate_user_and_password(tmp_path: Path, make: Make) -> None:
    authority = Authority(tmp_path / "ca")
    server, client = authority.issue("server"), authority.issue("client")
    users = password_file(tmp_path / "users", "door", "pässword")
    secret = tmp_path / "password"
    secret.write_text("pässword\n", encoding="utf-8")
    listener = (
        f"cafile {authority.ca}",
        f"certfile {server.cert}",
        f"keyfile {server.key}",
        "require_certificate true",
    )
    inside = free_port()
    plain = ("allow_anonymous true", f"listener {inside} {HOST}", "allow_anonymous true")
    options = ("per_listener_settings true", "allow_anonymous false", f"password_file {users}", *plain[1:])
    with mosquitto(tmp_path / "tls", *options, listener_options=listener) as broker:
        tls = Tls(enabled=True, ca_file=authority.ca, cert_file=client.cert, key_file=client.key)
        with subscriber(inside) as listening:
            publisher = make(port=broker.port, tls=tls, username="door", password_file=secret)
            for _ in range(10):
                publisher.publish(make_event())
            publisher.health(make_health())
            wait_for(lambda: len(listening.on("/event")) == 10 and listening.on("/health"), "events over TLS")
            publisher.close()


def test_a_broker_that_refuses_is_told_once_and_nothing_is_lost(
    tmp_path: Path, make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    users = password_file(tmp_path / "users", "door", "right")
    secret = tmp_path / "password"
    secret.write_text("wrong", encoding="utf-8")
    options = ("allow_anonymous false", f"password_file {users}")
    with mosquitto(tmp_path / "strict", *options) as broker, caplog.at_level(logging.WARNING):
        publisher = make(port=broker.port, username="door", password_file=secret)
        publisher.publish(make_event())
        wait_for(lambda: publisher.counters()["connection_failures"] >= 2, "two attempts")
        assert caplog.text.count("Check mqtt.username and mqtt.password_file") == 1
        assert publisher.outbox_state()["depth"] == 1
        # A password that is put right is taken without a restart.
        secret.write_text("right", encoding="utf-8")
        wait_for(lambda: publisher.outbox_state()["depth"] == 0, "the event to be delivered")


def test_an_event_that_access_rules_forbid_is_kept_and_told(
    tmp_path: Path, make: Make, protocol: str, caplog: pytest.LogCaptureFixture
) -> None:
    rules = tmp_path / "acl"
    rules.write_text("topic readwrite ostiary/front/status\n", encoding="utf-8")
    with (
        mosquitto(tmp_path / "acl-broker", "allow_anonymous true", f"acl_file {rules}") as broker,
        caplog.at_level(logging.WARNING),
    ):
        publisher = make(port=broker.port)
        publisher.publish(make_event())
        if protocol == "3.1.1":
            # This version has no word for it: the broker acknowledges, and drops.
            wait_for(lambda: publisher.outbox_state()["depth"] == 0, "the acknowledgement")
            return
        wait_for(lambda: publisher.counters()["events_refused"] == 1, "the refusal")
        assert publisher.outbox_state()["depth"] == 1
        assert "refuses an event: Not authorized" in caplog.text


def test_two_boxes_with_one_client_id_are_told(make: Make, caplog: pytest.LogCaptureFixture, protocol: str) -> None:
    with caplog.at_level(logging.WARNING):
        first = make(client_id=f"same-{protocol}")
        assert first.wait_connected(10)
        make(client_id=f"same-{protocol}", base="elsewhere")
        wait_for(lambda: first.counters()["connection_failures"] >= 1, "the first to be pushed out")
    assert "mqtt.client_id" in caplog.text


def test_faulty_files_are_told_before_anything_starts(tmp_path: Path) -> None:
    outbox = tmp_path / "outbox.sqlite"
    for faulty, key in (
        (Mqtt(username="door", password_file=tmp_path / "nowhere"), "mqtt.password_file"),
        (Mqtt(tls=Tls(enabled=True, ca_file=tmp_path / "nowhere")), "mqtt.tls.ca_file"),
    ):
        with pytest.raises(ConfigError, match=key):
            open_publisher(Settings(mqtt=faulty), outbox)
    # The outbox was let go of, each time.
    open_publisher(Settings(mqtt=Mqtt(enabled=False)), outbox).close()


def test_the_end_is_bounded_without_a_broker(make: Make) -> None:
    publisher = make(port=free_port())
    publisher.publish(make_event())
    wait_for(lambda: publisher.counters()["connection_failures"], "a failure")
    publisher.close(timeout_s=3.0)
    assert not publisher._thread.is_alive()
