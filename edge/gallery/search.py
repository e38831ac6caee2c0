"""Nearest identities to a probe: an unchanging snapshot of the gallery in memory."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edge.datatypes import Access, Floats, Identity, Match
from edge.gallery.records import Member
from edge.gallery.scorers import make_scorer


class Index:
    """Every embedding of everyone enabled, valid now or not. Searching changes nothing; any number of threads may.

    Who they are and whether they may enter are two questions: were the expired left out, somebody who looks like one of
    them, or the expired person, would be taken for the next best.

    `vectors` is float32 (N, D), each row L2-normalised; `owner[n]` is the position in `members` of the identity it
    belongs to, in any order. Members without embeddings are left out.
    """

    def __init__(
        self,
        members: Sequence[Member],
        owner: NDArray[np.int64],
        vectors: Floats,
        *,
        revision: int = 0,
        refused_rows: int = 0,
        lacking: int = 0,
    ) -> None:
        if vectors.dtype != np.float32 or vectors.ndim != 2 or owner.shape != vectors.shape[:1]:
            raise ValueError(f"expected float32 (N, D) and owner (N,), got {vectors.shape} and {owner.shape}")
        self.revision = revision
        self.refused_rows = refused_rows
        """Damaged embeddings that were left out."""
        self.lacking = lacking
        """How many are enrolled, but only with embeddings of other embedders."""
        self._length = vectors.shape[1]
        present, compact = np.unique(owner, return_inverse=True)
        self._members = [members[position] for position in present]
        self._access = {member.identity.id: member.access for member in self._members}
        order = np.argsort(compact, kind="stable")
        self._owner = np.ascontiguousarray(compact.reshape(-1)[order], np.int64)
        self._starts = np.searchsorted(self._owner, np.arange(len(present) + 1)).astype(np.int64)
        is_sorted = bool((order[1:] > order[:-1]).all())
        self._scorer = make_scorer(vectors if is_sorted else vectors[order], self._owner, self._starts)

    def __len__(self) -> int:
        """How many embeddings."""
        return len(self._owner)

    @property
    def identities(self) -> list[Identity]:
        """In the order of `scores`."""
        return [member.identity for member in self._members]

    def search(self, probe: Floats) -> Match:
        """The nearest identity to an L2-normalised float32 (D,); ValueError for anything else.

        An identity is as similar as the most similar of its embeddings.
        """
        self._check(probe)
        if not self._members:
            return Match(None, -1.0, 0.0)
        best = self._scorer.best_two(probe)
        first, second = _cosine(best.first), _cosine(best.second)
        return Match(self._members[best.identity].identity, first, max(0.0, first - second))

    def search_many(self, probes: Floats) -> list[Match]:
        """One Match for each row of float32 (K, D).

        One by one: a product with two columns takes longer than two products with one (OpenBLAS: 6.5 and 3.7 ms).
        """
        return [self.search(probe) for probe in probes]

    def scores(self, probe: Floats) -> Floats:
        """Similarity to each of `identities`, float32."""
        self._check(probe)
        if not self._members:
            return np.empty(0, np.float32)
        best: Floats = np.maximum.reduceat(self._scorer.scores(probe), self._starts[:-1])
        return best

    def access(self, identity_id: str) -> Access | None:
        """What limits one identity; None when it is not in here."""
        return self._access.get(identity_id)

    def of(self, identity_id: str, probe: Floats) -> float | None:
        """Similarity to one identity, or None when it is not in here."""
        found = [n for n, member in enumerate(self._members) if member.identity.id == identity_id]
        return float(self.scores(probe)[found[0]]) if found else None

    def _check(self, probe: Floats) -> None:
        if probe.dtype != np.float32 or probe.shape != (self._length,):
            raise ValueError(f"probe: expected float32 ({self._length},), got {probe.dtype} {probe.shape}")
        square = float(probe @ probe)
        if not abs(square - 1) < 2e-3:
            raise ValueError(f"probe: expected length 1, got {math.sqrt(square) if square >= 0 else square}")


def _cosine(score: float) -> float:
    """Rounding may leave -1 to 1, and there may be nobody at all."""
    return min(1.0, max(-1.0, score))
