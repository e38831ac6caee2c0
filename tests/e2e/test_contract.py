"""What the daemon really says on the broker is what docs/asyncapi.yaml says it does."""

from __future__ import annotations

import datetime as dt
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from edge.datatypes import Image
from tests.e2e.support import MjpegDoor, daemon, mqtt
from tests.support.asyncapi import Channel, channel_of, channels
from tests.support.mosquitto import HOST, PATIENCE_S, Mosquitto, wait_for
from tests.support.schemas import validator


class Recorder:
    """Hears all that a broker carries, with the flags that it was published with, and over a restart of the broker."""

    def __init__(self, port: int) -> None:
        self.messages: list[paho.MQTTMessage] = []
        self._ready = threading.Event()
        session = Properties(PacketTypes.CONNECT)
        session.SessionExpiryInterval = 600
        self.client = paho.Client(CallbackAPIVersion.VERSION2, "recorder", protocol=paho.MQTTv5)
        self.client.reconnect_delay_set(1, 1)
        self.client.on_connect = self._on_connect
        self.client.on_subscribe = lambda *_: self._ready.set()
        self.client.on_message = lambda _client, _userdata, message: self.messages.append(message)
        self.client.connect(HOST, port, clean_start=False, properties=session)
        self.client.loop_start()
        assert self._ready.wait(PATIENCE_S)

    def _on_connect(self, client: Any, _userdata: Any, flags: Any, *_: Any) -> None:
        if not flags.session_present:
            client.subscribe("#", options=SubscribeOptions(qos=1, retainAsPublished=True))

    def on(self, end: str) -> list[bytes]:
        return [one.payload for one in self.messages if one.topic.endswith(end)]

    def order(self, end: str, payload: bytes) -> None:
        self.client.publish(f"ostiary/front/{end}", payload, 1)


@contextmanager
def recorder(port: int) -> Iterator[Recorder]:
    recording = Recorder(port)
    try:
        yield recording
    finally:
        recording.client.disconnect()
        recording.client.loop_stop()


def request(request_id: str, **arguments: Any) -> bytes:
    now = dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds")
    return json.dumps({"request_id": request_id, "issued_at": now, **arguments}).encode()


def faults(message: paho.MQTTMessage, channel: Channel) -> list[str]:
    """What of a message is not as the document says."""
    found = []
    if (message.qos, bool(message.retain)) != (channel.qos, channel.retain):
        found.append(f"QoS {message.qos}, retained {message.retain}")
    properties = message.properties
    # MQTT's own word for a payload of text is no content type at all.
    content_type = getattr(properties, "ContentType", "text/plain")
    if content_type != channel.content_type:
        found.append(f"content type {content_type}")
    if hasattr(properties, "MessageExpiryInterval") is not (channel.name == "event"):
        found.append("a time to live" if channel.name != "event" else "no time to live")
    if channel.content_type == "image/jpeg":
        return found if message.payload[:3] == b"\xff\xd8\xff" else [*found, "no JPEG"]
    is_json = channel.content_type == "application/json"
    return found + channel.problems(json.loads(message.payload) if is_json else message.payload.decode())


def check_health_is_described(report: dict[str, Any]) -> None:
    """The schema lets the parts of the report grow; what they have today it names."""
    described = validator("health").schema["properties"]
    # Only a box that takes people of groups tells how they stand.
    assert set(report) == set(described) - {"sync"}
    for part in ("bundle", "camera", "outbox"):
        assert set(report[part]) == set(described[part]["properties"]), part


def test_every_message_is_in_the_document(tmp_path: Path, broker: Mosquitto, hopper: Image, hopper_file: Path) -> None:
    with (
        MjpegDoor() as door,
        recorder(broker.port) as heard,
        daemon(
            tmp_path / "box", pictures={"Grace Hopper": hopper_file}, camera={"uri": door.uri},
            mqtt=mqtt(broker.port, event_ttl_s=1.0), publish={"snapshot": True},
        ) as running,
    ):  # fmt: skip
        door.show(hopper)
        wait_for(lambda: heard.on("/event") and heard.on("/snapshot"), "an event")
        heard.client.publish("homeassistant/status", b"online", 1)
        heard.order("enabled/set", b"OFF")
        heard.order("cmd/unlocking", request("one", on=True))
        heard.order("cmd/remove", request("two", who="Grace Hopper"))
        wait_for(lambda: heard.on("/reply")[1:], "both answers")
        door.stay_empty()
        broker.stop()
        door.show(hopper)
        running.wait_for_log("recognized: ", 2)
        door.stay_empty(25)
        broker.start()
        wait_for(lambda: heard.on("/history"), "what was decided meanwhile")
        assert running.stop() == 0
        wait_for(lambda: heard.on("front/status")[-1:] == [b"offline"], "the farewell")
    told = [(one, channel_of(one.topic)) for one in heard.messages]
    ours = [(one, channel) for one, channel in told if channel.action == "send"]
    found = {one.topic: problems for one, channel in ours if (problems := faults(one, channel))}
    assert not found
    assert {channel.name for _, channel in ours} == {one.name for one in channels() if one.action == "send"}
    answers = {one["request_id"]: one["ok"] for one in map(json.loads, heard.on("/reply"))}
    assert answers == {"one": True, "two": False}
    check_health_is_described(json.loads(heard.on("/health")[-1]))
