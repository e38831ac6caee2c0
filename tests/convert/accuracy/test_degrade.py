"""Degradations do what they say, by measures of their own, and always the same."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from convert.accuracy.degrade import (
    DEGRADATIONS,
    FULL_WELL,
    READ_NOISE,
    Degradation,
    blurred,
    compressed,
    darkened,
    shrunk,
    tilted,
)
from edge.datatypes import Box, Image

FACE = Box(40.0, 30.0, 140.0, 160.0)


def random(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.fixture
def picture() -> Image:
    return np.asarray(cv2.GaussianBlur(random().integers(0, 256, (200, 180, 3), np.uint8), (0, 0), 1.0), np.uint8)


@pytest.mark.parametrize("way", DEGRADATIONS, ids=lambda way: way.name)
def test_the_same_picture_becomes_the_same_bytes(way: Degradation, picture: Image) -> None:
    before = picture.copy()
    first, again = way.apply(picture, FACE, "Ada/1"), way.apply(picture, FACE, "Ada/1")
    assert np.array_equal(first, again)
    assert np.array_equal(picture, before), "the picture itself is left alone"
    assert (first.dtype, first.ndim, first.shape[2]) == (np.uint8, 3, 3)
    assert first.shape != picture.shape or not np.array_equal(first, picture)


def test_noise_is_not_the_same_in_every_picture(picture: Image) -> None:
    dark = next(way for way in DEGRADATIONS if way.name == "dark-8th")
    assert not np.array_equal(dark.apply(picture, FACE, "Ada/1"), dark.apply(picture, FACE, "Ada/2"))


def test_names_are_each_ones_own() -> None:
    assert len({way.name for way in DEGRADATIONS}) == len({way.title for way in DEGRADATIONS}) == len(DEGRADATIONS)


@pytest.mark.parametrize("width", [24, 32, 48])
def test_a_face_becomes_as_wide_as_asked(width: int, picture: Image) -> None:
    made = shrunk(picture, FACE, random(), width_px=width)
    assert made.shape == (round(200 * width / 100), round(180 * width / 100), 3)
    assert float(made.mean()) == pytest.approx(float(picture.mean()), abs=1)
    assert shrunk(picture, Box(0, 0, width, width), random(), width_px=width) is picture


def test_blur_widens_a_spot_by_its_variance() -> None:
    spot = np.zeros((201, 201, 3), np.uint8)
    cv2.circle(spot, (100, 100), 20, (255, 255, 255), -1)
    made = blurred(np.asarray(spot, np.uint8), FACE, random(), share=0.06)[..., 0].astype(np.float64)
    away = (np.arange(201) - 100.0) ** 2

    def variance(image: np.ndarray[tuple[int, int], np.dtype[np.float64]]) -> float:
        return float((image.sum(axis=0) * away).sum() / image.sum())

    # 6 % of a face 100 px wide: variances add.
    assert variance(made) - variance(spot[..., 0].astype(np.float64)) == pytest.approx(36, rel=0.03)


@pytest.mark.parametrize(("value", "light"), [(200, 0.5), (128, 0.125), (60, 0.5), (255, 1 / 32)])
def test_dark_has_the_mean_and_the_noise_of_its_electrons(value: int, light: float) -> None:
    grey: Image = np.full((300, 300, 3), value, np.uint8)
    made = darkened(grey, FACE, random(), light=light).astype(np.float64) / 255
    linear = np.where(made <= 0.04045, made / 12.92, ((made + 0.055) / 1.055) ** 2.4) * FULL_WELL
    scaled = value / 255
    electrons = light * FULL_WELL * ((scaled + 0.055) / 1.055) ** 2.4
    assert linear.mean() == pytest.approx(electrons, rel=0.02)
    # Writing 8 bits adds a little.
    assert linear.std() == pytest.approx(np.sqrt(electrons + READ_NOISE**2), rel=0.15)


def test_black_stays_dark_and_less_light_is_darker(picture: Image) -> None:
    black: Image = np.zeros((50, 50, 3), np.uint8)
    assert darkened(black, FACE, random(), light=1 / 8).mean() < 4
    means = [float(darkened(picture, FACE, random(), light=light).mean()) for light in (1.0, 1 / 8, 1 / 32)]
    assert means[0] == pytest.approx(float(picture.mean()), abs=2)
    assert means[0] > 2 * means[1] > 2 * means[2]


def test_lower_quality_is_further_from_the_picture(picture: Image) -> None:
    errors = [
        float(np.abs(compressed(picture, FACE, random(), quality=q).astype(int) - picture).mean()) for q in (95, 20, 5)
    ]
    assert 0 < errors[0] < errors[1] < errors[2]


def test_a_tilt_is_undone_by_its_opposite() -> None:
    smooth = np.asarray(cv2.GaussianBlur(random().integers(0, 256, (200, 200, 3), np.uint8), (0, 0), 6.0), np.uint8)
    box = Box(50, 50, 150, 150)
    sides = {float(np.abs(_turned_back(tilted(smooth, box, random(seed), degrees=20), 20) - smooth[70:130, 70:130]).mean()) < 2
             for seed in range(8)}  # fmt: skip
    assert sides == {True, False}, "to either side"


def _turned_back(image: Image, degrees: float) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    turn = cv2.getRotationMatrix2D((100, 100), -degrees, 1.0)
    return cv2.warpAffine(image, turn, (200, 200))[70:130, 70:130].astype(np.int64)
