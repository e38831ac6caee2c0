from __future__ import annotations

import numpy as np
import pytest

from convert.train.detector.camera import as_taken, noise_field
from convert.train.detector.views import Views
from tests.convert.train.detector.made import pictures


@pytest.mark.parametrize(("high", "wide"), [(100, 100), (250, 250), (90, 130), (300, 80)])
@pytest.mark.parametrize("side", [64, 160])
def test_every_kind_of_view_is_made_of_any_picture(high: int, wide: int, side: int) -> None:
    views = Views(pictures(3, high, wide))
    made = views.batch(np.random.default_rng(0), 40, side)
    assert made.shape == (40, side, side, 3)
    assert made.dtype == np.uint8
    # A picture that fills the view and is not changed any further may come twice.
    assert len({view.tobytes() for view in made}) > 30


def test_the_generator_alone_decides() -> None:
    given = pictures(4)
    before = [picture.copy() for picture in given]
    views = Views(given)
    first = views.batch(np.random.default_rng([1, 7]), 12, 96)
    views.batch(np.random.default_rng([1, 8]), 5, 96)
    assert np.array_equal(first, Views(given).batch(np.random.default_rng([1, 7]), 12, 96))
    assert not np.array_equal(first, views.batch(np.random.default_rng([1, 8]), 12, 96))
    assert all(np.array_equal(one, other) for one, other in zip(given, before, strict=True))


def test_pictures_are_shown_small_and_large() -> None:
    """A picture of one bright spot on black: how much of a view is bright tells how large it is shown."""
    spot = np.zeros((250, 250, 3), np.uint8)
    spot[78:172, 78:172] = 255
    views = Views([spot])
    generator = np.random.default_rng(3)
    shares = [(views._close(generator, 128) > 127).mean() for _ in range(200)]
    assert min(shares) < 0.05
    assert max(shares) > 0.8


def test_a_camera_changes_light_and_grain_but_not_the_size() -> None:
    view = np.full((96, 96, 3), 120, np.uint8)
    generator = np.random.default_rng(0)
    noise = noise_field()
    made = [as_taken(view, generator, noise) for _ in range(100)]
    assert all(one.shape == view.shape and one.dtype == np.uint8 for one in made)
    levels = [one.mean() for one in made]
    assert min(levels) < 80
    assert max(levels) > 160
    assert any(one.std() > 3 for one in made)
    assert np.array_equal(view, np.full((96, 96, 3), 120, np.uint8))
