"""The real mosquitto on a free port, to be stopped, frozen and started again by tests; and a client that listens."""

from __future__ import annotations

import secrets
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from edge.demo.broker import find_mosquitto, free_port, stop, wait_until_listening
from tests.support.schemas import validate

HOST = "127.0.0.1"
PATIENCE_S = 15.0
"""How long a test waits for what must happen; it goes on as soon as it has."""


def wait_for(condition: Callable[[], object], what: str, timeout_s: float = PATIENCE_S) -> None:
    """Until `condition()` is true; fails with `what` otherwise."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"waited {timeout_s:g} s for {what}"
        time.sleep(0.01)


class Mosquitto:
    """A broker with a temporary configuration."""

    def __init__(self, folder: Path, *options: str, listener_options: tuple[str, ...] = ()) -> None:
        program = find_mosquitto()
        if program is None:
            pytest.skip("mosquitto is not installed")
        self._program = program
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self._options = options or ("allow_anonymous true",)
        self.listener_options = listener_options
        self._process: subprocess.Popen[bytes] | None = None

    def configuration(self) -> str:
        """What its file says."""
        lines = ["user root", f"listener {self.port} {HOST}", *self.listener_options, *self._options]
        return "\n".join([*lines, "log_type all", ""])

    def start(self) -> None:
        config = self._folder / "mosquitto.conf"
        config.write_text(self.configuration(), encoding="utf-8")
        with (self._folder / "mosquitto.log").open("ab") as output:
            self._process = subprocess.Popen([self._program, "-c", str(config)], stdout=output, stderr=output)
        wait_until_listening(self._process, self.port)

    def stop(self) -> None:
        """As `systemctl stop` would."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)
            stop(self._process)
            self._process = None

    def kill(self) -> None:
        """As a power cut would, but for what the kernel already has."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        self._process = None

    def freeze(self) -> None:
        """It keeps its connections and says nothing more."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    @property
    def log(self) -> str:
        return (self._folder / "mosquitto.log").read_text(encoding="utf-8", errors="replace")


@contextmanager
def mosquitto(folder: Path, *options: str, listener_options: tuple[str, ...] = ()) -> Iterator[Mosquitto]:
    """Running for as long as the context lasts."""
    broker = Mosquitto(folder, *options, listener_options=listener_options)
    try:
        broker.start()
        yield broker
    finally:
        broker.stop()


def password_file(folder: Path, user: str, password: str) -> Path:
    """As mosquitto_passwd writes it."""
    program = shutil.which("mosquitto_passwd")
    if program is None:
        pytest.skip("mosquitto_passwd is not installed")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "users"
    subprocess.run([program, "-b", "-c", str(path), user, password], check=True, capture_output=True)
    return path


@dataclass(frozen=True, slots=True)
class Heard:
    """One message, as a subscriber got it."""

    topic: str
    payload: bytes
    retained: bool
    qos: int
    data: Any
    properties: dict[str, Any] = field(default_factory=dict)


class Subscriber:
    """Listens to everything below a topic, in MQTT 5, and holds each payload of the contract against its schema."""

    is_clean = False
    """Whether every connection begins anew; else the broker keeps for this one what comes while it is away."""

    def __init__(self, port: int, topic: str = "ostiary/#", *, is_checking: bool = True) -> None:
        self.heard: list[Heard] = []
        self.faults: list[str] = []
        self._is_checking = is_checking
        self._topic = topic
        self._ready = threading.Event()
        self._port = port
        self._name = f"subscriber-{secrets.token_hex(6)}"
        self.client = self._make_client()
        self.client.loop_start()
        assert self._ready.wait(PATIENCE_S)

    def _make_client(self) -> paho.Client:
        """It connects as soon as its loop runs and a broker is there.

        The broker keeps its session, so that a restart of a persistent one hides nothing from the test.
        """
        session = Properties(PacketTypes.CONNECT)
        session.SessionExpiryInterval = 0 if self.is_clean else 600
        client = paho.Client(CallbackAPIVersion.VERSION2, self._name, protocol=paho.MQTTv5)
        client.reconnect_delay_set(1, 1)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_subscribe = lambda *_: self._ready.set()
        client.on_message = self._on_message
        client.connect_async(HOST, self._port, clean_start=self.is_clean, properties=session)
        return client

    def _on_disconnect(self, *_: Any) -> None:
        """Nothing to do: it is tried again."""

    def _on_connect(self, _client: Any, _userdata: Any, flags: Any, *_: Any) -> None:
        if not flags.session_present:
            self.client.subscribe(self._topic, 1)

    def _on_message(self, _client: Any, _userdata: Any, message: paho.MQTTMessage) -> None:
        data: Any = None
        try:
            data = validate(message.topic, message.payload) if self._is_checking else None
        except Exception as error:  # noqa: BLE001 - told by the test, not by paho's thread
            self.faults.append(f"{message.topic}: {error}")
        properties = {name: value for name, value in vars(message.properties or object).items() if name[0].isupper()}
        self.heard.append(
            Heard(message.topic, bytes(message.payload), bool(message.retain), message.qos, data, properties)
        )

    def leave(self) -> None:
        """For a while; the broker keeps what comes meanwhile, within its limits."""
        self.client.disconnect()
        self.client.loop_stop()

    def come_back(self) -> None:
        """As the same subscriber. A broker that is away just now is tried again."""
        self.client = self._make_client()
        self.client.loop_start()

    def on(self, end: str) -> list[Heard]:
        """Messages of topics that end so, in the order in which they came."""
        return [one for one in self.heard if one.topic.endswith(end)]

    def last(self, end: str) -> bytes | None:
        """Payload of the newest of them."""
        return next((one.payload for one in reversed(self.heard) if one.topic.endswith(end)), None)


@contextmanager
def subscriber(port: int, topic: str = "ostiary/#", *, is_checking: bool = True) -> Iterator[Subscriber]:
    """Listening for as long as the context lasts; afterwards no payload may have broken its schema."""
    listening = Subscriber(port, topic, is_checking=is_checking)
    try:
        yield listening
    finally:
        listening.leave()
    assert not listening.faults, listening.faults


class DeafServer:
    """Takes connections and never answers."""

    def __enter__(self) -> Self:
        self._socket = socket.socket()
        self._socket.bind((HOST, 0))
        self._socket.listen(8)
        self.port = int(self._socket.getsockname()[1])
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()
