r"""What is said of a group, as JSON and back: strict, bounded, and refused when it is from a newer version.

Every payload is `{"signed": text, "key": name, "signature": base64}` with Ed25519 over b"ostiary-gallery-v1\0" + topic +
b"\0" + text, see edge.sync.keys. The text is one JSON object, a `Head` or a `Said`; in a sealed group the content of an
identity is sealed with AES-256-GCM for its topic and revision, see edge.sync.secrets.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edge.commands.refusal import RefusedError
from edge.commands.request import ISSUED_AT, read_object
from edge.sync.digest import count_of
from edge.sync.names import IDENTITY_ID, SHARDS
from edge.validation import Fault, build, setting

SCHEMA = 1
MAX_BYTES = 262_144
"""Of any payload: 90 pictures with embeddings of 512 values."""
MAX_COUNT = 1_000_000
MAX_REVISION = 2**53 - 1
"""JSON's numbers are exact up to there."""
MAX_PICTURES = 64
MAX_EMBEDDERS = 8
SHARD_DIGEST = r"[1-9][0-9]{0,6}\.[A-Za-z0-9_-]{16}"
SHOWN_FAULTS = 3


@dataclass(frozen=True, slots=True)
class Picture:
    """What became of one picture that somebody was enrolled from; not the picture."""

    quality: float = setting(doc="0 to 1", minimum=0, maximum=1)
    embeddings: dict[str, str] = setting(doc="embedder_id to base64 of little-endian float32, L2-normalised")

    def __post_init__(self) -> None:
        if not 1 <= len(self.embeddings) <= MAX_EMBEDDERS:
            raise ValueError(f"embeddings of {len(self.embeddings)} embedders; expected 1 to {MAX_EMBEDDERS}")
        for embedder_id in self.embeddings:
            if not 1 <= len(embedder_id) <= 64 or len(embedder_id.split()) != 1:
                raise ValueError("the id of an embedder; expected 1 to 64 characters without blanks")


@dataclass(frozen=True, slots=True)
class Content:
    """An identity as its publisher has it. Moments are Unix seconds."""

    name: str = setting(doc="printable, 1 to 200 characters")
    note: str = setting("", doc="free text")
    has_consent: bool = setting(default=False, doc="whether the publisher has a note of consent")
    enabled: bool = setting(default=True, doc="whether it is matched")
    groups: tuple[str, ...] = setting((), doc="groups of policy.groups")
    zones: tuple[str, ...] = setting((), doc="only into these zones")
    schedule: str = setting("", doc="as policy.groups has it")
    valid_from: float | None = setting(None, doc="Unix seconds")
    valid_until: float | None = setting(None, doc="Unix seconds")
    pictures: tuple[Picture, ...] = setting((), doc="what it is recognized by")

    def __post_init__(self) -> None:
        if len(self.pictures) > MAX_PICTURES:
            raise ValueError(f"{len(self.pictures)} pictures; expected at most {MAX_PICTURES}")


@dataclass(frozen=True, slots=True)
class Said:
    """One identity of a group: its content, its content sealed, or that it was removed."""

    schema: int = setting(doc="version of this format", choices=(SCHEMA,))
    id: str = setting(doc="ULID", pattern=IDENTITY_ID)
    revision: int = setting(doc="grows with everything that is said in the group", minimum=1, maximum=MAX_REVISION)
    content: Content | None = setting(None, doc="the identity")
    sealed: str | None = setting(None, doc="base64 of the sealed content")
    removed: bool = setting(default=False, doc="erase it")
    before: int = setting(
        0, doc="revision that the head has counted until now; 0 for none", minimum=0, maximum=MAX_REVISION
    )

    def __post_init__(self) -> None:
        if (self.content is not None) + (self.sealed is not None) + self.removed != 1:
            raise ValueError("not one thing; expected `content`, `sealed` or `removed: true`")
        if self.before >= self.revision:
            raise ValueError(f"before {self.before}; expected less than revision {self.revision}")


@dataclass(frozen=True, slots=True)
class Head:
    """What a group consists of."""

    schema: int = setting(doc="version of this format", choices=(SCHEMA,))
    revision: int = setting(doc="the newest in the group", minimum=1, maximum=MAX_REVISION)
    since: int = setting(doc="what has an older revision is void", minimum=1, maximum=MAX_REVISION)
    issued_at: str = setting(doc="RFC 3339, by the publisher's clock", pattern=ISSUED_AT)
    shards: dict[str, str] = setting(
        doc="of each shard that is not empty: how many, and a digest", pattern=SHARD_DIGEST
    )

    def __post_init__(self) -> None:
        if self.since > self.revision + 1:
            raise ValueError(f"since {self.since}; expected at most one more than revision {self.revision}")
        if len(self.shards) > SHARDS or any(not _is_shard(name) for name in self.shards):
            raise ValueError("names of shards; expected two hexadecimal digits each")
        if self.count > MAX_COUNT:
            raise ValueError(f"{self.count} identities; expected at most {MAX_COUNT}")

    @property
    def count(self) -> int:
        """Identities of the group."""
        return sum(map(count_of, self.shards.values()))


def _is_shard(name: str) -> bool:
    return len(name) == 2 and all(char in "0123456789abcdef" for char in name)


def parse_head(text: bytes) -> Head:
    """RefusedError `malformed`, or `newer` for a version that this ostiary does not know."""
    found: Head = _parsed(Head, text)
    return found


def parse_said(text: bytes) -> Said:
    """RefusedError likewise."""
    found: Said = _parsed(Said, text)
    return found


def parse_content(text: bytes) -> Content:
    """What was sealed."""
    found: Content = _built(Content, read_object(text))
    return found


def _parsed(kind: Any, text: bytes) -> Any:
    found = read_object(text)
    schema = found.get("schema")
    if isinstance(schema, int) and not isinstance(schema, bool) and schema > SCHEMA:
        raise RefusedError("newer", f"schema {schema}, from a newer ostiary; this one knows {SCHEMA}")
    return _built(kind, found)


def _built(kind: Any, found: Mapping[str, Any]) -> Any:
    # An empty mapping stands for all defaults in a configuration, but not in what somebody signed.
    made, faults = build(kind, found)
    if made is None:
        raise RefusedError("malformed", _told(faults))
    return made


def _told(faults: list[Fault]) -> str:
    more = f"; and {len(faults) - SHOWN_FAULTS} more" if len(faults) > SHOWN_FAULTS else ""
    return "; ".join(map(str, faults[:SHOWN_FAULTS])) + more


def text_of(said: Said | Head | Content) -> str:
    """As JSON, without what is left out by default."""
    return json.dumps(_plain(said), ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    if not hasattr(type(value), "__dataclass_fields__"):
        return value
    fields = type(value).__dataclass_fields__
    return {
        name: _plain(found)
        for name, one in fields.items()
        if (found := getattr(value, name)) != one.default or isinstance(value, Head)
    }


def decode_vector(text: str) -> bytes:
    """RefusedError unless it is base64 of whole float32."""
    try:
        found = base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, ValueError):
        raise RefusedError("malformed", "an embedding is not base64") from None
    if not found or len(found) % 4:
        raise RefusedError("malformed", f"an embedding of {len(found)} bytes; expected float32")
    return found
