"""Topics of gallery sync, and in which shard of its group an identity lies.

    {base}/gallery/<group>/head                        what the group consists of now
    {base}/gallery/<group>/identity/<shard>/<id>       one identity, or that it was removed

The shard is a level of its own because a subscription names whole levels: a box that lacks something asks for a 256th
of the group and not for all of it, and never has more on its way than a broker keeps for a slow client (mosquitto: 1000
messages, what is more is dropped).
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from edge.config.shapes import SLUG

IDENTITY_ID = r"[0-7][0-9A-HJKMNP-TV-Z]{25}"
"""A ULID (github.com/ulid/spec)."""
SHARD = r"[0-9a-f]{2}"
SHARDS = 256


@dataclass(frozen=True, slots=True)
class GroupTopics:
    """Topics of one group. `base` is mqtt.base_topic."""

    base: str
    group: str

    @property
    def root(self) -> str:
        """What all topics of the group begin with."""
        return f"{self.base}/gallery/{self.group}"

    @property
    def head(self) -> str:
        """Retained."""
        return f"{self.root}/head"

    def identity(self, identity_id: str) -> str:
        """Retained; a removal takes the identity's place."""
        return f"{self.root}/identity/{shard_of(identity_id)}/{identity_id}"

    def shard(self, shard: str) -> str:
        """A subscription to one shard."""
        return f"{self.root}/identity/{shard}/+"

    @property
    def identities(self) -> str:
        """A subscription to all of them."""
        return f"{self.root}/identity/+/+"

    def id_of(self, topic: str) -> str | None:
        """Whose topic it is; None for the head, and for what is no topic of this group."""
        found = re.fullmatch(rf"{re.escape(self.root)}/identity/({SHARD})/({IDENTITY_ID})", topic)
        return found[2] if found is not None and found[1] == shard_of(found[2]) else None


def shard_of(identity_id: str) -> str:
    """The first byte of the SHA-256 of the id, as two hexadecimal digits: even however ids were made."""
    return hashlib.sha256(identity_id.encode()).hexdigest()[:2]


def is_group(name: str) -> bool:
    """Whether it can name a group."""
    return re.fullmatch(SLUG, name) is not None
