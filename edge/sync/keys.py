"""Who may publish people of which group: public keys of sync.keys_file, and the signature over topic and text."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from edge.commands.refusal import RefusedError
from edge.commands.request import Envelope, read_envelope
from edge.errors import ConfigError
from edge.signing import (
    PrivateKey,
    is_signed,
    public_half,
    read_key_lines,
    require_ed25519,
    sign_text,
    signed_bytes,
)
from edge.sync.names import is_group

PREFIX = b"ostiary-gallery-v1\0"
PURPOSE = "people who are enrolled elsewhere"
_REASON = "the signature does not hold for this topic and this text"


@dataclass(frozen=True, slots=True)
class PublisherKey:
    """A line of the file of keys: NAME KEY GROUP[,GROUP...]."""

    name: str
    raw: bytes
    groups: frozenset[str]

    def line(self) -> str:
        """As it stands in the file."""
        return f"{self.name} {base64.b64encode(self.raw).decode()} {','.join(sorted(self.groups))}"


class PublisherRing:
    """The public keys of everybody who may publish."""

    def __init__(self, keys: Iterable[PublisherKey] = ()) -> None:
        """MissingDependencyError where nothing can check a signature."""
        self._keys = {key.name: key for key in keys}
        require_ed25519(PURPOSE)

    def names(self, group: str) -> tuple[str, ...]:
        """Whose word counts in a group."""
        return tuple(key.name for key in self._keys.values() if group in key.groups)

    def with_key(self, key: PublisherKey) -> PublisherRing:
        """Also this one; ConfigError where another key has its name."""
        known = self._keys.get(key.name)
        if known is not None and known.raw != key.raw:
            hint = "Make the key of each publisher with a name of its own."
            raise ConfigError(f"a second key {key.name!r}", expected="one a name", hint=hint)
        return PublisherRing([*self._keys.values(), key])

    def verify(self, group: str, topic: str, payload: bytes) -> tuple[str, bytes]:
        """Name of the key, and the text that it signed; RefusedError `malformed`, `bad_signature` or `not_allowed`."""
        envelope = read_envelope(payload)
        key = self._keys.get(envelope.key)
        if key is None or not _holds(key, topic, envelope):
            raise RefusedError("bad_signature", _REASON)
        if group not in key.groups:
            raise RefusedError("not_allowed", f"key {key.name} may not publish in group {group}")
        return key.name, envelope.text


def _holds(key: PublisherKey, topic: str, envelope: Envelope) -> bool:
    return is_signed(key.raw, envelope.signature, signed_bytes(PREFIX, topic, envelope.text))


def read_publishers(path: Path) -> PublisherRing:
    """The file of sync.keys_file; ConfigError with the line of the first fault."""
    keys = []
    for line in read_key_lines(path, f"sync.keys_file {path}", right="GROUP"):
        if not line.rights:
            hint = "A key publishes only in the groups behind it: `ostiary keys new NAME --sync-groups GROUP -o FILE`."
            raise ConfigError("no groups behind the key", where=line.where, expected="NAME KEY GROUP", hint=hint)
        wrong = sorted(group for group in line.rights if not is_group(group))
        if wrong:
            raise ConfigError(
                f"group {wrong[0][:40]!r}", where=line.where, expected="letters, digits, - and _, such as staff"
            )
        keys.append(PublisherKey(line.name, line.raw, line.rights))
    return PublisherRing(keys)


def publisher_key(key: PrivateKey, groups: Iterable[str]) -> PublisherKey:
    """What belongs into sync.keys_file."""
    require_ed25519(PURPOSE)
    return PublisherKey(key.name, public_half(key), frozenset(groups))


def signed_payload(key: PrivateKey, topic: str, text: str) -> bytes:
    """What to publish."""
    made = sign_text(key, PREFIX, topic, text)
    return json.dumps(made, ensure_ascii=False, separators=(",", ":")).encode()
