"""Lines of an export, version by version: see edge.gallery.archive_format."""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

from edge.config.shapes import SLUG
from edge.gallery.synced import State
from edge.validation import setting

SCHEMA_VERSION = 3
"""Version 2 added consent, groups, zones and schedule of an identity; version 3 embeddings of several embedders, the
alignment template of a kept face, and people of groups."""
MAX_IDENTITIES = 1_000_000
MAX_EMBEDDINGS = 1_000_000
ULID = r"[0-7][0-9A-HJKMNP-TV-Z]{25}"
_LATEST_S = 253402300800.0
"""The year 10000."""


@dataclass(frozen=True, slots=True)
class Header:
    """First line."""

    schema: int = setting(doc="version of this format", choices=(1, 2, SCHEMA_VERSION))
    embedder_id: str = setting(doc="what the embeddings belong to", pattern=r"\S{1,64}")
    embedding_length: int = setting(doc="values in an embedding", minimum=2, maximum=4096)
    identities: int = setting(doc="how many follow", minimum=0, maximum=MAX_IDENTITIES)
    embeddings: int = setting(doc="how many follow in all", minimum=0, maximum=MAX_EMBEDDINGS)
    has_faces: bool = setting(doc="whether aligned faces are in here")
    exported_at: float = setting(doc="Unix seconds", minimum=0, maximum=_LATEST_S)
    embedders: dict[str, int] = setting({}, doc="values in an embedding of every embedder")
    synced: int = setting(0, doc="how many follow", minimum=0, maximum=MAX_IDENTITIES)

    @property
    def lengths(self) -> dict[str, int]:
        """Values in an embedding of each embedder."""
        return {**self.embedders, self.embedder_id: self.embedding_length}


@dataclass(frozen=True, slots=True)
class SyncedLine:
    """What the publisher of a group has said of an identity."""

    origin: str = setting(doc="the group", pattern=SLUG)
    identity_id: str = setting(doc="ULID; empty for the group itself", pattern=f"({ULID})?")
    revision: int = setting(doc="the highest seen", minimum=0, maximum=2**62)
    state: str = setting(doc="what it came to", choices=get_args(State))


@dataclass(frozen=True, slots=True)
class IdentityLine:
    """One identity."""

    id: str = setting(doc="ULID", pattern=ULID)
    name: str = setting(doc="printable")
    note: str = setting(doc="free text")
    enabled: bool = setting(doc="whether it is matched")
    valid_from: float | None = setting(doc="Unix seconds")
    valid_until: float | None = setting(doc="Unix seconds")
    created_at: float = setting(doc="Unix seconds")
    updated_at: float = setting(doc="Unix seconds")
    consent: str = setting("", doc="how and when the person agreed")
    groups: tuple[str, ...] = setting((), doc="names of groups")
    zones: tuple[str, ...] = setting((), doc="names of zones")
    schedule: str = setting("", doc="as policy.groups has it")
    origin: str = setting("", doc="group that published the person", pattern=f"({SLUG})?")


@dataclass(frozen=True, slots=True)
class EmbeddingLine:
    """One embedding of the identity before it."""

    vector: str = setting(doc="base64 of little-endian float32")
    quality: float = setting(doc="0 to 1", minimum=0, maximum=1)
    source: str = setting(doc="where it came from")
    added_at: float = setting(doc="Unix seconds")
    face: str | None = setting(doc="base64 of a PNG")
    embedder: str = setting("", doc="whose `vector` is; the header's when empty", pattern=r"\S{0,64}")
    others: dict[str, str] = setting({}, doc="by other embedders: base64 as `vector`")
    template: str = setting("", doc="alignment template of the face", pattern=r"[A-Za-z0-9._-]{0,64}")


@dataclass(frozen=True, slots=True)
class EndLine:
    """Last line."""

    sha256: str = setting(doc="digest of all lines before", pattern=r"[0-9a-f]{64}")
