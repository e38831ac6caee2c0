from __future__ import annotations

import numpy as np
import pytest

from convert.accuracy.confidence import bootstrap
from convert.accuracy.evaluate import Scores, confidence


def test_a_mean_has_the_interval_that_theory_gives_it() -> None:
    values = np.random.default_rng(1).random(400) < 0.9
    found = bootstrap([np.arange(400)], lambda chosen: {"mean": float(np.mean(values[chosen]))})["mean"]
    spread = 1.96 * np.sqrt(values.mean() * (1 - values.mean()) / 400)
    assert found == pytest.approx((values.mean() - spread, values.mean() + spread), abs=0.01)


def test_every_draw_takes_from_each_stratum_what_it_has() -> None:
    strata = [np.arange(3), np.arange(3, 10)]
    sizes = bootstrap(strata, lambda chosen: {"first": float(np.sum(chosen < 3)), "all": float(len(chosen))})
    assert sizes == {"first": (3.0, 3.0), "all": (10.0, 10.0)}


def test_scores_that_nothing_disturbs_have_no_spread() -> None:
    same = np.tile([True, False], 20)
    scores = Scores(np.where(same, 0.9, 0.1).astype(np.float32), same, np.repeat([0, 1], 20))
    assert confidence(scores) == {"accuracy_mean": (1.0, 1.0), "tar_1e-2": (1.0, 1.0), "tar_1e-3": (1.0, 1.0)}
