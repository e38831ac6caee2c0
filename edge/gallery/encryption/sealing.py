"""Values that only the holder of a key can read or make: AES-256-GCM.

A sealed value is one byte of format, the id of the key, a nonce and the ciphertext with its tag (NIST SP 800-38D). Each
is sealed for one context, such as table, column and row: moved anywhere else it does not open.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import logging
import os
import stat
from collections.abc import Sequence
from pathlib import Path

from edge.config.settings import Settings
from edge.credentials import TEMPLATE_KEY, is_handed, secret_file
from edge.errors import ConfigError, MissingDependencyError

log = logging.getLogger(__name__)

FORMAT = b"\x01"
KEY_BYTES = 32
KEY_ID_BYTES = 4
NONCE_BYTES = 12
"""Random: fit for 2**32 values under one key (SP 800-38D, section 8.3), which is 40,000 galleries of 100,000."""
TAG_BYTES = 16
OVERHEAD_BYTES = len(FORMAT) + KEY_ID_BYTES + NONCE_BYTES + TAG_BYTES
MAX_KEYS = 16
MAX_FILE_BYTES = 64_000
_MAKE_ONE = "`ostiary keys template` makes a key."


class UnsealError(ValueError):
    """A sealed value was changed, cut off, or moved from elsewhere."""


class UnknownKeyError(UnsealError):
    """A value says that it was sealed with a key that is not at hand."""

    def __init__(self, key_id: str) -> None:
        """`key_id` as hexadecimal digits."""
        super().__init__(f"sealed with key {key_id}")
        self.key_id = key_id


def context_of(*parts: str | int) -> bytes:
    """What a value is bound to, such as table, column and row: other parts, other bytes. UnsealError for a NUL in one."""
    text = "\0".join(map(str, parts))
    if text.count("\0") >= max(1, len(parts)):
        raise UnsealError("a name with NUL")
    return b"ostiary-sealed-v1\0" + text.encode("utf-8", "surrogatepass")


def key_id_of(key: bytes) -> str:
    """Eight hexadecimal digits that name a key and tell nothing of it."""
    return hashlib.sha256(b"ostiary-template-key\0" + key).digest()[:KEY_ID_BYTES].hex()


class Sealer:
    """Seals with the first of its keys and opens with any. Safe to use from several threads."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        """Keys of 32 bytes; ValueError. MissingDependencyError without the package `cryptography`."""
        if not keys or any(len(key) != KEY_BYTES for key in keys):
            raise ValueError(f"expected at least one key, each of {KEY_BYTES} bytes")
        try:
            from cryptography.exceptions import InvalidTag
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM
        except ImportError as error:
            raise MissingDependencyError("cryptography", extra="secure", purpose="an encrypted gallery") from error
        self._invalid = InvalidTag
        self.key_ids = tuple(key_id_of(key) for key in keys)
        """As hexadecimal digits; the first one seals."""
        self._ciphers = {bytes.fromhex(name): AESGCM(key) for name, key in zip(self.key_ids, keys, strict=True)}
        self._head = FORMAT + bytes.fromhex(self.key_ids[0])
        self._first = AESGCM(keys[0])

    def seal(self, plain: bytes, context: bytes) -> bytes:
        """`plain` under the first key, OVERHEAD_BYTES longer; another one each time."""
        nonce = os.urandom(NONCE_BYTES)
        return self._head + nonce + self._first.encrypt(nonce, plain, self._head + context)

    def open(self, sealed: bytes, context: bytes) -> bytes:
        """What was sealed for the same context; UnsealError, of which UnknownKeyError is one."""
        if len(sealed) < OVERHEAD_BYTES or sealed[:1] != FORMAT:
            raise UnsealError("not a sealed value")
        head, nonce = sealed[: 1 + KEY_ID_BYTES], sealed[1 + KEY_ID_BYTES : 1 + KEY_ID_BYTES + NONCE_BYTES]
        cipher = self._ciphers.get(head[1:])
        if cipher is None:
            raise UnknownKeyError(head[1:].hex())
        try:
            return cipher.decrypt(nonce, sealed[1 + KEY_ID_BYTES + NONCE_BYTES :], head + context)
        except self._invalid:
            raise UnsealError("changed, or moved from elsewhere") from None


def sealer_of(settings: Settings) -> Sealer | None:
    """With the keys of privacy.key_file, or of the credential `template-key`; None where neither is."""
    path = secret_file(TEMPLATE_KEY, settings.privacy.key_file)
    return None if path is None else Sealer(read_keys(path))


def read_keys(path: Path) -> list[bytes]:
    """A key of 32 bytes a line, in base64; `#` begins a comment. ConfigError names the line, and never what is in it."""
    keys: list[bytes] = []
    for number, line in enumerate(_read_text(path).splitlines(), start=1):
        text = line.partition("#")[0].strip()
        if text:
            keys.append(_key_of(text, f"{path}, line {number}"))
            if keys[-1] in keys[:-1]:
                raise ConfigError("the same key again", where=f"{path}, line {number}", expected="each key once")
    if not 1 <= len(keys) <= MAX_KEYS:
        raise ConfigError(f"{len(keys)} keys", where=str(path), expected=f"1 to {MAX_KEYS}", hint=_MAKE_ONE)
    return keys


def _key_of(text: str, where: str) -> bytes:
    try:
        key = base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError) as error:
        raise ConfigError("not base64", where=where, expected="a key in base64", hint=_MAKE_ONE) from error
    if len(key) != KEY_BYTES:
        raise ConfigError(f"key of {len(key)} bytes", where=where, expected=f"{KEY_BYTES} bytes", hint=_MAKE_ONE)
    if len(set(key)) < KEY_BYTES // 4:
        raise ConfigError("a key that is not random", where=where, expected="random bytes", hint=_MAKE_ONE)
    return key


def _read_text(path: Path) -> str:
    expected = "a file of keys"
    try:
        with path.open("rb") as handle:
            mode = os.fstat(handle.fileno()).st_mode
            data = handle.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        hint = "privacy.key_file names it; without it the gallery cannot be read."
        raise ConfigError(
            f"cannot be read ({error.strerror})", where=str(path), expected=expected, hint=hint
        ) from error
    if len(data) > MAX_FILE_BYTES:
        raise ConfigError("too long", where=str(path), expected=f"at most {MAX_FILE_BYTES} bytes")
    if stat.S_IMODE(mode) & 0o077 and not is_handed(path):
        log.warning("%s can be read by others: chmod 600 it, and consider a new key (ostiary gallery rekey)", path)
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise ConfigError("not text", where=str(path), expected=expected, hint=_MAKE_ONE) from error
