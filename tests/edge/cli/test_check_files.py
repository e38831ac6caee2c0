from __future__ import annotations

import os
from pathlib import Path

import pytest

from edge.cli.check_files import files_of, secrets_of
from edge.config.settings import Camera, Commands, Mqtt, Privacy, Settings, Tls


def with_mode(path: Path, mode: int) -> Path:
    path.write_text("x", encoding="utf-8")
    path.chmod(mode)
    return path


def test_where_each_secret_comes_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    handed = tmp_path / "handed"
    handed.mkdir()
    with_mode(handed / "template-key", 0o400)
    (handed / "mqtt-password").write_text("\n", encoding="utf-8")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(handed))
    key = with_mode(tmp_path / "keys", 0o644)
    settings = Settings(commands=Commands(keys_file=key), privacy=Privacy(key_file=tmp_path / "absent"))
    says, wrong = secrets_of(settings)
    assert says == (
        f"password of the broker: none; template key: handed over by the service manager; command keys: {key}"
        "; keys of publishers: none; secrets of groups: none"
    )
    assert wrong == []


@pytest.mark.parametrize(
    ("name", "mode", "may"),
    [
        ("password", 0o600, None), ("password", 0o640, "read"), ("password", 0o604, "read"),
        ("template", 0o400, None), ("template", 0o644, "read"),
        ("keys", 0o644, None), ("keys", 0o664, "write"), ("keys", 0o646, "write"),
    ],
)  # fmt: skip
def test_what_others_can_do_with_a_secret(tmp_path: Path, name: str, mode: int, may: str | None) -> None:
    path = with_mode(tmp_path / name, mode)
    settings = Settings(
        mqtt=Mqtt(username="door", password_file=path if name == "password" else None),
        privacy=Privacy(key_file=path if name == "template" else None),
        commands=Commands(keys_file=path if name == "keys" else None),
    )
    _, wrong = secrets_of(settings)
    assert [f"others can {may} it" in sentence for sentence in wrong] == ([True] if may else [])
    if may:
        mended = int(wrong[0].split("chmod ")[1].split()[0], 8)
        path.chmod(mended)
        assert secrets_of(settings)[1] == []


@pytest.mark.parametrize(
    ("uri", "mode", "is_told"),
    [
        ("rtsp://eve:secret@camera/1", 0o644, True),
        ("rtsp://eve:secret@camera/1", 0o640, False),
        ("rtsp://camera/1", 0o644, False),
        ("v4l2:/dev/video0", 0o644, False),
    ],
)
def test_a_camera_password_is_not_for_everybody(tmp_path: Path, uri: str, mode: int, is_told: bool) -> None:  # noqa: FBT001
    config = with_mode(tmp_path / "ostiary.yaml", mode)
    _, wrong = files_of(Settings(camera=Camera(uri=uri), gallery=tmp_path / "gallery.sqlite"), config)
    assert bool(wrong) is is_told
    assert "secret" not in " ".join(wrong)


def test_files_that_tell_of_people(tmp_path: Path) -> None:
    gallery = with_mode(tmp_path / "gallery.sqlite", 0o644)
    with_mode(tmp_path / "outbox.sqlite", 0o600)
    key = with_mode(tmp_path / "tls.key", 0o640)
    tls = Tls(enabled=True, cert_file=tmp_path / "tls.crt", key_file=key)
    says, wrong = files_of(Settings(gallery=gallery, mqtt=Mqtt(tls=tls)), None)
    assert "gallery.sqlite, outbox.sqlite" in says
    assert [sentence.split(":")[0] for sentence in wrong] == [str(key), str(gallery)]


@pytest.mark.parametrize(("user", "is_told"), [(0, False), (os.geteuid(), False), (54_321, True)])
def test_files_of_somebody_else(tmp_path: Path, user: int, is_told: bool) -> None:  # noqa: FBT001
    gallery = with_mode(tmp_path / "gallery.sqlite", 0o600)
    _, wrong = files_of(Settings(gallery=gallery), None, user=user)
    assert ["belongs to user" in sentence for sentence in wrong] == [True] * is_told
