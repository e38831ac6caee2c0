"""The bootstrap over people beside people who are really drawn, copied and compared again."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convert.accuracy import comparisons
from convert.accuracy.comparisons import Comparisons, Weights, compare_all, compare_sides
from convert.accuracy.operating_points import lowest_threshold, share_reaching
from convert.accuracy.person_bootstrap import Rates, Weighing, draw_people, measured, middle
from edge.datatypes import Floats

RATES = (0.3, 0.1, 0.02)
THRESHOLDS = (-0.2, 0.1, 0.5)


def population(people: int, seed: int) -> tuple[dict[str, Floats], dict[str, str]]:
    """One to five pictures each, around a direction of their own; coarse values, so that many similarities are equal."""
    random = np.random.default_rng(seed)
    vectors: dict[str, Floats] = {}
    for person in range(people):
        centre = random.normal(size=4)
        for picture in range(random.integers(1, 6)):
            made = np.round(centre + 0.5 * random.normal(size=4)) + np.array([0.1, 0, 0, 0])
            vectors[f"{person}/{picture}"] = np.asarray(made / np.linalg.norm(made), np.float32)
    return vectors, {name: name.split("/")[0] for name in vectors}


def really_drawn(
    vectors: dict[str, Floats], people: dict[str, str], weights: Weights, order: list[str]
) -> tuple[Floats, Floats]:
    """Genuine and impostor similarities, upwards, of a set in which each person stands as often as drawn.

    Copies of one person are not compared with each other.
    """
    copies = [(person, copy) for person, count in zip(order, weights, strict=True) for copy in range(int(count))]
    pictures = [(person, copy, name) for person, copy in copies for name in vectors if people[name] == person]
    genuine, impostor = [], []
    for (one, first, x), (other, second, y) in combinations(pictures, 2):
        if one != other:
            impostor.append(vectors[x] @ vectors[y])
        elif first == second:
            genuine.append(vectors[x] @ vectors[y])
    return np.sort(np.array(genuine, np.float32)), np.sort(np.array(impostor, np.float32))


def naive(genuine: Floats, impostor: Floats) -> Rates:
    there = [lowest_threshold(impostor, rate) for rate in RATES]
    return Rates(
        tuple(there),
        tuple(1 - share_reaching(genuine, threshold) for threshold in there),
        tuple(share_reaching(impostor, threshold) for threshold in THRESHOLDS),
        tuple(1 - share_reaching(genuine, threshold) for threshold in THRESHOLDS),
    )


def same(found: Rates, wanted: Rates) -> None:
    # 1e-6: the order of sums in a product of matrices is not that of a product of vectors.
    assert found.thresholds == pytest.approx(wanted.thresholds, abs=1e-6)
    assert found.fnmr_there == pytest.approx(wanted.fnmr_there, abs=1e-9)
    assert found.fmr == pytest.approx(wanted.fmr, abs=1e-9)
    assert found.fnmr == pytest.approx(wanted.fnmr, abs=1e-9)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_weights_say_what_drawn_people_say(seed: int) -> None:
    vectors, people = population(7, seed)
    # Similarities that differ by rounding alone are made equal, as they are among copies.
    found = snapped(compare_all(vectors, people))
    order = sorted(set(people.values()))
    weights = np.random.default_rng(seed).multinomial(7, np.full(7, 1 / 7)).astype(np.float64)
    weighing = Weighing(found, RATES, THRESHOLDS)
    genuine, impostor = (np.sort(np.round(values, 4)) for values in really_drawn(vectors, people, weights, order))
    assert weighing.can_be_drawn(weights) == bool(len(genuine) and len(impostor))
    if weighing.can_be_drawn(weights):
        same(weighing.rates(weights), naive(genuine, impostor))
    once = really_drawn(vectors, people, np.ones(7), order)
    if len(once[0]):
        same(measured(found, RATES, THRESHOLDS), naive(*(np.sort(np.round(values, 4)) for values in once)))


def snapped(found: Comparisons) -> Comparisons:
    """Similarities to four digits."""
    from dataclasses import replace

    return replace(found, genuine=np.round(found.genuine, 4), impostor=np.round(found.impostor, 4))


def test_probes_and_gallery_are_weighed_apart() -> None:
    vectors, people = population(9, 3)
    worse = {name: vector[[1, 0, 2, 3]] for name, vector in vectors.items() if name.endswith(("0", "1"))}
    found = compare_sides(worse, vectors, people)
    weights = np.random.default_rng(1).multinomial(9, np.full(9, 1 / 9)).astype(np.float64)
    weight = dict(zip(sorted(set(people.values())), weights, strict=True))
    total = accepted = 0.0
    for probe, picture in ((x, y) for x in worse for y in vectors if people[x] != people[y]):
        product = weight[people[probe]] * weight[people[picture]]
        total += product
        accepted += product * (float(worse[probe] @ vectors[picture]) >= 0.123)
    assert 0 < accepted < total
    assert Weighing(found, (), (0.123,)).rates(weights).fmr == pytest.approx((accepted / total,))


def test_the_spread_is_that_of_people_who_are_really_drawn() -> None:
    vectors, people = population(30, 5)
    found, order = compare_all(vectors, people), sorted(set(people.values()))
    drawn = draw_people(found, (0.1,), (0.3,), draws=400)
    random = np.random.default_rng(77)
    rows = []
    for _ in range(100):
        weights = np.bincount(random.integers(0, 30, 30), minlength=30).astype(np.float64)
        genuine, impostor = really_drawn(vectors, people, weights, order)
        rows.append((share_reaching(impostor, 0.3), 1 - share_reaching(genuine, 0.3)))
    for column, table in enumerate((drawn.fmr, drawn.fnmr)):
        really = np.array(rows)[:, column]
        assert table.mean() == pytest.approx(really.mean(), abs=4 * really.std() / 10)
        assert table.std() == pytest.approx(really.std(), rel=0.25)


def test_people_of_one_genuine_comparison_have_the_binomial_spread() -> None:
    """Each person is one genuine comparison: the bootstrap over people is then that over comparisons, var = p (1 - p) / n."""
    count = 500
    genuine = np.sort(np.random.default_rng(2).random(count).astype(np.float32))
    found = Comparisons(
        genuine, np.arange(count, dtype=np.int32), np.array([0.5], np.float32), np.array([[0], [1]], np.int32),
        np.full(count, 2.0), np.full(count, 2.0), 4 * count * (count - 1) // 2,
    )  # fmt: skip
    table = draw_people(found, (), (0.5,), draws=1000).fnmr[:, 0]
    share = 1 - share_reaching(genuine, 0.5)
    assert table.mean() == pytest.approx(share, abs=0.005)
    assert table.std() == pytest.approx(np.sqrt(share * (1 - share) / count), rel=0.1)


def test_comparisons_that_share_people_are_less_sure_than_their_number_says() -> None:
    vectors, people = population(60, 8)
    found = compare_all(vectors, people)
    rate = measured(found, (), (0.5,)).fmr[0]
    binomial = np.sqrt(rate * (1 - rate) / found.impostor_pairs)
    assert draw_people(found, (), (0.5,), draws=300).fmr.std() > 2 * binomial


def test_the_same_seed_gives_the_same_draws() -> None:
    found = compare_all(*population(20, 1))
    first, again, other = (draw_people(found, RATES, (0.2,), draws=20, seed=seed) for seed in (4, 4, 5))
    assert np.array_equal(first.fmr, again.fmr)
    assert np.array_equal(first.thresholds, again.thresholds)
    assert not np.array_equal(first.fmr, other.fmr)


def test_draws_without_a_comparison_are_drawn_again() -> None:
    """Of three people only one has two pictures: he is missing from three draws in ten."""
    vectors = {name: np.array([np.cos(x), np.sin(x)], np.float32) for name, x in
               (("0/0", 0.0), ("0/1", 0.3), ("1/0", 1.0), ("2/0", 2.0))}  # fmt: skip
    drawn = draw_people(compare_all(vectors, {name: name[0] for name in vectors}), (), (0.5,), draws=50)
    assert np.isfinite(drawn.fnmr).all()
    assert drawn.fnmr.shape == (50, 1)


def test_middle_is_what_lies_between_the_percentiles() -> None:
    assert middle(np.stack([np.arange(1001.0), np.zeros(1001)], axis=1)) == [(25.0, 975.0), (0.0, 0.0)]


def test_a_threshold_under_what_was_kept_is_no_question(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparisons, "KEPT_AT_LEAST", 20)
    found = compare_all(*population(20, 1))
    assert len(found.impostor) < found.impostor_pairs
    with pytest.raises(ValueError, match="impostors below were not kept"):
        measured(found, (), (-1.0,))
    with pytest.raises(ValueError, match="no comparison of one person"):
        measured(compare_all({"a": np.array([1, 0], np.float32)}, {"a": "A"}), (), (0.5,))
