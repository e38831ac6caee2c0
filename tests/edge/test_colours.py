from __future__ import annotations

import logging

import cv2
import numpy as np
import pytest

from edge.colours import FACES, Colours, skin_balance
from edge.config.settings import Settings
from edge.daemon import Daemon
from edge.datatypes import Box, Detection, Floats, Image
from edge.pipeline import FrameResult
from edge.reader import load_models
from edge.track import Track
from tests.support.fakes import make_frame

POINTS = np.array([[80, 100], [120, 100], [100, 125], [85, 145], [115, 145]], np.float32)
# sRGB of skin in ordinary light, from very light to very dark (Monk skin tones 1, 4, 7 and 10).
TONES = [(246, 237, 228), (234, 218, 186), (130, 92, 67), (41, 36, 32)]


def face(rgb: tuple[int, int, int]) -> Image:
    """A flat face on a blue wall."""
    image = np.full((240, 200, 3), (200, 60, 20), np.uint8)
    cv2.ellipse(image, (100, 120), (50, 65), 0, 0, 360, rgb[::-1], -1)
    return image


def result(image: Image, track_id: int, landmarks: Floats | None = POINTS) -> FrameResult:
    track = Track(track_id, Detection(Box(50, 55, 150, 185), 0.9, landmarks), 0, 0)
    frame = make_frame(track_id, {})
    return FrameResult(type(frame)(image, frame.index, frame.captured_ns, frame.captured_at), (track,), (), 0)


def watched(image: Image, visits: int, landmarks: Floats | None = POINTS) -> Colours:
    colours = Colours("porch")
    for number in range(visits):
        # A visit takes many frames, and counts once.
        for _ in range(5):
            colours.seen(result(image, number + 1, landmarks))
            colours.tick()
    return colours


@pytest.mark.parametrize("rgb", TONES)
def test_skin_of_every_tone_is_redder_than_blue(rgb: tuple[int, int, int]) -> None:
    balance = skin_balance(face(rgb), POINTS)
    assert balance == pytest.approx(np.log(rgb[0] / rgb[2]), abs=1e-6)
    assert balance > 0


@pytest.mark.parametrize("rgb", TONES[1:3])
def test_swapped_colours_are_told_once_after_enough_visits(
    rgb: tuple[int, int, int], caplog: pytest.LogCaptureFixture
) -> None:
    swapped = np.ascontiguousarray(face(rgb)[:, :, ::-1])
    assert not watched(swapped, FACES - 1).are_swapped
    caplog.clear()
    colours = watched(swapped, 3 * FACES)
    assert colours.are_swapped
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage().startswith("porch: red and blue are swapped")
    assert "RGB888" in record.getMessage()
    for number in range(FACES):
        colours.seen(result(face(rgb), 100 + number))
    assert not colours.are_swapped


@pytest.mark.parametrize("rgb", [*TONES, (120, 120, 120), (123, 120, 122), (5, 3, 20)])
def test_right_grey_and_dark_pictures_never_alarm(rgb: tuple[int, int, int]) -> None:
    assert not watched(face(rgb), 3 * FACES).are_swapped


@pytest.mark.parametrize("points", [
    None,
    np.full((5, 2), np.nan, np.float32),
    np.full((5, 2), 1e9, np.float32),
    POINTS - 5000,
    POINTS / 5,
    POINTS[::-1].copy(),
])  # fmt: skip
def test_landmarks_that_make_no_sense_are_passed_over(points: Floats | None) -> None:
    swapped = np.ascontiguousarray(face(TONES[1])[:, :, ::-1])
    assert not watched(swapped, 2 * FACES, points).are_swapped


def test_a_few_faces_in_blue_light_are_outvoted() -> None:
    colours = Colours("porch")
    for number in range(5 * FACES):
        colours.add(-0.4 if number % FACES < FACES // 2 - 1 else 0.5)
        assert not colours.are_swapped


def test_the_daemon_tells_it() -> None:
    daemon = Daemon(Settings())
    assert daemon._picture() == "ok"
    for _ in range(FACES):
        daemon._colours.add(-0.4)
    assert daemon._picture() == "colours_swapped"


def test_on_portraits_with_found_faces(hopper: Image, collins: Image) -> None:
    detector = load_models(Settings()).detector
    for image in (hopper, collins):
        landmarks = max(detector.detect(image), key=lambda one: one.box.area).landmarks
        assert landmarks is not None
        right, swapped = skin_balance(image, landmarks), skin_balance(image[:, :, ::-1], landmarks)
        assert right is not None
        assert right > 0.15
        assert swapped == pytest.approx(-right)
