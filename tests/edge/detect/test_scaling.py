from __future__ import annotations

import cv2
import numpy as np
import pytest

from edge.detect.scaling import padded, scaled, shrunk, stretched, tallest_face


def ramp(width: int, height: int) -> np.ndarray:
    across = np.linspace(0, 255, width, dtype=np.float32)[None, :, None]
    return np.broadcast_to(across, (height, width, 3)).astype(np.uint8).copy()


@pytest.mark.parametrize(
    ("size", "wanted"),
    [
        ((1920, 1080), (640, 360)), ((4000, 3000), (640, 480)), ((641, 480), (640, 480)), ((640, 480), (640, 480)),
        ((3, 2), (1, 1)), ((4000, 20), (640, 3)), ((20, 4000), (3, 640)), ((320, 100), (640, 480)),
    ],
)  # fmt: skip
def test_shrinking_gives_exactly_the_size(size: tuple[int, int], wanted: tuple[int, int]) -> None:
    assert shrunk(ramp(*size), *wanted).shape == (wanted[1], wanted[0], 3)


@pytest.mark.parametrize("size", [(1920, 1080), (1281, 721), (3001, 2003)])
def test_shrinking_is_near_area_averaging(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(1)
    image = cv2.GaussianBlur(rng.integers(0, 256, (size[1], size[0], 3), np.uint8), (0, 0), 6)

    ours = shrunk(image, 320, 180).astype(float)
    exact = cv2.resize(image, (320, 180), interpolation=cv2.INTER_AREA).astype(float)

    assert np.abs(ours - exact).mean() < 1.0


def test_shrinking_averages_pixels_instead_of_skipping_them() -> None:
    stripes = np.zeros((64, 1024, 3), np.uint8)
    stripes[:, ::2] = 255

    assert np.abs(shrunk(stripes, 256, 16).astype(int) - 127.5).max() <= 1


def test_the_same_size_is_the_same_picture() -> None:
    image = ramp(64, 48)

    assert shrunk(image, 64, 48) is image
    assert stretched(image, 64, 48) is image
    assert padded(image, 64, 48) is image


@pytest.mark.parametrize(("factor", "size"), [(0.5, (50, 20)), (0.001, (1, 1)), (1.0, (100, 40))])
def test_scaling_keeps_at_least_one_pixel(factor: float, size: tuple[int, int]) -> None:
    assert scaled(ramp(100, 40), factor).shape == (size[1], size[0], 3)


def test_padding_places_the_picture_and_fills_the_rest() -> None:
    image = np.full((2, 3, 3), 200, np.uint8)

    whole = padded(image, 7, 6, above=1, left=2, grey=9)

    assert whole.shape == (6, 7, 3)
    np.testing.assert_array_equal(whole[1:3, 2:5], image)
    assert int((whole == 9).sum()) == 6 * 7 * 3 - 2 * 3 * 3


@pytest.mark.parametrize(
    ("size", "tallest"), [((1280, 720), 960), ((640, 480), 640), ((720, 1280), 960), ((4000, 21), 28), ((9, 9), 9)]
)
def test_the_tallest_face_is_a_third_longer_than_the_shorter_side(size: tuple[int, int], tallest: float) -> None:
    assert tallest_face(ramp(*size)) == pytest.approx(tallest)
