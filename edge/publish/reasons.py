"""Why a broker cannot be used -> a BrokerError that says what to do about it."""

from __future__ import annotations

import socket
import ssl

from edge.config.settings import Mqtt
from edge.errors import BrokerError

_TLS_ON = "It may expect TLS here: set mqtt.tls.enabled: true, or use its plain port (usually 1883)."
_TLS_OFF = "It may not speak TLS on this port: use its TLS port (usually 8883), or set mqtt.tls.enabled: false."
_CLIENT_CERTIFICATE = "If it demands a client certificate, set mqtt.tls.cert_file and mqtt.tls.key_file."
_CREDENTIALS = "Check mqtt.username and mqtt.password_file against the broker's users."

_CERTIFICATE = {
    9: ("its certificate is not valid yet", "Is the clock of this box right? Let it synchronise, then try again."),
    10: ("its certificate has expired", "Renew the broker's certificate (or check the clock of this box)."),
    18: ("its certificate is self-signed and not trusted", "Give that certificate as mqtt.tls.ca_file."),
    19: ("its certificate comes from an authority that is not trusted", "Give the authority as mqtt.tls.ca_file."),
    20: ("its certificate comes from an authority that is not trusted", "Give the authority as mqtt.tls.ca_file."),
    62: ("its certificate is for another host", "Set mqtt.host to the name in the certificate."),
    64: ("its certificate is for another host", "Set mqtt.host to the name in the certificate."),
}
"""X509_V_ERR_* of OpenSSL -> what it means, and the next step."""

_NETWORK = (
    (socket.gaierror, "host name cannot be resolved", "Check mqtt.host and the DNS of this box."),
    (UnicodeError, "host name cannot be resolved", "Check mqtt.host."),
    (ConnectionRefusedError, "nothing listens there", "Is the broker running? Check mqtt.port."),
)
"""What a socket raises -> what it means, and the next step."""

_REFUSALS = {
    0x80: ("refuses the connection", "Its log says why."),
    0x84: ("does not speak this version of MQTT", 'Set mqtt.protocol: "3.1.1" (or "5").'),
    0x85: ("does not accept the client id", "Set another mqtt.client_id."),
    0x86: ("refuses user or password", _CREDENTIALS),
    0x87: ("does not authorise this client", _CREDENTIALS),
    0x88: ("is not available now", "Try again later; its log says why."),
    0x89: ("is busy", "Try again later."),
    0x8A: ("has banned this client", "Its log says why."),
    0x8D: ("heard nothing for too long", "Is the network of this box overloaded?"),
    0x8B: ("is shutting down", "It is tried again by itself."),
    0x8E: ("gave our place to another client", "Two clients use one mqtt.client_id: give each its own."),
    0x97: ("says that a quota is exceeded", "Its log says which."),
    0x9F: ("says that we connect too often", "Try again later."),
}
"""MQTT 5 reason codes (paho translates those of 3.1.1) -> what they mean, and the next step."""


def address_of(mqtt: Mqtt) -> str:
    """`broker host:port`, for messages."""
    return f"broker {mqtt.host}:{port_of(mqtt)}"


def port_of(mqtt: Mqtt) -> int:
    """The configured port, or the usual one."""
    return mqtt.port or (8883 if mqtt.tls.enabled else 1883)


def refusal(mqtt: Mqtt, code: int, name: str) -> BrokerError:
    """For a CONNACK or DISCONNECT with a reason code that tells of failure."""
    text, hint = _REFUSALS.get(code, (f"refuses: {name}", "Its log says why."))
    return BrokerError(f"{text} (reason {code:#04x}, {name})", where=address_of(mqtt), hint=hint)


def unreachable(mqtt: Mqtt, error: Exception) -> BrokerError:
    """For what connecting a socket or shaking hands raises."""
    where = address_of(mqtt)
    if isinstance(error, ssl.SSLCertVerificationError):
        text, hint = _CERTIFICATE.get(error.verify_code, (error.verify_message, "Check mqtt.tls.ca_file."))
        return BrokerError(f"{text} ({error.verify_message})", where=where, hint=hint)
    if isinstance(error, ssl.SSLError):
        return _tls_failure(mqtt, str(error))
    for kind, text, hint in _NETWORK:
        if isinstance(error, kind):
            return BrokerError(text, where=where, hint=hint)
    if isinstance(error, ConnectionResetError):
        return BrokerError("closed the connection", where=where, hint=_TLS_OFF if mqtt.tls.enabled else _TLS_ON)
    return silent(mqtt) if isinstance(error, TimeoutError) else _other(where, error)


def _other(where: str, error: Exception) -> BrokerError:
    return BrokerError(f"cannot be reached ({error})", where=where, hint="Check mqtt.host, mqtt.port and the network.")


def silent(mqtt: Mqtt) -> BrokerError:
    """For a host that takes the connection, or not even that, and never answers."""
    hint = "Check mqtt.host and the firewall. " + (_TLS_OFF if mqtt.tls.enabled else _TLS_ON)
    return BrokerError("no answer", where=address_of(mqtt), hint=hint)


def closed_early(mqtt: Mqtt, detail: str) -> BrokerError:
    """For a connection that ended before the broker answered CONNECT; `detail` is what the network layer said."""
    if mqtt.tls.enabled and "SSL" in detail:
        return _tls_failure(mqtt, detail)
    other = "3.1.1" if mqtt.protocol == "5" else "5"
    protocol = f'Does it speak MQTT {mqtt.protocol}? If not, set mqtt.protocol: "{other}".'
    # A broker closes right behind its TLS alert, so that the alert is often lost: name what it may have said.
    certificate = "" if mqtt.tls.cert_file else f"{_CLIENT_CERTIFICATE} "
    hint = f"{certificate if mqtt.tls.enabled else _TLS_ON + ' '}{protocol}"
    return BrokerError("closed the connection before answering", where=address_of(mqtt), hint=hint)


def _tls_failure(mqtt: Mqtt, detail: str) -> BrokerError:
    where = address_of(mqtt)
    if "CERTIFICATE_REQUIRED" in detail or "HANDSHAKE_FAILURE" in detail:
        return BrokerError("demands a client certificate", where=where, hint=_CLIENT_CERTIFICATE)
    if "ALERT" in detail and ("CERTIFICATE" in detail or "UNKNOWN_CA" in detail):
        hint = "Give a certificate from an authority that the broker trusts as mqtt.tls.cert_file."
        return BrokerError("refuses our client certificate", where=where, hint=hint)
    return BrokerError(f"does not shake hands over TLS ({detail})", where=where, hint=_TLS_OFF)
