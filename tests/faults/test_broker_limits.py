"""Brokers with limits: full queues, one message at a time, none that is too large, and a certificate that is over."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from edge.config.settings import Mqtt, Tls
from edge.datatypes import Identity
from edge.outbox import Outbox
from edge.publish import MqttPublisher
from tests.support.events import make_event
from tests.support.mosquitto import HOST, Mosquitto, mosquitto, subscriber, wait_for
from tests.support.tls import DAY, Authority

PROTOCOLS = ("5", "3.1.1")


@contextmanager
def publishing(folder: Path, port: int, **mqtt: Any) -> Iterator[MqttPublisher]:
    outbox = Outbox(folder / "outbox.sqlite")
    settings = Mqtt(host=HOST, port=port, **mqtt)
    publisher = MqttPublisher(settings, device="front", camera="porch", outbox=outbox, boot_id="this-boot")
    try:
        yield publisher
    finally:
        publisher.close()


def is_empty(publisher: MqttPublisher) -> bool:
    return not publisher.outbox_state()["depth"]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_subscriber_whose_queue_is_full_costs_the_device_nothing_and_sees_the_gap(
    tmp_path: Path, protocol: str
) -> None:
    limits = ("allow_anonymous true", "max_queued_messages 3", "max_inflight_messages 1")
    with mosquitto(tmp_path / "broker", *limits) as broker, subscriber(broker.port, "ostiary/+/event") as away:
        with publishing(tmp_path, broker.port, protocol=protocol) as publisher:
            assert publisher.wait_connected(15)
            away.leave()
            for _ in range(20):
                publisher.publish(make_event())
            # The broker drops for the one who is away, and nobody is told.
            wait_for(lambda: is_empty(publisher), "the broker to have taken all")
            assert publisher.outbox_state()["dropped"] == publisher.counters()["events_refused"] == 0
            away.come_back()
            publisher.publish(make_event())
            wait_for(lambda: any(one.data["seq"] == 21 for one in away.heard), "the newest event")
        heard = [one.data["seq"] for one in away.heard]
        assert heard == sorted(heard)
        assert len(heard) < 21


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_broker_that_takes_one_message_at_a_time_gets_all_in_order(tmp_path: Path, protocol: str) -> None:
    limits = ("allow_anonymous true", "max_inflight_messages 1", "max_queued_messages 1000")
    with mosquitto(tmp_path / "broker", *limits) as broker, subscriber(broker.port, "ostiary/+/event") as listening:
        with publishing(tmp_path, broker.port, protocol=protocol) as publisher:
            for _ in range(25):
                publisher.publish(make_event())
            wait_for(lambda: len(listening.heard) == 25, "all events")
            wait_for(lambda: is_empty(publisher), "their acknowledgements")
            assert publisher.counters()["connections"] == 1
        assert [one.data["seq"] for one in listening.heard] == list(range(1, 26))


def test_an_event_at_which_the_broker_hangs_up_does_not_hold_up_the_others(tmp_path: Path) -> None:
    too_long = Identity("01J00000000000000000000ADA", "x" * 3000)
    limits = ("allow_anonymous true", "message_size_limit 2000")
    with mosquitto(tmp_path / "broker", *limits) as broker, subscriber(broker.port) as listening:  # noqa: SIM117 - one line would be too long
        with publishing(tmp_path, broker.port) as publisher:
            assert publisher.wait_connected(15)
            for identity in (None, too_long, None, None):
                publisher.publish(make_event(identity=identity))
            expected = {1, 3, 4}
            wait_for(
                lambda: {one.data["seq"] for one in listening.heard if one.data and "seq" in one.data} >= expected,
                "the others",
            )
            wait_for(lambda: publisher.outbox_state()["depth"] == 1, "their acknowledgements")
            assert publisher.outbox_state()["dropped"] == 0


def certified(folder: Path, authority: Authority, name: str, **validity: Any) -> tuple[str, ...]:
    pair = authority.issue(name, **validity)
    return (f"cafile {authority.ca}", f"certfile {pair.cert}", f"keyfile {pair.key}")


def test_events_wait_for_a_certificate_to_be_renewed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    authority = Authority(tmp_path / "ca")
    expired = certified(tmp_path, authority, "expired", first=-3 * DAY, last=-DAY)
    wrong_host = certified(tmp_path, authority, "wronghost", host="broker.example")
    broker = Mosquitto(tmp_path / "broker", listener_options=expired)
    with caplog.at_level(logging.WARNING):
        try:
            broker.start()
            tls = Tls(enabled=True, ca_file=authority.ca)
            with publishing(tmp_path, broker.port, tls=tls, event_ttl_s=0.5) as publisher:
                publisher.publish(make_event())
                for name, fault in (("expired", "has expired"), ("wronghost", "another host")):
                    wait_for(lambda fault=fault: fault in caplog.text, f"{name} to be told")
                    assert publisher.outbox_state()["depth"] == 1
                    broker.stop()
                    broker.listener_options = (
                        wrong_host if name == "expired" else certified(tmp_path, authority, "renewed")
                    )
                    broker.start()
                wait_for(lambda: is_empty(publisher), "the event to be delivered")
                assert publisher.counters()["events_replayed"] == 1
                assert publisher.counters()["events_published"] == 0
        finally:
            broker.stop()
    assert caplog.text.count("its certificate has expired") == 1
