"""Whom a new picture resembles: warnings at enrolment, when they can still be heeded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from edge.datatypes import Floats, Identity
from edge.gallery.search import Index

DUPLICATE_FROM = 0.98
"""The same picture, saved again or a frame later: it adds nothing to what is known of the person."""
SHOWN = 3


@dataclass(frozen=True, slots=True)
class Likeness:
    """One resemblance that somebody should know of."""

    kind: Literal["duplicate", "look_alike", "unlike"]
    identity: Identity | None
    """The other person of a look-alike; else None."""
    similarity: float
    threshold: float
    message: str


def likenesses(
    index: Index, probe: Floats, *, own_id: str | None, own: Sequence[Floats] = (), threshold: float
) -> list[Likeness]:
    """What is remarkable about `probe`, an L2-normalised float32 (D,), as an enrolment of identity `own_id`.

    `index` should hold everyone (`Gallery.load_index(everyone=True)`), `own` what else is about to be enrolled for the
    same person, `threshold` the similarity of the operating point in use.
    """
    scores = index.scores(probe)
    mine = [float(probe @ other) for other in own]
    others: list[tuple[float, Identity]] = []
    for row in np.flatnonzero(scores >= threshold):
        identity = index.identities[row]
        if identity.id != own_id:
            others.append((float(scores[row]), identity))
    stored = None if own_id is None else index.of(own_id, probe)
    if stored is not None:
        mine.append(stored)
    found = [_look_alike(identity, similarity, threshold) for similarity, identity in _strongest(others)]
    if mine and max(mine) >= DUPLICATE_FROM:
        found.insert(0, _duplicate(max(mine)))
    elif mine and max(mine) < threshold:
        found.insert(0, _unlike(max(mine), threshold))
    return found


def _strongest(others: list[tuple[float, Identity]]) -> list[tuple[float, Identity]]:
    return sorted(others, key=lambda pair: -pair[0])[:SHOWN]


def _duplicate(similarity: float) -> Likeness:
    text = f"nearly the same picture is enrolled already (similarity {similarity:.3f} >= {DUPLICATE_FROM}): it teaches nothing new"
    return Likeness("duplicate", None, similarity, DUPLICATE_FROM, text)


def _unlike(similarity: float, threshold: float) -> Likeness:
    text = (
        f"unlike every other picture of this person (similarity {similarity:.3f} < {threshold:.3f}): "
        "make sure that it shows the right one"
    )
    return Likeness("unlike", None, similarity, threshold, text)


def _look_alike(identity: Identity, similarity: float, threshold: float) -> Likeness:
    text = (
        f"looks like {identity.name} (similarity {similarity:.3f} >= {threshold:.3f}): may be the same person, "
        "or a look-alike: margins will be narrow"
    )
    return Likeness("look_alike", identity, similarity, threshold, text)
