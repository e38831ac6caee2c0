"""Brokers that will not have us, each answered with what to do about it; all real but the ones that never speak."""

from __future__ import annotations

import datetime as dt
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edge.config.settings import Mqtt, Tls
from edge.errors import BrokerError
from edge.publish import probe_broker
from edge.publish.reasons import refusal, unreachable
from tests.support.mosquitto import HOST, DeafServer, Mosquitto, free_port, mosquitto, password_file
from tests.support.tls import DAY, Authority


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("probe")


@pytest.fixture(scope="module")
def authority(folder: Path) -> Authority:
    return Authority(folder / "ca")


@pytest.fixture(scope="module")
def plain(folder: Path) -> Iterator[Mosquitto]:
    users = password_file(folder / "plain", "door", "right")
    with mosquitto(folder / "plain", "allow_anonymous false", f"password_file {users}") as broker:
        yield broker


def tls_broker(folder: Path, authority: Authority, name: str, *options: str, **certificate: Any) -> Any:
    pair = authority.issue(name, **certificate)
    listener = (f"cafile {authority.ca}", f"certfile {pair.cert}", f"keyfile {pair.key}", *options)
    return mosquitto(folder / name, listener_options=listener)


@pytest.fixture(scope="module")
def tls(folder: Path, authority: Authority) -> Iterator[Mosquitto]:
    with tls_broker(folder, authority, "good") as broker:
        yield broker


def failure(mqtt: Mqtt, timeout_s: float = 5.0) -> str:
    with pytest.raises(BrokerError) as caught:
        probe_broker(mqtt, timeout_s=timeout_s)
    assert caught.value.exit_code == 3
    assert caught.value.hint
    assert str(mqtt.port) in str(caught.value)
    return str(caught.value)


def secret(folder: Path, text: str) -> Path:
    path = folder / f"password-{text}"
    path.write_text(text, encoding="utf-8")
    path.chmod(0o600)
    return path


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_credentials(plain: Mosquitto, folder: Path, protocol: str) -> None:
    def mqtt(**fields: Any) -> Mqtt:
        return Mqtt(host=HOST, port=plain.port, protocol=protocol, **fields)

    probe_broker(mqtt(username="door", password_file=secret(folder, "right")))
    for refused in (mqtt(username="door", password_file=secret(folder, "wrong")), mqtt()):
        assert "mqtt.password_file" in failure(refused)


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_a_trusted_broker_is_taken(tls: Mosquitto, authority: Authority, protocol: str) -> None:
    probe_broker(Mqtt(host=HOST, port=tls.port, protocol=protocol, tls=Tls(enabled=True, ca_file=authority.ca)))


def test_tls_demanded_but_plain_spoken(tls: Mosquitto) -> None:
    assert "mqtt.tls.enabled: true" in failure(Mqtt(host=HOST, port=tls.port))


def test_plain_demanded_but_tls_spoken(plain: Mosquitto, authority: Authority) -> None:
    text = failure(Mqtt(host=HOST, port=plain.port, tls=Tls(enabled=True, ca_file=authority.ca)))
    assert "mqtt.tls.enabled: false" in text


@pytest.mark.parametrize(
    ("name", "certificate", "expected"),
    [
        ("expired", {"first": -3 * DAY, "last": -DAY}, "its certificate has expired"),
        ("early", {"first": DAY, "last": 3 * DAY}, "its certificate is not valid yet"),
        ("wronghost", {"host": "broker.example"}, "its certificate is for another host"),
    ],
)
def test_faulty_certificates(
    folder: Path, authority: Authority, name: str, certificate: dict[str, dt.timedelta], expected: str
) -> None:
    with tls_broker(folder, authority, name, **certificate) as broker:
        text = failure(Mqtt(host=HOST, port=broker.port, tls=Tls(enabled=True, ca_file=authority.ca)))
        assert expected in text
        if name == "wronghost":
            probe_broker(Mqtt(host=HOST, port=broker.port, tls=Tls(enabled=True, ca_file=authority.ca, insecure=True)))


def test_an_unknown_authority(tls: Mosquitto, folder: Path) -> None:
    stranger = Authority(folder / "stranger", "stranger")
    text = failure(Mqtt(host=HOST, port=tls.port, tls=Tls(enabled=True, ca_file=stranger.ca)))
    assert "not trusted" in text
    assert "mqtt.tls.ca_file" in text
    assert "not trusted" in failure(Mqtt(host=HOST, port=tls.port, tls=Tls(enabled=True)))


def test_client_certificates(folder: Path, authority: Authority) -> None:
    with tls_broker(folder, authority, "mutual", "require_certificate true") as broker:
        pair, stranger = authority.issue("client"), Authority(folder / "other", "other").issue("client")

        def mqtt(**fields: Any) -> Mqtt:
            return Mqtt(host=HOST, port=broker.port, tls=Tls(enabled=True, ca_file=authority.ca, **fields))

        probe_broker(mqtt(cert_file=pair.cert, key_file=pair.key))
        # The broker's alert may get lost behind its closing of the connection; the next step must not.
        assert "set mqtt.tls.cert_file" in failure(mqtt())
        text = failure(mqtt(cert_file=stranger.cert, key_file=stranger.key))
        assert "refuses our client certificate" in text or "closed the connection" in text


def test_nobody_there() -> None:
    assert "nothing listens there" in failure(Mqtt(host=HOST, port=free_port()))
    assert "cannot be resolved" in failure(Mqtt(host="no-such-host.invalid", port=1883))


def test_somebody_who_never_answers() -> None:
    with DeafServer() as server:
        assert "no answer" in failure(Mqtt(host=HOST, port=server.port), timeout_s=0.3)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (TimeoutError("timed out"), "no answer"),
        (OSError(113, "No route to host"), "cannot be reached"),
        (ConnectionResetError(104, "reset"), "closed the connection"),
        (socket.gaierror(-2, "Name or service not known"), "cannot be resolved"),
        (UnicodeError("label too long"), "cannot be resolved"),
        (ssl.SSLError(1, "[SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED]"), "demands a client certificate"),
        (ssl.SSLError(1, "[SSL: TLSV1_ALERT_UNKNOWN_CA]"), "refuses our client certificate"),
        (ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number"), "does not shake hands over TLS"),
    ],
)
def test_every_network_error_says_what_to_do(error: Exception, expected: str) -> None:
    made = unreachable(Mqtt(host="broker"), error)
    assert expected in str(made)
    assert made.hint


@pytest.mark.parametrize("code", [0x80, 0x84, 0x85, 0x86, 0x87, 0x88, 0x8A, 0x8E, 0x97, 0x9F, 0xA2])
def test_every_refusal_says_what_to_do(code: int) -> None:
    made = refusal(Mqtt(host="broker"), code, "Name of it")
    assert "Name of it" in str(made)
    assert made.hint
