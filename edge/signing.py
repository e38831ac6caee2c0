"""Ed25519 (RFC 8032) for what is signed over MQTT: keys, the files in which they lie, and the signature itself.

What is signed, and what a key may sign, is the business of those who use it: edge.commands.signature and edge.sync.keys.
`cryptography` is imported where it is needed.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edge.errors import ConfigError, MissingDependencyError, UsageError

KEY_NAME = r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}"
KEY_BYTES = 32
SIGNATURE_BYTES = 64
MAX_FILE_BYTES = 1_000_000
PRIVATE_MARK = "ostiary-private-key"
"""Begins the line of a private key, so that nobody takes it for a public one."""


@dataclass(frozen=True, slots=True, repr=False)
class PrivateKey:
    """What `ostiary keys new` writes; never shown."""

    name: str
    seed: bytes

    def line(self) -> str:
        """As it stands in its file."""
        return f"{PRIVATE_MARK} {self.name} {base64.b64encode(self.seed).decode()}"


@dataclass(frozen=True, slots=True)
class KeyLine:
    """A line `NAME KEY [RIGHT,...]` of a file of public keys."""

    name: str
    raw: bytes
    rights: frozenset[str] | None
    """None where nothing stands behind the key."""
    where: str
    """File and line, for messages."""


def require_ed25519(purpose: str) -> None:
    """MissingDependencyError where signatures can be neither made nor checked."""
    try:
        import cryptography.hazmat.primitives.asymmetric.ed25519  # noqa: F401
    except ImportError as error:
        raise MissingDependencyError("cryptography", extra="secure", purpose=purpose) from error


def decode_base64(text: str, length: int) -> bytes | None:
    """Exactly `length` bytes, or None."""
    try:
        found = base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, ValueError):
        return None
    return found if len(found) == length else None


def is_signed(raw: bytes, signature: str, data: bytes) -> bool:
    """Whether `signature` (base64) over `data` was made with the private half of the key `raw`."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    decoded = decode_base64(signature, SIGNATURE_BYTES)
    if decoded is None:
        return False
    try:
        Ed25519PublicKey.from_public_bytes(raw).verify(decoded, data)
    except InvalidSignature:
        return False
    return True


def sign_text(key: PrivateKey, prefix: bytes, topic: str, text: str) -> dict[str, str]:
    """The payload to send: `text` as it is, and the signature over what `signed_bytes` makes of it."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    made = Ed25519PrivateKey.from_private_bytes(key.seed).sign(signed_bytes(prefix, topic, text.encode()))
    return {"signed": text, "key": key.name, "signature": base64.b64encode(made).decode()}


def signed_bytes(prefix: bytes, topic: str, text: bytes) -> bytes:
    """What a signature is made over: nothing said on one topic, or for one purpose, is worth anything on another."""
    return prefix + topic.encode() + b"\0" + text


def public_half(key: PrivateKey) -> bytes:
    """32 bytes."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return Ed25519PrivateKey.from_private_bytes(key.seed).public_key().public_bytes_raw()


def new_key(name: str) -> PrivateKey:
    """From the system's random numbers; UsageError for a bad name."""
    import secrets

    if not re.fullmatch(KEY_NAME, name):
        raise UsageError(f"name {name[:40]!r}", expected="1 to 64 letters, digits, or any of . _ @ -")
    return PrivateKey(name, secrets.token_bytes(KEY_BYTES))


def read_private_key(path: Path) -> PrivateKey:
    """A file of `ostiary keys new`; UsageError."""
    where, expected = str(path), "a file made by `ostiary keys new`"
    try:
        with path.open("rb") as handle:
            text = handle.read(MAX_FILE_BYTES).decode("utf-8")
    except OSError as error:
        raise UsageError(f"cannot be read ({error.strerror})", where=where, expected=expected) from error
    except UnicodeDecodeError as error:
        raise UsageError("not a private key", where=where, expected=expected) from error
    rows = [words for line in text.splitlines() if (words := line.partition("#")[0].split())]
    mark, name, encoded = rows[0] if len(rows) == 1 and len(rows[0]) == 3 else ("", "", "")
    seed = decode_base64(encoded, KEY_BYTES)
    if mark != PRIVATE_MARK or seed is None or not re.fullmatch(KEY_NAME, name):
        raise UsageError("not a private key", where=where, expected=expected)
    return PrivateKey(name, seed)


def read_lines(path: Path, where: str, expected: str) -> Iterator[tuple[str, list[str]]]:
    """Words of each line of a file of keys that says anything, with its place; ConfigError for a file that is none."""
    try:
        with path.open("rb") as handle:
            text = handle.read(MAX_FILE_BYTES + 1).decode("utf-8")
    except OSError as error:
        raise ConfigError(f"cannot be read ({error.strerror})", where=where, expected=expected) from error
    except UnicodeDecodeError as error:
        raise ConfigError("not UTF-8 text", where=where, expected=expected) from error
    if len(text) > MAX_FILE_BYTES:
        raise ConfigError(f"more than {MAX_FILE_BYTES} bytes", where=where, expected=expected)
    for number, line in enumerate(text.splitlines(), start=1):
        if words := line.partition("#")[0].split():
            yield f"{where}, line {number}", words


def read_key_lines(path: Path, where: str, *, right: str) -> list[KeyLine]:
    """Public keys, each name once; `right` is how messages call what may stand behind a key. ConfigError names the line."""
    keys: dict[str, KeyLine] = {}
    for place, words in read_lines(path, where, f"lines of NAME KEY [{right},...]"):
        key = _parse_line(words, place, right)
        if key.name in keys:
            raise ConfigError(f"a second key {key.name!r}", where=place, expected="one a name")
        keys[key.name] = key
    return list(keys.values())


def _parse_line(words: list[str], where: str, right: str) -> KeyLine:
    if not 2 <= len(words) <= 3:
        raise ConfigError(f"{len(words)} words", where=where, expected=f"NAME KEY, or NAME KEY {right},{right}")
    name, text, *rest = words
    if not re.fullmatch(KEY_NAME, name):
        raise ConfigError(f"name {name[:40]!r}", where=where, expected="1 to 64 letters, digits, or any of . _ @ -")
    raw = decode_base64(text, KEY_BYTES)
    if raw is None:
        hint = "`ostiary keys new` prints the line that belongs here."
        raise ConfigError("no public key", where=where, expected=f"{KEY_BYTES} bytes in base64", hint=hint)
    return KeyLine(name, raw, frozenset(filter(None, rest[0].split(","))) if rest else None, where)
