"""One connection to a broker, from CONNECT to its end, driven by the one thread that owns it.

paho-mqtt speaks the protocol; its threads, its reconnecting and its queue are not used. A new `Connection` is made for
every attempt, so that nothing of an old one is sent again behind our back: the outbox alone knows what is still to send.
"""

from __future__ import annotations

import contextlib
import logging
import select
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edge.config.settings import Mqtt
from edge.errors import BrokerError
from edge.publish.credentials import read_password, tls_context
from edge.publish.reasons import address_of, closed_early, port_of, refusal, silent, unreachable
from edge.publish.waker import Waker

if TYPE_CHECKING:
    from paho.mqtt.client import Client
    from paho.mqtt.properties import Properties

CONNECT_TIMEOUT_S = 5.0
MAX_PACKET_BYTES = 1_179_648
"""Told to an MQTT 5 broker: what is larger it keeps to itself. Room for a command with pictures."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Message:
    """What is published. `expiry_s` and `content_type` travel with MQTT 5 only."""

    topic: str
    payload: bytes
    qos: int = 1
    retain: bool = False
    expiry_s: int | None = None
    content_type: str = ""


@dataclass(frozen=True, slots=True)
class Received:
    """What a subscription brought."""

    topic: str
    payload: bytes
    retained: bool


@dataclass(frozen=True, slots=True)
class Listener:
    """Who hears of what happens on a connection. A callback that raises is logged, and never ends the connection."""

    on_message: Callable[[Received], None] = lambda _: None
    on_acknowledged: Callable[[int], None] = lambda _: None
    on_refused: Callable[[int, str], None] = lambda _, __: None
    on_answered: Callable[[int], None] = lambda _: None


class Connection:
    """A session with clean start. All methods belong to one thread; all raise BrokerError once the broker is gone."""

    def __init__(
        self, mqtt: Mqtt, client_id: str, *, listener: Listener, will: Message | None = None, waker: Waker | None = None
    ) -> None:
        """ConfigError for password and certificate files that cannot be used."""
        self._mqtt = mqtt
        self._listener = listener
        self._waker = waker
        self._is_v5 = mqtt.protocol == "5"
        self._is_open = False
        self._lost: BrokerError | None = None
        self._detail = ""
        self._context = tls_context(mqtt.tls)
        self._client = self._make_client(client_id)
        if will is not None:
            self._client.will_set(will.topic, will.payload, will.qos, will.retain)

    def _make_client(self, client_id: str) -> Client:
        from paho.mqtt.client import Client, MQTTv5, MQTTv311
        from paho.mqtt.enums import CallbackAPIVersion

        client = Client(
            CallbackAPIVersion.VERSION2,
            client_id,
            clean_session=None if self._is_v5 else True,
            protocol=MQTTv5 if self._is_v5 else MQTTv311,
            reconnect_on_failure=False,
        )
        client.connect_timeout = CONNECT_TIMEOUT_S
        if self._mqtt.username is not None:
            client.username_pw_set(self._mqtt.username, read_password(self._mqtt))
        if self._context is not None:
            client.tls_set_context(self._context)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish
        client.on_subscribe = self._on_subscribe
        client.on_unsubscribe = self._on_unsubscribe
        client.on_message = self._on_message
        client.on_log = self._on_log
        return client

    def open(self, *, timeout_s: float = CONNECT_TIMEOUT_S, is_stopping: Callable[[], bool] = lambda: False) -> None:
        """Connect and wait until the broker has accepted us. BrokerError says why not, and what to do."""
        options: dict[str, Any] = {"clean_start": True, "properties": self._connect_properties()} if self._is_v5 else {}
        try:
            self._client.connect(self._mqtt.host, port_of(self._mqtt), self._mqtt.keepalive_s, **options)
            self._limit_unacknowledged()
        except (OSError, UnicodeError) as error:
            self.abort()
            raise unreachable(self._mqtt, error) from error
        deadline = time.monotonic() + timeout_s
        while not self._is_open:
            if time.monotonic() > deadline or is_stopping():
                self.abort()
                raise silent(self._mqtt)
            self.step(0.2)

    def _limit_unacknowledged(self) -> None:
        """Bytes that the network did not take within the time to live of an event must not arrive as live ones later."""
        sock: Any = self._client.socket()
        if sock is not None and hasattr(socket, "TCP_USER_TIMEOUT"):
            limit_ms = int(max(self._mqtt.event_ttl_s, 2.0) * 1000)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, limit_ms)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def step(self, timeout_s: float) -> None:
        """Wait for the network, the waker or the time, then handle what came. BrokerError once the connection is lost."""
        sock = self._client.socket()
        if sock is not None and sock.fileno() >= 0:
            self._wait(sock, timeout_s)
        if self._client.socket() is not None:
            self._client.loop_misc()
        if self._client.socket() is None or self._lost is not None:
            raise self._why_lost()

    def _wait(self, sock: Any, timeout_s: float) -> None:
        # Decrypted bytes that wait inside the TLS layer do not make the socket readable.
        if getattr(sock, "pending", int)() > 0:
            timeout_s = 0.0
        poll = select.poll()
        poll.register(sock, select.POLLIN | (select.POLLOUT if self._client.want_write() else 0))
        if self._waker is not None:
            poll.register(self._waker, select.POLLIN)
        ready = dict(poll.poll(max(0, int(timeout_s * 1000 + 0.999))))
        if self._waker is not None and self._waker.fileno() in ready:
            self._waker.clear()
        flags = ready.get(sock.fileno(), 0)
        if flags & ~select.POLLOUT or timeout_s == 0.0:
            self._client.loop_read()
        if flags & select.POLLOUT and self._client.socket() is not None:
            self._client.loop_write()

    def publish(self, message: Message) -> int:
        """Hand a message to the network; the id under which its acknowledgement is told. BrokerError when lost."""
        from paho.mqtt.enums import MQTTErrorCode

        info = self._client.publish(
            message.topic, message.payload, message.qos, message.retain, self._publish_properties(message)
        )
        if info.rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
            raise self._why_lost()
        return info.mid

    def subscribe(self, topic: str, qos: int = 1, *, wants_retained: bool = True) -> None:
        """Messages come through the listener. A broker that refuses is logged.

        Without `wants_retained` an MQTT 5 broker sends only what is published from now on; an older one sends all.
        """
        if wants_retained or not self._is_v5:
            self._client.subscribe(topic, qos)
            return
        from paho.mqtt.subscribeoptions import SubscribeOptions

        never = SubscribeOptions.RETAIN_DO_NOT_SEND
        self._client.subscribe(topic, options=SubscribeOptions(qos, retainHandling=never))

    def unsubscribe(self, topic: str) -> None:
        """The end of a subscription."""
        self._client.unsubscribe(topic)

    def ask(self, topic: str) -> int:
        """Ask something that changes nothing; the id under which the answer is told. BrokerError when lost.

        The protocol has no better question with an id than the end of a subscription that never was (MQTT 5, 3.10.4).
        """
        from paho.mqtt.enums import MQTTErrorCode

        result, mid = self._client.unsubscribe(topic)
        if result != MQTTErrorCode.MQTT_ERR_SUCCESS or mid is None:
            raise self._why_lost()
        return mid

    def close(self) -> None:
        """Say goodbye, so that the broker keeps the last will to itself, and let go."""
        with contextlib.suppress(OSError, ValueError):
            self._client.disconnect()
            self._client.loop_write()
        self._release()

    def abort(self) -> None:
        """Let go at once; bytes that were not sent yet are thrown away instead of arriving late."""
        sock: Any = self._client.socket()
        if sock is not None:
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._release()

    def _release(self) -> None:
        sock = self._client.socket()
        if sock is not None:
            sock.close()
        if self._context is not None and self._context.last is not None:
            self._context.last.close()

    def _why_lost(self) -> BrokerError:
        if self._lost is not None:
            return self._lost
        if not self._is_open:
            return closed_early(self._mqtt, self._detail)
        hint = "It is tried again by itself. If this repeats, another client may use the same mqtt.client_id."
        return BrokerError("connection lost", where=address_of(self._mqtt), hint=hint)

    def _connect_properties(self) -> Properties:
        from paho.mqtt.packettypes import PacketTypes
        from paho.mqtt.properties import Properties

        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.MaximumPacketSize = MAX_PACKET_BYTES
        return properties

    def _publish_properties(self, message: Message) -> Properties | None:
        if not self._is_v5 or not (message.content_type or message.expiry_s):
            return None
        from paho.mqtt.packettypes import PacketTypes
        from paho.mqtt.properties import Properties

        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        if message.content_type:
            properties.ContentType = message.content_type
        if message.expiry_s:
            properties.MessageExpiryInterval = message.expiry_s
        return properties

    def _on_connect(self, _client: Any, _userdata: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if reason.is_failure:
            self._lost = refusal(self._mqtt, reason.value, str(reason))
        else:
            self._is_open = True

    def _on_disconnect(self, _client: Any, _userdata: Any, flags: Any, reason: Any, _properties: Any) -> None:
        if flags.is_disconnect_packet_from_server and self._lost is None:
            self._lost = refusal(self._mqtt, reason.value, str(reason))

    def _on_publish(self, _client: Any, _userdata: Any, mid: int, reason: Any, _properties: Any) -> None:
        if reason.is_failure:
            self._tell(lambda: self._listener.on_refused(mid, str(reason)))
        else:
            self._tell(lambda: self._listener.on_acknowledged(mid))

    def _on_subscribe(self, _client: Any, _userdata: Any, _mid: int, reasons: Any, _properties: Any) -> None:
        if any(reason.is_failure for reason in reasons):
            log.warning("%s refuses our subscription: %s", address_of(self._mqtt), ", ".join(map(str, reasons)))

    def _on_unsubscribe(self, _client: Any, _userdata: Any, mid: int, _reasons: Any, _properties: Any) -> None:
        self._tell(lambda: self._listener.on_answered(mid))

    def _on_message(self, _client: Any, _userdata: Any, message: Any) -> None:
        def tell() -> None:
            self._listener.on_message(Received(message.topic, bytes(message.payload), bool(message.retain)))

        self._tell(tell)

    def _on_log(self, _client: Any, _userdata: Any, _level: int, text: str) -> None:
        if "on socket" in text:
            self._detail = text
        log.debug("paho: %s", text)

    def _tell(self, call: Callable[[], None]) -> None:
        """An exception in a callback would end paho's loop, and with it all publishing."""
        try:
            call()
        except Exception:
            log.exception("handling of a message from %s failed", address_of(self._mqtt))
