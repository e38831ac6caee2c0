from __future__ import annotations

from collections.abc import Callable
from itertools import combinations, product

import numpy as np
import pytest

from convert.accuracy import comparisons
from convert.accuracy.comparisons import Comparisons, compare_all, compare_sides
from edge.datatypes import Floats

PEOPLE = {"a": "Ada", "b": "Bob", "c": "Ada", "d": "Cyd", "e": "Ada", "f": "Bob", "g": "Dan", "h": "no face"}
NUMBER = {"Ada": 0, "Bob": 1, "Cyd": 2, "Dan": 3}


def unit(rows: int, seed: int) -> Floats:
    made = np.random.default_rng(seed).normal(size=(rows, 16)).astype(np.float32)
    return np.asarray(made / np.linalg.norm(made, axis=1, keepdims=True), np.float32)


def kept(found: Comparisons) -> list[tuple[float, int, int]]:
    """Impostors as (similarity, person, person), downwards."""
    rows = zip(found.impostor.tolist(), *found.impostor_people.tolist(), strict=True)
    return [(round(similarity, 5), *sorted(people)) for similarity, *people in rows]  # type: ignore[misc]


def test_every_pair_is_compared_once() -> None:
    vectors = dict(zip("abcdefg", unit(7, 0), strict=True))
    found = compare_all(vectors, PEOPLE)
    pairs = [(float(vectors[x] @ vectors[y]), PEOPLE[x], PEOPLE[y]) for x, y in combinations("abcdefg", 2)]
    genuine = sorted((round(value, 5), NUMBER[one]) for value, one, other in pairs if one == other)
    impostor = [(round(value, 5), *sorted([NUMBER[one], NUMBER[other]])) for value, one, other in pairs if one != other]
    own = zip(found.genuine.tolist(), found.genuine_person.tolist(), strict=True)
    assert [(round(value, 5), person) for value, person in own] == genuine
    assert kept(found) == sorted(impostor, reverse=True)
    assert (found.impostor_pairs, found.people) == (21 - 4, 4)
    assert found.probes.tolist() == found.gallery.tolist() == [3, 2, 1, 1]


def test_a_probe_is_compared_with_every_picture_but_its_own() -> None:
    clean, worse = dict(zip("abcdefg", unit(7, 0), strict=True)), dict(zip("ace", unit(3, 1), strict=True))
    found = compare_sides(worse, clean, PEOPLE)
    pairs = [(x, y, float(worse[x] @ clean[y])) for x, y in product("ace", "abcdefg") if x != y]
    np.testing.assert_allclose(found.genuine, sorted(value for _, y, value in pairs if PEOPLE[y] == "Ada"), atol=1e-6)
    np.testing.assert_allclose(
        found.impostor, sorted((value for _, y, value in pairs if PEOPLE[y] != "Ada"), reverse=True), atol=1e-6
    )
    assert (len(found.genuine), found.impostor_pairs) == (6, 12)
    assert set(found.impostor_people[0].tolist()) == {0}
    assert (found.probes.tolist(), found.gallery.tolist()) == ([3, 0, 0, 0], [3, 2, 1, 1])


@pytest.mark.parametrize(
    ("reach", "share", "least"),
    [
        (1.0, 0.03, lambda all_of_them: 0.03 * len(all_of_them)),
        (1.0, 0.1, lambda all_of_them: 0.1 * len(all_of_them)),
        (1.0, 0.0001, lambda _: 50),
        (0.0, 0.03, lambda all_of_them: np.count_nonzero(all_of_them >= 0)),
    ],
)
def test_of_many_the_highest_are_kept(
    reach: float, share: float, least: Callable[[Floats], float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(comparisons, "KEPT_AT_LEAST", 50)
    monkeypatch.setattr(comparisons, "_BLOCK", 7)
    vectors = {f"{number}": vector for number, vector in enumerate(unit(90, 3))}
    people = {name: str(int(name) // 2) for name in vectors}
    found = compare_sides(vectors, vectors, people, reach=reach, share=share)
    everything = np.sort([vectors[x] @ vectors[y] for x, y in product(vectors, vectors) if people[x] != people[y]])[
        ::-1
    ]
    assert found.impostor_pairs == len(everything) == 90 * 88
    assert least(everything) <= len(found.impostor) < least(everything) + 20
    np.testing.assert_allclose(found.impostor, everything[: len(found.impostor)], atol=1e-6)


@pytest.mark.parametrize("sides", [1, 2])
def test_the_weight_of_all_impostors_is_the_sum_of_products(sides: int) -> None:
    vectors = dict(zip("abcdefg", unit(7, 0), strict=True))
    found = compare_all(vectors, PEOPLE) if sides == 1 else compare_sides(vectors, vectors, PEOPLE)
    weights = np.array([2.0, 0.0, 3.0, 1.0])
    naive = sum(weights[first] * weights[second] for first, second in found.impostor_people.T)
    assert naive > 0
    assert found.impostor_weight(weights) == pytest.approx(naive)
    assert found.impostor_weight(np.ones(4)) == found.impostor_pairs


def test_nothing_cannot_be_compared() -> None:
    with pytest.raises(ValueError, match="at least one array"):
        compare_all({}, {})
