"""Sealed values, and the file of keys."""

from __future__ import annotations

import base64
import os
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from edge.config.guard import Privacy
from edge.config.settings import Settings
from edge.errors import ConfigError
from edge.gallery.encryption.sealing import (
    OVERHEAD_BYTES,
    Sealer,
    UnknownKeyError,
    UnsealError,
    context_of,
    key_id_of,
    read_keys,
    sealer_of,
)

FIRST, SECOND = bytes(range(32)), bytes(range(100, 132))
HERE = context_of("identities", "name", "somebody")


@given(plain=st.binary(max_size=2000), place=st.lists(st.text().filter(lambda text: "\0" not in text), min_size=1))
def test_what_is_sealed_opens_where_it_belongs_and_nowhere_else(plain: bytes, place: list[str]) -> None:
    sealer = Sealer([FIRST])
    context = context_of(*place)
    sealed = sealer.seal(plain, context)
    assert sealer.open(sealed, context) == plain
    assert len(sealed) == len(plain) + OVERHEAD_BYTES
    assert sealed != sealer.seal(plain, context)
    with pytest.raises(UnsealError):
        sealer.open(sealed, context_of(*place, ""))


def test_it_is_aes_256_gcm_as_everybody_has_it() -> None:
    sealed = Sealer([FIRST]).seal(b"Ada", HERE)
    head, nonce, rest = sealed[:5], sealed[5:17], sealed[17:]
    assert head == b"\x01" + bytes.fromhex(key_id_of(FIRST))
    assert AESGCM(FIRST).decrypt(nonce, rest, head + HERE) == b"Ada"


@pytest.mark.parametrize("bit", [0, 7])
def test_a_change_of_any_byte_is_noticed(bit: int) -> None:
    sealer = Sealer([FIRST, SECOND])
    sealed = sealer.seal(b"a face of somebody", HERE)
    for place in range(len(sealed)):
        changed = bytearray(sealed)
        changed[place] ^= 1 << bit
        with pytest.raises(UnsealError):
            sealer.open(bytes(changed), HERE)
    for length in range(len(sealed)):
        with pytest.raises(UnsealError):
            sealer.open(sealed[:length], HERE)
    with pytest.raises(UnsealError):
        sealer.open(sealed + b"\0", HERE)


@given(data=st.binary(max_size=100))
def test_what_nobody_sealed_does_not_open(data: bytes) -> None:
    with pytest.raises(UnsealError):
        Sealer([FIRST]).open(data, HERE)


def test_the_first_key_seals_and_all_open() -> None:
    old = Sealer([FIRST]).seal(b"Ada", HERE)
    both = Sealer([SECOND, FIRST])
    assert both.open(old, HERE) == b"Ada"
    assert Sealer([SECOND]).open(both.seal(b"Ada", HERE), HERE) == b"Ada"
    with pytest.raises(UnknownKeyError, match=key_id_of(FIRST)):
        Sealer([SECOND]).open(old, HERE)


def test_places_are_told_apart() -> None:
    places = [("a", "b"), ("ab",), ("a", "b", ""), ("", "a", "b"), ("b", "a"), ("a",)]
    assert len({context_of(*place) for place in places}) == len(places)
    with pytest.raises(UnsealError, match="NUL"):
        context_of("a\0b")


@pytest.mark.parametrize("keys", [[], [b"short"], [FIRST, bytes(31)]])
def test_keys_of_another_length_are_refused(keys: list[bytes]) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        Sealer(keys)


def line(key: bytes) -> bytes:
    return base64.b64encode(key)


def written(tmp_path: Path, data: bytes) -> Path:
    path = tmp_path / "template-key"
    path.touch(0o600)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    "data",
    [
        line(FIRST) + b"\n" + line(SECOND),
        b"# since 2026\r\n  " + line(FIRST) + b"  # the new one\r\n\r\n\t" + line(SECOND) + b"\r\n",
    ],
)
def test_a_key_a_line_with_comments(tmp_path: Path, data: bytes) -> None:
    assert read_keys(written(tmp_path, data)) == [FIRST, SECOND]


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "0 keys; expected 1 to 16"),
        (b"# nothing\n", "0 keys"),
        (b"\n" + line(FIRST)[:-2], "line 2: not base64"),
        (line(FIRST) + b"\npassword\n", "line 2: key of 6 bytes; expected 32 bytes"),
        (line(FIRST + b"x"), "line 1: key of 33 bytes"),
        (line(FIRST) + b"\n" + line(FIRST), "line 2: the same key again"),
        (line(bytes(32)), "line 1: a key that is not random"),
        (line(FIRST)[:-1] + b"\xff", "not text"),
        (os.urandom(100_000), "too long"),
        ("schlüssel".encode(), "line 1: not base64"),
        (b"\n".join(line(os.urandom(32)) for _ in range(17)), "17 keys"),
    ],
)
def test_a_file_that_holds_no_keys_is_refused_without_telling_what_is_in_it(
    tmp_path: Path, data: bytes, says: str
) -> None:
    path = written(tmp_path, data)
    with pytest.raises(ConfigError) as caught:
        read_keys(path)
    assert says in str(caught.value)
    assert str(path) in str(caught.value)
    assert line(FIRST).decode()[:12] not in str(caught.value)


@pytest.mark.parametrize("make", [lambda _: None, Path.mkdir])
def test_a_file_that_is_not_there_is_refused(tmp_path: Path, make: object) -> None:
    make(tmp_path / "key")  # type: ignore[operator]
    with pytest.raises(ConfigError, match=r"(?s)cannot be read.*privacy.key_file"):
        read_keys(tmp_path / "key")


@given(data=st.binary(max_size=300))
def test_no_file_of_keys_is_more_than_refused(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = written(tmp_path_factory.mktemp("keys"), data)
    try:
        keys = read_keys(path)
    except ConfigError as error:
        assert str(path) in str(error)  # noqa: PT017 -- it may also hold keys
    else:
        assert all(len(key) == 32 for key in keys)


def test_keys_that_others_can_read_are_told_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = written(tmp_path, line(FIRST))
    read_keys(path)
    assert not caplog.records
    path.chmod(0o640)
    assert read_keys(path) == [FIRST]
    assert "can be read by others" in caplog.text


def test_a_credential_goes_before_the_configured_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    configured = written(tmp_path, line(FIRST))
    settings = Settings(privacy=Privacy(key_file=configured))
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    sealer = sealer_of(settings)
    assert sealer is not None
    assert sealer.key_ids == (key_id_of(FIRST),)
    folder = tmp_path / "credentials"
    folder.mkdir()
    written(folder, line(SECOND))
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(folder))
    sealer = sealer_of(settings)
    assert sealer is not None
    assert sealer.key_ids == (key_id_of(SECOND),)
    monkeypatch.delenv("CREDENTIALS_DIRECTORY")
    assert sealer_of(Settings()) is None
