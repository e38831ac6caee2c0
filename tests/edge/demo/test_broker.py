from __future__ import annotations

import importlib.util
import time
from pathlib import Path

import pytest

from edge.config.settings import Mqtt
from edge.demo.broker import demo_broker, find_mosquitto
from edge.errors import BrokerError
from edge.outbox import Outbox
from edge.publish import MqttPublisher, probe_broker
from edge.watch import Line, watch
from tests.support.events import make_event
from tests.support.mosquitto import PATIENCE_S


@pytest.mark.parametrize("use_mosquitto", [True, False])
def test_events_pass_through_either_broker(tmp_path: Path, use_mosquitto: bool) -> None:  # noqa: FBT001 - a column
    if use_mosquitto and find_mosquitto() is None:
        pytest.skip("mosquitto is not installed")
    if not use_mosquitto and importlib.util.find_spec("amqtt") is None:
        pytest.skip("amqtt is not installed (pip install 'ostiary[demo]')")
    with demo_broker(use_mosquitto=use_mosquitto) as (host, port, protocol):
        mqtt = Mqtt(host=host, port=port, protocol=protocol)
        publisher = MqttPublisher(mqtt, device="front", camera="porch", outbox=Outbox(tmp_path / "o.sqlite"))
        assert publisher.wait_connected(15)
        seen: list[Line] = []
        deadline = time.monotonic() + PATIENCE_S

        def is_over() -> bool:
            assert time.monotonic() < deadline, seen
            return any(line.kind == "event" for line in seen)

        for line in watch(mqtt, is_stopping=is_over):
            seen.append(line)
            if line.kind == "status":
                publisher.publish(make_event())
        publisher.close()
    assert {"status", "camera", "presence", "event"} <= {line.kind for line in seen}
    assert "malformed" not in {line.kind for line in seen}


def test_it_is_gone_afterwards() -> None:
    if find_mosquitto() is None:
        pytest.skip("mosquitto is not installed")
    with demo_broker() as (host, port, protocol):
        mqtt = Mqtt(host=host, port=port, protocol=protocol)
        probe_broker(mqtt)
    with pytest.raises(BrokerError, match="nothing listens there"):
        probe_broker(mqtt)
