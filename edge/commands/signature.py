"""Who may sign commands: the file of public keys, and signatures over topic and text.

The topic is signed too, so that a command for one device or verb is worth nothing on another; the text is signed as it
was sent, so that nobody has to agree on one way of writing JSON.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from edge.commands.refusal import RefusedError
from edge.commands.request import Envelope
from edge.errors import ConfigError
from edge.signing import (
    KeyLine,
    PrivateKey,
    is_signed,
    new_key,
    public_half,
    read_key_lines,
    read_private_key,
    require_ed25519,
    sign_text,
    signed_bytes,
)

__all__ = ["KeyRing", "PrivateKey", "PublicKey", "new_key", "public_key", "read_keys", "read_private_key", "sign"]

PREFIX = b"ostiary-command-v1\0"
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


class KeyRing:
    """The public keys of everybody who may sign."""

    def __init__(self, keys: Iterable[PublicKey] = ()) -> None:
        """MissingDependencyError where there are keys and nothing to check them with."""
        self._keys = {key.name: key for key in keys}
        if self._keys:
            require_ed25519(_PURPOSE)

    def __len__(self) -> int:
        return len(self._keys)

    @property
    def names(self) -> tuple[str, ...]:
        """Of all keys."""
        return tuple(self._keys)

    def verify(self, topic: str, envelope: Envelope) -> PublicKey:
        """Whose signature it is; RefusedError `bad_signature`."""
        key = self._keys.get(envelope.key)
        if key is None or not is_signed(key.raw, envelope.signature, signed_bytes(PREFIX, topic, envelope.text)):
            raise RefusedError("bad_signature", _REASON)
        return key


def read_keys(path: Path, verbs: Iterable[str]) -> KeyRing:
    """The file that commands.keys_file names; ConfigError with the line of the first fault."""
    known = frozenset(verbs)
    return KeyRing([_checked(line, known) for line in read_key_lines(path, f"commands.keys_file {path}", right="VERB")])


def _checked(line: KeyLine, known: frozenset[str]) -> PublicKey:
    if line.rights is not None:
        if unknown := sorted(line.rights - known):
            expected = "some of " + ", ".join(sorted(known))
            raise ConfigError(f"no verb {unknown[0][:40]!r}", where=line.where, expected=expected)
        if not line.rights:
            raise ConfigError("no verbs", where=line.where, expected="some, or nothing behind the key for all of them")
    return PublicKey(line.name, line.raw, line.rights)


def public_key(key: PrivateKey, verbs: frozenset[str] | None = None) -> PublicKey:
    """What belongs into commands.keys_file."""
    require_ed25519(_PURPOSE)
    return PublicKey(key.name, public_half(key), verbs)


def sign(key: PrivateKey, topic: str, text: str) -> dict[str, str]:
    """The payload to send."""
    require_ed25519(_PURPOSE)
    return sign_text(key, PREFIX, topic, text)
