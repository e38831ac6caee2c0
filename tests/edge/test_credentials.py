from __future__ import annotations

import logging
from pathlib import Path

import pytest

from edge.config.settings import Mqtt
from edge.credentials import COMMAND_KEYS, MQTT_PASSWORD, TEMPLATE_KEY, is_handed, secret_file
from edge.gallery.encryption.sealing import read_keys
from edge.publish.credentials import read_password, warn_of_open_files

KEY = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="


@pytest.fixture
def handed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What systemd 257 gives: the access list's mask shows as bits of the group."""
    folder = tmp_path / "credentials"
    folder.mkdir()
    for name, text in ((MQTT_PASSWORD, "secret\n"), (TEMPLATE_KEY, f"{KEY}\n"), (COMMAND_KEYS, "\n")):
        (folder / name).write_text(text, encoding="utf-8")
        (folder / name).chmod(0o440)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(folder))
    return folder


def test_a_credential_comes_before_the_file_that_only_root_can_read(handed: Path) -> None:
    assert secret_file(TEMPLATE_KEY, Path("/etc/ostiary/template-key")) == handed / TEMPLATE_KEY
    assert secret_file(TEMPLATE_KEY, None) == handed / TEMPLATE_KEY
    assert read_password(Mqtt(username="door", password_file=Path("/nowhere"))) == "secret"


@pytest.mark.parametrize("text", ["", "\n", " \n\t\n"])
def test_a_blank_one_is_none(handed: Path, text: str) -> None:
    (handed / COMMAND_KEYS).chmod(0o600)
    (handed / COMMAND_KEYS).write_text(text, encoding="utf-8")
    assert secret_file(COMMAND_KEYS, None) is None
    assert secret_file(COMMAND_KEYS, Path("/etc/keys")) == Path("/etc/keys")


def test_outside_the_service_there_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    assert secret_file(TEMPLATE_KEY, None) is None
    assert not is_handed(Path("/etc/ostiary/template-key"))


def test_nobody_is_warned_of_a_credentials_mode(handed: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    assert warn_of_open_files(Mqtt(username="door", password_file=Path("/nowhere"))) == []
    assert len(read_keys(handed / TEMPLATE_KEY)) == 1
    assert caplog.messages == []


def test_everybody_is_warned_of_a_files_mode(tmp_path: Path, handed: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "key"
    path.write_text(KEY, encoding="utf-8")
    path.chmod(0o440)
    assert len(read_keys(path)) == 1
    assert "can be read by others" in caplog.text
