from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.datatypes import Access, Floats, Identity
from edge.gallery import scorers
from edge.gallery.records import Member
from edge.gallery.search import Index
from tests.edge.gallery.support import LENGTH, members, vectors

TOLERANCE = 1e-6


def naive(owner: list[int], matrix: Floats, probe: Floats) -> tuple[int, float, float]:
    """Best identity, its similarity and the margin, one comparison at a time in double precision."""
    best: dict[int, float] = {}
    for identity, vector in zip(owner, matrix, strict=True):
        similarity = math.fsum(float(a) * float(b) for a, b in zip(vector, probe, strict=True))
        best[identity] = max(best.get(identity, -1.0), similarity)
    ranked = sorted(best.values(), reverse=True)
    winner = max(best, key=lambda one: best[one])
    return winner, ranked[0], ranked[0] - (ranked[1] if len(ranked) > 1 else -1.0)


@st.composite
def galleries(draw: st.DrawFn) -> tuple[list[int], Floats, Floats]:
    count = draw(st.integers(1, 30))
    people = draw(st.integers(1, 8))
    owner = draw(st.lists(st.integers(0, people - 1), min_size=count, max_size=count))
    seed = draw(st.integers(0, 2**32 - 1))
    matrix = vectors(count, seed)
    if draw(st.booleans()):
        matrix[-1] = matrix[0]
    probe = matrix[draw(st.integers(0, count - 1))] if draw(st.booleans()) else vectors(1, seed + 1)[0]
    return owner, matrix, probe


def index_of(owner: list[int], matrix: Floats, scorer: str) -> Index:
    people = [
        Member(Identity(str(number), f"n{number}"), Access(valid_until=float(number)))
        for number in range(max(owner) + 1)
    ]
    index = Index(people, np.array(owner), matrix)
    if scorer == "pruned":
        order = np.argsort(owner, kind="stable")
        basis, _ = scorers.principal_basis(matrix)
        index._scorer = scorers.PrunedScorer(matrix[order], index._owner, index._starts, basis, 4)
    return index


@pytest.mark.parametrize("scorer", ["flat", "pruned"])
@given(galleries())
@settings(max_examples=150, deadline=None)
def test_search_agrees_with_one_comparison_at_a_time(
    scorer: str, given_gallery: tuple[list[int], Floats, Floats]
) -> None:
    owner, matrix, probe = given_gallery
    index = index_of(owner, matrix, scorer)
    winner, similarity, margin = naive(owner, matrix, probe)

    match = index.search(probe)

    assert abs(match.similarity - similarity) <= TOLERANCE
    assert abs(match.margin - margin) <= 2 * TOLERANCE
    assert match.margin >= 0
    if margin > 4 * TOLERANCE:
        assert match.identity == Identity(str(winner), f"n{winner}")


@given(galleries())
@settings(max_examples=50, deadline=None)
def test_scores_are_the_best_of_each_identity(given_gallery: tuple[list[int], Floats, Floats]) -> None:
    owner, matrix, probe = given_gallery
    for scorer in ("flat", "pruned"):
        index = index_of(owner, matrix, scorer)
        for identity, score in zip(index.identities, index.scores(probe), strict=True):
            number = int(identity.id)
            rows = np.flatnonzero(np.array(owner) == number)
            expected = naive([number] * len(rows), matrix[rows], probe)[1]
            assert abs(score - expected) <= TOLERANCE
            similarity = index.of(identity.id, probe)
            assert similarity is not None
            assert abs(similarity - expected) <= TOLERANCE


def concentrated(count: int, seed: int) -> Floats:
    """Like embeddings of real faces: few directions hold most of the energy."""
    spread = 1 / np.arange(1, 129)
    made = np.random.default_rng(seed).standard_normal((count, 128)) * spread
    return (made / np.linalg.norm(made, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize(
    ("make", "kind"),
    [(concentrated, scorers.PrunedScorer), (lambda count, seed: vectors(count, seed, 128), scorers.FlatScorer)],
)
def test_a_large_gallery_is_pruned_where_that_pays_and_gives_the_same(make: object, kind: type) -> None:
    assert callable(make)
    matrix = make(24_000, 1)
    owner = np.arange(24_000) % 6_000
    index = Index(members(6_000), owner, matrix)
    probes = np.concatenate([make(10, 2), matrix[:10]])

    assert isinstance(index._scorer, kind)
    for probe, match in zip(probes, index.search_many(probes), strict=True):
        best = np.full(6_000, -1.0)
        np.maximum.at(best, owner, matrix.astype(np.float64) @ probe)
        ranked = np.sort(best)
        assert abs(match.similarity - ranked[-1]) < 5e-6
        assert abs(match.margin - (ranked[-1] - ranked[-2])) < 1e-5


def test_pruning_looks_at_few_rows_whole() -> None:
    matrix = concentrated(24_000, 3)
    index = Index(members(6_000), np.arange(24_000) % 6_000, matrix)
    scorer = index._scorer
    assert isinstance(scorer, scorers.PrunedScorer)
    turned = matrix[77] @ scorer._basis
    head = turned[: scorer._length] @ scorer._head
    kept = scorer.candidates(head, turned[scorer._length :])
    assert 0 < len(kept) < 2_400
    assert scorer._length <= 64


def test_one_identity_has_the_widest_margin() -> None:
    matrix = vectors(3)
    match = Index(members(1), np.zeros(3, np.int64), matrix).search(matrix[1])
    assert match.identity == Identity("id0", "Name 0")
    assert abs(match.margin - (match.similarity + 1)) < TOLERANCE


def test_nobody_is_enrolled() -> None:
    index = Index([], np.empty(0, np.int64), np.empty((0, LENGTH), np.float32), revision=7)
    match = index.search(vectors(1)[0])
    assert (match.identity, match.similarity, match.margin) == (None, -1.0, 0.0)
    assert index.scores(vectors(1)[0]).shape == (0,)
    assert (len(index), index.revision) == (0, 7)


def test_members_without_embeddings_are_not_compared() -> None:
    matrix = vectors(1)
    index = Index(members(3), np.array([1]), matrix)
    assert index.identities == [Identity("id1", "Name 1")]
    assert index.search(matrix[0]).margin > 1.9
    assert index.of("id0", matrix[0]) is None


def test_who_is_not_valid_now_is_matched_too_and_not_taken_for_the_next_best() -> None:
    matrix = vectors(2)
    people = [
        Member(Identity("id0", "expired"), Access(valid_until=100.0)),
        Member(Identity("id1", "never"), Access(valid_from=math.inf)),
    ]
    index = Index(people, np.array([0, 1]), matrix)
    assert [index.search(row).identity for row in matrix] == [member.identity for member in people]
    assert [index.access(member.identity.id) for member in people] == [member.access for member in people]
    assert index.access("id2") is None


@pytest.mark.parametrize(
    "probe",
    [
        vectors(1)[0].astype(np.float64),
        vectors(1, length=LENGTH + 1)[0],
        vectors(1),
        np.zeros(LENGTH, np.float32),
        np.full(LENGTH, np.nan, np.float32),
        np.full(LENGTH, np.inf, np.float32),
        2 * vectors(1)[0],
    ],
)
def test_a_probe_that_is_no_embedding_is_refused(probe: Floats) -> None:
    index = Index(members(1), np.array([0]), vectors(1))
    with pytest.raises(ValueError, match="expected"):
        index.search(probe)


@pytest.mark.parametrize(
    ("owner", "matrix"),
    [([0], vectors(2)), ([0, 1], vectors(2).astype(np.float64)), ([0], vectors(1)[0])],
)
def test_arrays_that_do_not_fit_are_refused(owner: list[int], matrix: Floats) -> None:
    with pytest.raises(ValueError, match="expected"):
        Index(members(2), np.array(owner), matrix)
