from __future__ import annotations

import logging
from pathlib import Path

import pytest

from edge.config.settings import Mqtt, Tls
from edge.errors import ConfigError
from edge.publish.credentials import read_password, tls_context, warn_of_open_files
from tests.support.tls import Authority


def with_password(path: Path) -> Mqtt:
    return Mqtt(username="door", password_file=path)


@pytest.mark.parametrize(
    ("content", "expected"),
    [(b"secret", "secret"), (b"secret\n", "secret"), (b"secret\r\n", "secret"), (b" p w \n", " p w "), ("pässword".encode(), "pässword")],
)  # fmt: skip
def test_the_password_is_the_file_without_its_line_end(tmp_path: Path, content: bytes, expected: str) -> None:
    path = tmp_path / "password"
    path.write_bytes(content)
    assert read_password(with_password(path)) == expected


@pytest.mark.parametrize(
    ("content", "problem"),
    [(b"", "empty"), (b"\n", "empty"), (b"a\nb\n", "more than one line"), (b"\xff\xfe", "not UTF-8"), (b"x" * 70_000, "too long")],
)  # fmt: skip
def test_a_password_file_that_holds_no_password_is_refused(tmp_path: Path, content: bytes, problem: str) -> None:
    path = tmp_path / "password"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=problem) as caught:
        read_password(with_password(path))
    assert "mqtt.password_file" in str(caught.value)
    assert caught.value.exit_code == 2


def test_what_systemd_hands_over_goes_before_the_configured_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configured = tmp_path / "password"
    configured.write_text("configured", encoding="utf-8")
    handed = tmp_path / "credentials"
    handed.mkdir()
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(handed))
    assert read_password(with_password(configured)) == "configured"
    credential = handed / "mqtt-password"
    credential.write_text("", encoding="utf-8")
    assert read_password(with_password(configured)) == "configured"
    credential.write_text("handed\n", encoding="utf-8")
    credential.chmod(0o400)
    configured.chmod(0o644)
    assert read_password(with_password(configured)) == "handed"
    assert read_password(Mqtt(username="door")) == "handed"
    # Who may read the other file is no longer this process's affair.
    assert warn_of_open_files(with_password(configured)) == []
    credential.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="mqtt-password"):
        read_password(with_password(configured))


def test_a_missing_password_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        read_password(with_password(tmp_path / "nowhere"))
    assert read_password(Mqtt()) is None


@pytest.mark.parametrize(("mode", "warnings"), [(0o600, 0), (0o400, 0), (0o640, 1), (0o644, 1)])
def test_a_secret_that_others_can_read_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, mode: int, warnings: int
) -> None:
    path = tmp_path / "password"
    path.write_text("secret", encoding="utf-8")
    path.chmod(mode)
    with caplog.at_level(logging.WARNING):
        assert len(warn_of_open_files(with_password(path))) == warnings
    assert caplog.text.count("chmod 600") == warnings


def test_without_tls_there_is_no_context_and_with_it_hosts_are_checked(tmp_path: Path) -> None:
    ca = Authority(tmp_path).ca
    assert tls_context(Tls()) is None
    strict, lax = tls_context(Tls(enabled=True, ca_file=ca)), tls_context(Tls(enabled=True, ca_file=ca, insecure=True))
    assert strict is not None
    assert lax is not None
    assert (strict.check_hostname, lax.check_hostname) == (True, False)
    assert strict.verify_mode == lax.verify_mode != 0
    assert len(strict.get_ca_certs()) == 1


def test_certificate_files_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    authority, other = Authority(tmp_path / "a"), Authority(tmp_path / "b")
    pair, stranger = authority.issue("door"), other.issue("door")
    junk = tmp_path / "junk.pem"
    junk.write_text("not a certificate", encoding="utf-8")
    faulty = [
        (Tls(enabled=True, ca_file=tmp_path / "nowhere"), "mqtt.tls.ca_file"),
        (Tls(enabled=True, ca_file=junk), "mqtt.tls.ca_file"),
        (Tls(enabled=True, cert_file=junk, key_file=pair.key), "mqtt.tls.cert_file"),
        (Tls(enabled=True, cert_file=pair.cert, key_file=stranger.key), "mqtt.tls.cert_file"),
        (Tls(enabled=True, cert_file=pair.cert, key_file=tmp_path / "nowhere"), "mqtt.tls.cert_file"),
    ]
    for tls, key in faulty:
        with pytest.raises(ConfigError, match="cannot be used") as caught:
            tls_context(tls)
        assert key in str(caught.value)
