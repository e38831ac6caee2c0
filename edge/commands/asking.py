"""The other end: makes a command, sends it over a broker, and waits for its answer."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edge.commands.refusal import RefusedError
from edge.commands.request import read_object
from edge.commands.signature import PrivateKey, sign
from edge.config.settings import Mqtt
from edge.errors import BrokerError
from edge.publish.client import Connection, Listener, Message, Received
from edge.publish.topics import Topics
from edge.timebase import rfc3339, wall_clock


@dataclass(frozen=True, slots=True)
class Command:
    """One that is ready to be sent."""

    verb: str
    request_id: str
    payload: bytes


def make_command(
    topics: Topics,
    verb: str,
    arguments: Mapping[str, Any],
    key: PrivateKey | None = None,
    *,
    issued_at: float | None = None,
) -> Command:
    """For one device, issued now unless `issued_at` (Unix seconds) says otherwise, and signed where there is a key."""
    request_id = secrets.token_hex(8)
    issued = rfc3339(wall_clock() if issued_at is None else issued_at)
    text = json.dumps({"request_id": request_id, "issued_at": issued, **arguments}, ensure_ascii=False)
    if key is not None:
        text = json.dumps(sign(key, topics.command(verb), text), ensure_ascii=False)
    return Command(verb, request_id, text.encode())


class _Conversation:
    """What came while somebody waited."""

    def __init__(self, topics: Topics, command: Command) -> None:
        self._topics = topics
        self._command = command
        self.reply: dict[str, Any] | None = None
        self.status = ""
        self.refusal = ""

    def heard(self, received: Received) -> None:
        if received.topic == self._topics.status:
            self.status = received.payload[:20].decode("utf-8", "replace")
            return
        try:
            found = read_object(received.payload)
        except RefusedError:
            return
        # Others may have asked, too; and whoever may publish there may say anything.
        if found.get("request_id") == self._command.request_id and isinstance(found.get("ok"), bool):
            self.reply = found

    def hint(self) -> str:
        """Why there may be no answer."""
        if self.status == "offline":
            return "The broker says that this device is offline."
        if not self.status:
            return "The broker knows no such device: check --device and mqtt.base_topic."
        return "The device is online: may it read its command topic, and do we hear its replies? Its log tells what it ignored."


def ask(mqtt: Mqtt, device: str, command: Command, *, timeout_s: float) -> dict[str, Any]:
    """The reply, whatever it says. BrokerError when there is none in that time."""
    topics = Topics(mqtt.base_topic, device)
    talk = _Conversation(topics, command)
    listener = Listener(talk.heard, on_refused=lambda _, reason: setattr(talk, "refusal", reason))
    connection = Connection(mqtt, f"ostiary-command-{secrets.token_hex(4)}", listener=listener)
    connection.open()
    topic, until = topics.command(command.verb), time.monotonic() + timeout_s
    try:
        connection.subscribe(topics.status)
        connection.subscribe(topics.command_reply(command.verb))
        connection.publish(Message(topic, command.payload, content_type="application/json"))
        while talk.reply is None and time.monotonic() < until:
            connection.step(min(0.2, max(0.0, until - time.monotonic())))
            if talk.refusal:
                hint = f"Let this user write to {topic} in the access rules of the broker."
                raise BrokerError(f"the broker refuses the command ({talk.refusal})", where=topic, hint=hint)
    finally:
        connection.close()
    if talk.reply is None:
        raise BrokerError(f"no answer within {timeout_s:g} s", where=topic, hint=talk.hint())
    return talk.reply
