"""A broker for a machine that has none: mosquitto where it is installed, else amqtt, on the loopback interface only."""

from __future__ import annotations

import importlib.util
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from edge.errors import BrokerError, MissingDependencyError

START_TIMEOUT_S = 10.0
_HOST = "127.0.0.1"


class Address(NamedTuple):
    """Where a broker listens, and the MQTT version to speak there (a value of mqtt.protocol)."""

    host: str
    port: int
    protocol: str


def find_mosquitto() -> str | None:
    """Its path; the distributions put it where a user's PATH does not look."""
    return shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")


def free_port() -> int:
    """A TCP port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        return int(probe.getsockname()[1])


@contextmanager
def demo_broker(*, use_mosquitto: bool = True) -> Iterator[Address]:
    """Run a broker without users and passwords for as long as the context lasts."""
    mosquitto = find_mosquitto() if use_mosquitto else None
    if mosquitto is None and importlib.util.find_spec("amqtt") is None:
        raise MissingDependencyError("amqtt", extra="demo", purpose="a broker where mosquitto is not installed")
    with tempfile.TemporaryDirectory(prefix="ostiary-broker-") as folder:
        port = free_port()
        process = _start_mosquitto(mosquitto, Path(folder), port) if mosquitto else _start_amqtt(port)
        try:
            wait_until_listening(process, port)
            yield Address(_HOST, port, "5" if mosquitto else "3.1.1")
        finally:
            stop(process)


def _start_mosquitto(program: str, folder: Path, port: int) -> subprocess.Popen[bytes]:
    config = folder / "mosquitto.conf"
    config.write_text(f"listener {port} {_HOST}\nallow_anonymous true\npersistence false\n", encoding="utf-8")
    return _start([program, "-c", str(config)])


def _start_amqtt(port: int) -> subprocess.Popen[bytes]:
    # A process of its own: its event loop, its logging and its warnings stay out of ours.
    return _start([sys.executable, "-W", "ignore", "-m", "edge.demo.amqtt_broker", _HOST, str(port)])


def _start(command: list[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603 - programs found on this machine, arguments made here
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def wait_until_listening(process: subprocess.Popen[bytes], port: int) -> None:
    """Until it takes connections. BrokerError when it ends, or does not listen in time."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            where, hint = (
                f"broker at port {port}",
                "Start it by hand to see why, or name another broker with mqtt.host.",
            )
            raise BrokerError(f"ended with code {process.returncode} while starting", where=where, hint=hint)
        try:
            socket.create_connection((_HOST, port), timeout=0.5).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise BrokerError(f"did not listen within {START_TIMEOUT_S:g} s", where=f"broker at port {port}")


def stop(process: subprocess.Popen[bytes]) -> None:
    """Ask it to end, then make it."""
    process.terminate()
    try:
        process.wait(3)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
