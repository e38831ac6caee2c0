"""Is the broker there, and does it take us? For `ostiary check`."""

from __future__ import annotations

import secrets

from edge.config.settings import Mqtt
from edge.publish.client import CONNECT_TIMEOUT_S, Connection, Listener


def probe_broker(mqtt: Mqtt, *, device: str = "door", timeout_s: float = CONNECT_TIMEOUT_S) -> None:
    """Connect and go again, under a client id of its own so that a running daemon is not pushed out.

    BrokerError says why the broker cannot be used and what to do; ConfigError names a file that cannot be used.
    """
    client_id = f"{mqtt.client_id or f'ostiary-{device}'}-check-{secrets.token_hex(3)}"
    connection = Connection(mqtt, client_id, listener=Listener())
    connection.open(timeout_s=timeout_s)
    connection.close()
