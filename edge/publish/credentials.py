"""What proves who we are to the broker, read from files that only this user should read."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edge.config.settings import Mqtt, Tls
from edge.credentials import MQTT_PASSWORD, is_handed, secret_file
from edge.errors import ConfigError

MAX_PASSWORD_BYTES = 65_535
"""The length field of MQTT has two bytes."""

log = logging.getLogger(__name__)


def read_password(mqtt: Mqtt) -> str | None:
    """The password, without the line end an editor adds. ConfigError for a file that is missing, empty or not text.

    The credential `mqtt-password` of systemd goes before mqtt.password_file.
    """
    path = secret_file(MQTT_PASSWORD, mqtt.password_file)
    if path is None:
        return None
    where = f"mqtt.password_file {path}"
    expected = "a file that holds the password and nothing else"
    try:
        with path.open("rb") as handle:
            password = handle.read(MAX_PASSWORD_BYTES + 2).decode("utf-8").rstrip("\r\n")
    except OSError as error:
        raise ConfigError(f"cannot be read ({error.strerror})", where=where, expected=expected) from error
    except UnicodeDecodeError as error:
        raise ConfigError("not UTF-8 text", where=where, expected=expected) from error
    if not password or "\n" in password or len(password) > MAX_PASSWORD_BYTES:
        found = "empty" if not password else "more than one line" if "\n" in password else "too long"
        raise ConfigError(found, where=where, expected=expected)
    return password


class Context(ssl.SSLContext):
    """Keeps hold of the socket it made last: paho leaves it open when the handshake fails."""

    last: ssl.SSLSocket | None = None

    def wrap_socket(self, *args: Any, **kwargs: Any) -> ssl.SSLSocket:
        """As SSLContext does."""
        self.last = super().wrap_socket(*args, **kwargs)
        return self.last


def tls_context(tls: Tls) -> Context | None:
    """What `mqtt.tls` asks for; None without TLS. ConfigError for a certificate or key that cannot be used."""
    if not tls.enabled:
        return None
    context = Context(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = not tls.insecure
    # "instead of the system's": a door that has its own authority trusts no other.
    if tls.ca_file is None:
        context.load_default_certs()
    else:
        _load("mqtt.tls.ca_file", tls.ca_file, lambda: context.load_verify_locations(tls.ca_file))
    if tls.cert_file is not None:
        cert, key = tls.cert_file, tls.key_file
        # A password prompt would stop a daemon for ever; an encrypted key fails instead.
        _load("mqtt.tls.cert_file", cert, lambda: context.load_cert_chain(cert, key, lambda: ""))
    return context


def _load(key: str, path: Path, load: Callable[[], None]) -> None:
    try:
        load()
    except OSError as error:
        found = "no PEM certificate or key that fits" if isinstance(error, ssl.SSLError) else str(error.strerror)
        hint = "Check that the file is there, readable by this user, in PEM format, and that key and certificate belong together."
        raise ConfigError(
            f"cannot be used ({found})", where=f"{key} {path}", expected="certificates in PEM format", hint=hint
        ) from error


def warn_of_open_files(mqtt: Mqtt) -> list[str]:
    """A sentence for each secret that others on this box can read; also logged."""
    found = []
    # Of a file that systemd has read for us, not even the folder need be open to this user.
    password_file = secret_file(MQTT_PASSWORD, mqtt.password_file)
    for key, path in (("mqtt.password_file", password_file), ("mqtt.tls.key_file", mqtt.tls.key_file)):
        if path is not None and not is_handed(path) and path.exists() and path.stat().st_mode & 0o077:
            found.append(
                f"{key} {path}: others can read it (mode {path.stat().st_mode & 0o777:04o}); run `chmod 600 {path}`"
            )
    for sentence in found:
        log.warning("%s", sentence)
    return found
