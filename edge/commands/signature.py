"""Who may sign commands: the file of public keys, and Ed25519 (RFC 8032) over topic and text.

The topic is signed too, so that a command for one device or verb is worth nothing on another; the text is signed as it
was sent, so that nobody has to agree on one way of writing JSON. `cryptography` is imported where it is needed.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from edge.commands.refusal import RefusedError
from edge.commands.request import KEY_NAME, Envelope
from edge.errors import ConfigError, MissingDependencyError, UsageError

PREFIX = b"ostiary-command-v1\0"
KEY_BYTES = 32
SIGNATURE_BYTES = 64
MAX_FILE_BYTES = 1_000_000
PRIVATE_MARK = "ostiary-private-key"
"""Begins the line of a private key, so that nobody takes it for a public one."""
_PURPOSE = "a signed command"
_REASON = "the signature does not hold for this device, this verb and this text"
"""One sentence for every way in which it may not hold: a stranger learns nothing from it, not even which keys there are."""


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A line of the file of keys. `verbs` is None where the key may sign all of them."""

    name: str
    raw: bytes
    verbs: frozenset[str] | None = None

    def line(self) -> str:
        """As it stands in the file."""
        parts = [self.name, base64.b64encode(self.raw).decode()]
        return " ".join(parts if self.verbs is None else [*parts, ",".join(sorted(self.verbs))])


@dataclass(frozen=True, slots=True, repr=False)
class PrivateKey:
    """What `ostiary keys new` writes; never shown."""

    name: str
    seed: bytes

    def line(self) -> str:
        """As it stands in its file."""
        return f"{PRIVATE_MARK} {self.name} {base64.b64encode(self.seed).decode()}"


def signed_bytes(topic: str, text: bytes) -> bytes:
    """What the signature is made over."""
    return PREFIX + topic.encode() + b"\0" + text


class KeyRing:
    """The public keys of everybody who may sign."""

    def __init__(self, keys: Iterable[PublicKey] = ()) -> None:
        """MissingDependencyError where there are keys and nothing to check them with."""
        self._keys = {key.name: key for key in keys}
        if self._keys:
            _ed25519()

    def __len__(self) -> int:
        return len(self._keys)

    @property
    def names(self) -> tuple[str, ...]:
        """Of all keys."""
        return tuple(self._keys)

    def verify(self, topic: str, envelope: Envelope) -> PublicKey:
        """Whose signature it is; RefusedError `bad_signature`."""
        key = self._keys.get(envelope.key)
        signature = decode_base64(envelope.signature, SIGNATURE_BYTES)
        if key is None or signature is None:
            raise RefusedError("bad_signature", _REASON)
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        try:
            Ed25519PublicKey.from_public_bytes(key.raw).verify(signature, signed_bytes(topic, envelope.text))
        except InvalidSignature:
            raise RefusedError("bad_signature", _REASON) from None
        return key


def _ed25519() -> None:
    try:
        import cryptography.hazmat.primitives.asymmetric.ed25519  # noqa: F401
    except ImportError as error:
        raise MissingDependencyError("cryptography", extra="secure", purpose=_PURPOSE) from error


def decode_base64(text: str, length: int) -> bytes | None:
    """Exactly `length` bytes, or None."""
    try:
        found = base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, ValueError):
        return None
    return found if len(found) == length else None


def read_keys(path: Path, verbs: Iterable[str]) -> KeyRing:
    """The file that commands.keys_file names; ConfigError with the line of the first fault."""
    where = f"commands.keys_file {path}"
    expected = "lines of NAME KEY [VERB,...]"
    try:
        with path.open("rb") as handle:
            text = handle.read(MAX_FILE_BYTES + 1).decode("utf-8")
    except OSError as error:
        raise ConfigError(f"cannot be read ({error.strerror})", where=where, expected=expected) from error
    except UnicodeDecodeError as error:
        raise ConfigError("not UTF-8 text", where=where, expected=expected) from error
    if len(text) > MAX_FILE_BYTES:
        raise ConfigError(f"more than {MAX_FILE_BYTES} bytes", where=where, expected=expected)
    known, keys = frozenset(verbs), dict[str, PublicKey]()
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.partition("#")[0].split()
        if words:
            key = _parse_line(words, known, f"{where}, line {number}")
            if key.name in keys:
                raise ConfigError(f"a second key {key.name!r}", where=f"{where}, line {number}", expected="one a name")
            keys[key.name] = key
    return KeyRing(keys.values())


def _parse_line(words: list[str], known: frozenset[str], where: str) -> PublicKey:
    if not 2 <= len(words) <= 3:
        raise ConfigError(f"{len(words)} words", where=where, expected="NAME KEY, or NAME KEY VERB,VERB")
    name, text, *rest = words
    if not re.fullmatch(KEY_NAME, name):
        raise ConfigError(f"name {name[:40]!r}", where=where, expected="1 to 64 letters, digits, or any of . _ @ -")
    raw = decode_base64(text, KEY_BYTES)
    if raw is None:
        hint = "`ostiary keys new` prints the line that belongs here."
        raise ConfigError("no public key", where=where, expected=f"{KEY_BYTES} bytes in base64", hint=hint)
    if not rest:
        return PublicKey(name, raw)
    verbs = frozenset(filter(None, rest[0].split(",")))
    if unknown := sorted(verbs - known):
        raise ConfigError(f"no verb {unknown[0][:40]!r}", where=where, expected="some of " + ", ".join(sorted(known)))
    if not verbs:
        raise ConfigError("no verbs", where=where, expected="some, or nothing behind the key for all of them")
    return PublicKey(name, raw, verbs)


def new_key(name: str) -> PrivateKey:
    """From the system's random numbers; UsageError for a bad name."""
    import secrets

    if not re.fullmatch(KEY_NAME, name):
        raise UsageError(f"name {name[:40]!r}", expected="1 to 64 letters, digits, or any of . _ @ -")
    return PrivateKey(name, secrets.token_bytes(KEY_BYTES))


def public_key(key: PrivateKey, verbs: frozenset[str] | None = None) -> PublicKey:
    """What belongs into commands.keys_file."""
    _ed25519()
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    made = Ed25519PrivateKey.from_private_bytes(key.seed)
    return PublicKey(key.name, made.public_key().public_bytes_raw(), verbs)


def sign(key: PrivateKey, topic: str, text: str) -> dict[str, str]:
    """The payload to send."""
    _ed25519()
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    signature = Ed25519PrivateKey.from_private_bytes(key.seed).sign(signed_bytes(topic, text.encode()))
    return {"signed": text, "key": key.name, "signature": base64.b64encode(signature).decode()}


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
