from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.capture.content import BLACK_MEAN, Content, is_black
from edge.datatypes import Image
from tests.support.clips import numbered_picture

RATE_FPS = 10
ABOUT_S = 0.6
SHAPE = (120, 160, 3)
SCENE = numbered_picture(5)


def noisy(picture: Image, seed: int = 0) -> Iterator[Image]:
    """What a sensor makes of a scene that does not move."""
    return covered_with(picture.astype(np.float64), 1.5, seed)


def covered_with(mean: np.ndarray | float, noise: float, seed: int = 0) -> Iterator[Image]:
    rng = np.random.default_rng(seed)
    return cycle(np.clip(rng.normal(mean, noise, (8, *SHAPE)), 0, 255).astype(np.uint8))


class Camera:
    """Feeds pictures at RATE_FPS and notes each change of state, with its time."""

    def __init__(self, *, frozen_s: float = 10.0, black_s: float = 10.0) -> None:
        self.content = Content(frozen_s=frozen_s, black_s=black_s)
        self.now_s = 1000.0
        self.told: list[tuple[float, str]] = []
        self.reopened: list[float] = []

    def show(self, pictures: Image | Iterator[Image], seconds: float) -> list[tuple[float, str]]:
        """Changes since the camera was made: (seconds since then, state)."""
        for _ in range(round(seconds * RATE_FPS)):
            picture = self.content.feed(pictures if isinstance(pictures, np.ndarray) else next(pictures), self.now_s)
            if picture != (self.told[-1][1] if self.told else "ok"):
                self.told.append((round(self.now_s - 1000, 3), picture))
            if self.content.wants_reopening(self.now_s):
                self.reopened.append(round(self.now_s - 1000, 3))
            self.now_s += 1 / RATE_FPS
        return self.told


def test_a_scene_without_movement_is_alive() -> None:
    assert Camera().show(noisy(SCENE), 60) == []


def test_a_picture_that_does_not_change_is_frozen_and_one_pixel_ends_it() -> None:
    camera = Camera()
    camera.show(noisy(SCENE), 5)
    camera.show(SCENE, 12)
    # Its first showing was at 5 s.
    assert camera.told == [(15.0, "frozen")]
    assert camera.content.same_s(camera.now_s) == pytest.approx(12.0)
    changed = SCENE.copy()
    changed[60, 80, 1] ^= 1
    assert camera.show(changed, 1) == [(15.0, "frozen"), (17.0, "ok")]


def test_slow_pictures_are_not_frozen_before_there_are_enough() -> None:
    content = Content(frozen_s=1.0, black_s=0.0)
    states = [content.feed(SCENE, number * 5.0) for number in range(12)]
    assert states == ["ok"] * 9 + ["frozen"] * 3


def test_frozen_asks_for_reopening_at_once_and_then_less_and_less_often() -> None:
    camera = Camera()
    camera.show(SCENE, 300)
    assert camera.told == [(10.0, "frozen")]
    assert camera.reopened == pytest.approx([10, 30, 70, 130, 190, 250], abs=ABOUT_S)


def test_one_that_freezes_again_soon_is_not_reopened_each_time_and_a_living_one_starts_over() -> None:
    camera, alive = Camera(), noisy(SCENE)
    camera.show(SCENE, 11)
    camera.show(alive, 2)
    camera.show(SCENE, 25)
    # Frozen again at 23 s: not before twice the first time, counted from when it stopped changing.
    assert camera.reopened == pytest.approx([10, 33], abs=ABOUT_S)
    camera.show(alive, 30)
    camera.show(SCENE, 11)
    assert camera.reopened == pytest.approx([10, 33, 78], abs=ABOUT_S)


def test_what_came_before_an_interruption_does_not_count() -> None:
    camera = Camera()
    camera.show(SCENE, 6)
    camera.content.interrupted()
    camera.now_s += 3600
    assert camera.show(SCENE, 6) == []


def test_a_frozen_picture_is_the_frozen_one_still_after_an_interruption() -> None:
    camera = Camera()
    camera.show(SCENE, 11)
    camera.content.interrupted()
    camera.show(SCENE, 1)
    assert camera.told == [(10.0, "frozen")]
    camera.show(np.zeros((60, 80, 3), np.uint8), 1)
    assert camera.content.picture == "ok"


@pytest.mark.parametrize("level", [0, 5, 16])
@pytest.mark.parametrize("noise", [0.0, 3.0])
def test_a_covered_lens_is_black_and_never_frozen(level: int, noise: float) -> None:
    camera = Camera()
    camera.show(noisy(SCENE), 3)
    camera.show(covered_with(level, noise), 60)
    assert [state for _, state in camera.told] == ["black"]
    assert 13.0 <= camera.told[0][0] <= 13.6
    assert camera.reopened == []
    camera.show(noisy(SCENE), 3)
    assert camera.told[1][1] == "ok"
    assert 63.0 <= camera.told[1][0] <= 63.6


def test_a_dark_flash_is_not_black() -> None:
    camera = Camera()
    camera.show(np.zeros(SHAPE, np.uint8), 8)
    camera.show(noisy(SCENE), 4)
    camera.show(np.zeros(SHAPE, np.uint8), 8)
    assert camera.told == []


def test_black_that_turns_into_something_frozen_is_seen() -> None:
    camera = Camera()
    camera.show(np.zeros(SHAPE, np.uint8), 12)
    camera.show(SCENE, 12)
    assert [state for _, state in camera.told] == ["black", "ok", "frozen"]


@pytest.mark.parametrize(
    ("frozen_s", "black_s", "picture"), [(0.0, 10.0, SCENE), (10.0, 0.0, np.zeros(SHAPE, np.uint8))]
)
def test_zero_never_says_so(frozen_s: float, black_s: float, picture: Image) -> None:
    camera = Camera(frozen_s=frozen_s, black_s=black_s)
    assert camera.show(picture, 60) == []
    assert camera.reopened == []


@pytest.mark.parametrize(("picture", "expected"), [
    (np.zeros(SHAPE, np.uint8), True),
    (np.full(SHAPE, 16, np.uint8), True),
    (np.full(SHAPE, int(BLACK_MEAN) + 1, np.uint8), False),
    (np.full(SHAPE, 255, np.uint8), False),
    # A lit window far away in the night.
    (np.pad(np.full((14, 14, 3), 120, np.uint8), ((50, 56), (70, 76), (0, 0))), False),
    (SCENE, False),
    (SCENE // 4, False),
    (np.zeros((1, 1, 3), np.uint8), True),
])  # fmt: skip
def test_black(picture: Image, expected: bool) -> None:  # noqa: FBT001 - a column
    assert is_black(picture) is expected


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sampled_from(["scene", "other", "black", "living", "small"]), max_size=60), st.data())
def test_whatever_comes_frozen_is_said_of_the_same_picture_only(kinds: list[str], data: st.DataObject) -> None:
    rng = np.random.default_rng(2)
    content = Content(frozen_s=1.0, black_s=1.0)
    now_s, last, since_s, count = 0.0, None, 0.0, 0
    for kind in kinds:
        picture = {
            "scene": SCENE, "other": SCENE[::-1].copy(), "black": np.zeros(SHAPE, np.uint8),
            "living": rng.integers(0, 255, SHAPE, dtype=np.uint8), "small": SCENE[:50, :50].copy(),
        }[kind]  # fmt: skip
        if last is None or not np.array_equal(picture, last):
            last, since_s, count = picture, now_s, 0
        count += 1
        state = content.feed(picture, now_s)
        if state == "frozen":
            assert count >= 10
            assert now_s - since_s >= 1.0
        assert not (state == "black" and kind in {"living", "scene", "other"} and count > 6)
        now_s += data.draw(st.floats(0.01, 0.4))
