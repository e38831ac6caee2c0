from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from convert.accuracy.comparisons import Comparisons
from convert.accuracy.operating_points import (
    FALSE_MATCH_RATES,
    LEAST_FALSE_MATCHES,
    lowest_threshold,
    operating_points,
    share_reaching,
)
from edge.bundle.manifest import Manifest
from edge.errors import EXIT_USAGE, UsageError
from edge.validation import hints_of

similarities = st.lists(
    st.one_of(st.floats(-1, 1, width=32), st.sampled_from([-1.0, 0.0, 0.25, 1.0])), min_size=1, max_size=60
)
rates = st.one_of(st.floats(0, 1), st.sampled_from([0.0, 0.1, 0.5, 1.0]))


def sorted_array(values: list[float]) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    return np.sort(np.array(values, np.float32))


@given(values=similarities, threshold=st.floats(-1.1, 1.1))
def test_share_is_counted(values: list[float], threshold: float) -> None:
    naive = sum(float(np.float32(value)) >= threshold for value in values) / len(values)
    assert share_reaching(sorted_array(values), threshold) == pytest.approx(naive, abs=1e-12)


@given(values=similarities, rate=rates)
def test_threshold_keeps_the_rate_and_no_lower_one_does(values: list[float], rate: float) -> None:
    impostor = sorted_array(values)
    threshold = lowest_threshold(impostor, rate)
    assert share_reaching(impostor, threshold) <= rate + 1e-9
    if threshold > -1:
        assert share_reaching(impostor, float(np.nextafter(threshold, -np.inf))) > rate


def test_share_of_nothing_is_nothing() -> None:
    assert share_reaching(np.zeros(0, np.float32), 0.5) == 0.0


def comparisons(impostors: int, people: int = 1000) -> Comparisons:
    """500 genuine comparisons and `impostors` of two people, of people who have nothing else in common."""
    random = np.random.default_rng(0)
    numbers = np.arange(impostors, dtype=np.int32)
    return Comparisons(
        np.sort(random.normal(0.6, 0.1, 500).clip(-1, 1).astype(np.float32)),
        np.arange(500, dtype=np.int32) % people,
        np.sort(random.normal(0.0, 0.1, impostors).clip(-1, 1).astype(np.float32))[::-1],
        np.stack([numbers % people, (numbers + 1) % people]),
        np.ones(people),
        np.ones(people),
        impostors,
    )


def test_points_tell_what_holds_at_their_threshold() -> None:
    measured = comparisons(40_000)
    points = operating_points(measured, "made up")
    assert list(points) == ["fmr-1e-2", "fmr-1e-3"]
    for name, point in points.items():
        accepted = np.count_nonzero(measured.impostor.astype(np.float64) >= point.threshold)
        refused = np.count_nonzero(measured.genuine.astype(np.float64) < point.threshold)
        assert point.fmr == pytest.approx(accepted / 40_000, rel=1e-3)
        assert point.fnmr == pytest.approx(refused / 500, rel=1e-3, abs=1e-6)
        assert point.fmr <= FALSE_MATCH_RATES[name]
        assert point.threshold == round(point.threshold, 4)
        assert (point.impostor_pairs, point.genuine_pairs, point.measured_on) == (40_000, 500, "made up")


def test_intervals_hold_the_figures_and_narrow_with_the_rate() -> None:
    points = operating_points(comparisons(400_000), "made up")
    widths = []
    for point in points.values():
        sure = point.confidence_95
        assert sure is not None
        assert sure.people == 1000
        for value, (low, high) in ((point.threshold, sure.threshold), (point.fmr, sure.fmr), (point.fnmr, sure.fnmr)):
            assert low <= value + 1e-4
            assert value <= high + 1e-4
        widths.append((sure.fmr[1] - sure.fmr[0]) / point.fmr)
    assert widths == sorted(widths), "rarer means less sure"


@pytest.mark.parametrize("people", [19, 20])
def test_too_few_people_have_no_interval(people: int) -> None:
    (point, *_) = operating_points(comparisons(5000, people), "made up").values()
    assert (point.confidence_95 is None) == (people == 19)


@pytest.mark.parametrize(("impostors", "names"), [(2999, 0), (3000, 1), (29_999, 1), (3_000_000, 4)])
def test_a_rate_needs_thirty_false_matches(impostors: int, names: int) -> None:
    assert LEAST_FALSE_MATCHES == 30
    if not names:
        with pytest.raises(UsageError, match="too few") as caught:
            operating_points(comparisons(impostors), "made up")
        assert caught.value.exit_code == EXIT_USAGE
        return
    assert list(operating_points(comparisons(impostors), "made up")) == list(FALSE_MATCH_RATES)[:names]


def test_no_genuine_pair_is_too_few() -> None:
    with pytest.raises(UsageError, match="0 of one"):
        operating_points(replace(comparisons(5000), genuine=np.zeros(0, np.float32)), "made up")


def test_the_daemons_default_is_among_the_names() -> None:
    from edge.config.settings import Decide

    assert Decide().operating_point in FALSE_MATCH_RATES
    assert "operating_points" in hints_of(Manifest)
