"""A short name for a set of identities and their revisions, and which set it is that a head names.

A publisher that was cut off has said something that no head counts yet. So what a head counts may be less than what lies at
the broker: without the newest words, each of which says what it took the place of. (Who next publishes in that shard
counts them, so that what is not counted is always the newest of its shard.)
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

DIGEST_BYTES = 12
"""Whoever could look for another set with the same 96 bits has a key of the group and needs none."""

MOST_TAKEN_BACK = 64


@dataclass(frozen=True, slots=True, order=True)
class Late:
    """A word that a head may not count yet."""

    revision: int
    identity_id: str
    before: int
    """Revision of the identity before it; 0 for none."""


def counted(living: Mapping[str, int], late: Iterable[Late], *, since: int, wanted: str) -> dict[str, int] | None:
    """Id -> revision of those of a shard whom a head with the digest `wanted` counts; None where nothing fits."""
    found = dict(living)
    newest = sorted(late, reverse=True)[:MOST_TAKEN_BACK]
    for word in newest:
        if shard_digest(found.items()) == wanted:
            return found
        found.pop(word.identity_id, None)
        if word.before >= max(1, since):
            found[word.identity_id] = word.before
    return found if shard_digest(found.items()) == wanted else None


def shard_digest(identities: Iterable[tuple[str, int]]) -> str:
    """Of (id, revision): how many, a full stop, and 16 characters; the empty string for none of them."""
    lines = sorted(f"{identity_id} {revision}\n" for identity_id, revision in identities)
    if not lines:
        return ""
    made = hashlib.sha256("".join(lines).encode()).digest()[:DIGEST_BYTES]
    return f"{len(lines)}.{base64.urlsafe_b64encode(made).decode()}"


def count_of(digest: str) -> int:
    """How many it is of."""
    return int(digest.partition(".")[0] or 0)
