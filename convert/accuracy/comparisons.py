"""Every comparison between labelled embeddings, with the people of each, so that people can be drawn again from it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.datatypes import Floats

Numbers = NDArray[np.int32]
Weights = NDArray[np.float64]

KEPT_SHARE = 0.03
"""Impostor comparisons kept one by one, from the most similar down: three times the highest rate that is asked for."""
KEPT_AT_LEAST = 200_000
_BLOCK = 256
_BINS = 10_000


@dataclass(frozen=True, slots=True, eq=False)
class Comparisons:
    """Similarities of one person (genuine) and of two people (impostor). P people have the numbers 0 to P - 1."""

    genuine: Floats
    """(G,) float32, sorted upwards."""
    genuine_person: Numbers
    """(G,) whose."""
    impostor: Floats
    """(K,) float32, sorted downwards: the highest; all others are lower than the last one."""
    impostor_people: Numbers
    """(2, K): whose probe, and whose picture of the gallery."""
    probes: Weights
    """(P,) how many probes each person has."""
    gallery: Weights
    """(P,) how many pictures of the gallery."""
    impostor_pairs: int
    """All of them, kept or not."""

    @property
    def people(self) -> int:
        """P."""
        return len(self.probes)

    def impostor_weight(self, weights: Weights) -> float:
        """Sum over all impostor comparisons of the product of both people's weights (P,)."""
        return self.impostor_pairs * self._product(weights) / self._product(np.ones_like(weights))

    def _product(self, weights: Weights) -> float:
        probes, gallery = weights * self.probes, weights * self.gallery
        return float(probes.sum() * gallery.sum() - probes @ gallery)


@dataclass(frozen=True, slots=True, eq=False)
class _Side:
    """Embeddings (N, D), whose each is, and a number by which a picture is known on the other side too."""

    matrix: Floats
    person: Numbers
    picture: Numbers


@dataclass(frozen=True, slots=True)
class _Kept:
    """Which impostors are kept: those of at least `reach`, and at least this share of all."""

    reach: float = 1.0
    share: float = KEPT_SHARE


@dataclass(frozen=True, slots=True, eq=False)
class _Block:
    """Some probes beside the whole gallery; `wanted` leaves out what is not to be compared."""

    similarities: Floats
    same: NDArray[np.bool_]
    wanted: NDArray[np.bool_]
    begin: int


@dataclass(frozen=True, slots=True, eq=False)
class _Sides:
    probes: _Side
    gallery: _Side
    each_once: bool
    """Every two pictures once; else every probe with every picture but its own."""

    def blocks(self) -> Iterator[_Block]:
        probes, gallery = self.probes, self.gallery
        for begin in range(0, len(probes.matrix), _BLOCK):
            rows = slice(begin, begin + _BLOCK)
            mine, theirs = probes.picture[rows, None], gallery.picture[None]
            wanted = theirs > mine if self.each_once else theirs != mine
            same = probes.person[rows, None] == gallery.person[None]
            yield _Block(probes.matrix[rows] @ gallery.matrix.T, same, wanted, begin)


def compare_all(embeddings: Mapping[str, Floats], people: Mapping[str, str]) -> Comparisons:
    """Every unordered pair once; `people` gives the person of each name. Of the impostors KEPT_SHARE are kept."""
    known = _numbered([people[name] for name in embeddings])
    side = _side(embeddings, people, known, _numbered(embeddings))
    return _compared(_Sides(side, side, each_once=True), len(known), _Kept())


def compare_sides(
    probes: Mapping[str, Floats],
    gallery: Mapping[str, Floats],
    people: Mapping[str, str],
    *,
    reach: float = 1.0,
    share: float = KEPT_SHARE,
) -> Comparisons:
    """Every probe with every picture of the gallery but the one of its own name.

    All impostor similarities of at least `reach` are kept, and no less than `share` of all.
    """
    known = _numbered([people[name] for name in [*probes, *gallery]])
    pictures = _numbered([*probes, *gallery])
    sides = _Sides(_side(probes, people, known, pictures), _side(gallery, people, known, pictures), each_once=False)
    return _compared(sides, len(known), _Kept(reach, share))


def _numbered(names: Sequence[str] | Mapping[str, object]) -> dict[str, int]:
    return {name: number for number, name in enumerate(sorted(set(names)))}


def _side(
    embeddings: Mapping[str, Floats], people: Mapping[str, str], known: Mapping[str, int], pictures: Mapping[str, int]
) -> _Side:
    person = np.array([known[people[name]] for name in embeddings], np.int32)
    picture = np.array([pictures[name] for name in embeddings], np.int32)
    return _Side(np.stack(list(embeddings.values())), person, picture)


def _compared(sides: _Sides, people: int, kept: _Kept) -> Comparisons:
    least, pairs = _least_kept(sides, kept)
    genuine, impostor = [], []
    for block in sides.blocks():
        genuine.append(_picked(sides, block, block.wanted & block.same))
        impostor.append(_picked(sides, block, block.wanted & ~block.same & (block.similarities >= least)))
    own, own_people = _sorted(genuine)
    other, other_people = _sorted(impostor)
    counts = [np.bincount(side.person, minlength=people).astype(np.float64) for side in (sides.probes, sides.gallery)]
    return Comparisons(own, own_people[0], other[::-1], other_people[:, ::-1], counts[0], counts[1], pairs)


def _least_kept(sides: _Sides, kept: _Kept) -> tuple[float, int]:
    """The similarity from which impostors are kept, and how many there are in all."""
    counts = np.zeros(_BINS, np.int64)
    for block in sides.blocks():
        found = block.similarities[block.wanted & ~block.same]
        counts += np.bincount(np.clip((found + 1) * (_BINS / 2), 0, _BINS - 1).astype(np.int32), minlength=_BINS)
    pairs = int(counts.sum())
    above = np.cumsum(counts[::-1])
    enough = max(KEPT_AT_LEAST, int(np.ceil(pairs * kept.share)))
    if pairs <= enough:
        return -np.inf, pairs
    # One bin more: rounding may put a similarity at an edge on either side of it.
    edge = 1.0 - (int(np.argmax(above >= enough)) + 2) / (_BINS / 2)
    return min(edge, kept.reach), pairs


def _picked(sides: _Sides, block: _Block, mask: NDArray[np.bool_]) -> tuple[Floats, Numbers]:
    """Similarities where `mask` is on (K,), and the people of both sides (2, K)."""
    rows, columns = np.nonzero(mask)
    people = np.stack([sides.probes.person[block.begin + rows], sides.gallery.person[columns]])
    return block.similarities[rows, columns], people


def _sorted(parts: Sequence[tuple[Floats, Numbers]]) -> tuple[Floats, Numbers]:
    """Similarities upwards, and the people of each."""
    similarities = np.concatenate([part for part, _ in parts])
    people = np.concatenate([part for _, part in parts], axis=1)
    order = np.argsort(similarities, kind="stable")
    return similarities[order], people[:, order]
