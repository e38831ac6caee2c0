from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np
import pytest

from edge.align import TEMPLATES, align
from edge.datatypes import AlignedFace, Box, Detection, Image
from edge.quality import UNKNOWN_FRONTALITY, assess, blur_loss, estimate, frontality
from tests.support.fakes import face


def aligned(image: Image) -> AlignedFace:
    return AlignedFace(np.ascontiguousarray(image), "arcface-112x112")


@pytest.fixture(scope="module")
def portrait(hopper: Image) -> Image:
    """The face of a public-domain portrait, cut and scaled by hand."""
    return np.asarray(cv2.resize(hopper[30:330, 110:410], (112, 112), interpolation=cv2.INTER_AREA), np.uint8)


def blurred(image: Image, sigma: float) -> Image:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma) if sigma else image, np.uint8)


def test_sharpness_falls_with_blur(portrait: Image) -> None:
    values = [blur_loss(aligned(blurred(portrait, sigma))) for sigma in (0, 1, 2, 4, 8)]
    assert all(first > second for first, second in pairwise(values))
    assert values[0] > 2 * values[2]


@pytest.mark.parametrize("level", [0, 40, 128, 255])
def test_a_flat_picture_teaches_nothing(level: int) -> None:
    flat = aligned(np.full((112, 112, 3), level, np.uint8))
    assert blur_loss(flat) == 0.0
    assert assess(face(0, 0), flat).score == 0.0


def test_sharpness_does_not_depend_on_light(portrait: Image) -> None:
    plain = blur_loss(aligned(portrait))
    for gain, offset in ((0.5, 0), (0.5, 100), (0.3, 40)):
        changed = np.clip(portrait * gain + offset, 0, 255).astype(np.uint8)
        assert blur_loss(aligned(changed)) == pytest.approx(plain, rel=0.05)


def test_noise_is_not_sharpness(portrait: Image) -> None:
    noise = np.random.default_rng(1).normal(0, 8, portrait.shape)
    for sigma in (2, 4):
        soft = blurred(portrait, sigma)
        noisy = np.clip(soft + noise, 0, 255).astype(np.uint8)
        assert blur_loss(aligned(noisy)) < 1.2 * blur_loss(aligned(soft))


def test_quality_grows_with_size_up_to_a_limit(portrait: Image) -> None:
    scores = [assess(face(0, 0, side), aligned(portrait)).score for side in (10, 25, 50, 99)]
    assert all(first < second for first, second in pairwise(scores))
    full, larger = (assess(face(0, 0, side), aligned(portrait)).score for side in (100, 900))
    assert larger == pytest.approx(full, abs=1e-6)


def test_quality_falls_as_the_face_turns_away() -> None:
    turns = [0.0, 0.1, 0.25, 0.4, 0.55]
    values = [frontality(_landmarks(turn)) for turn in turns]
    assert values[0] > 0.99
    assert all(first > second for first, second in pairwise(values))
    assert [frontality(_landmarks(-turn)) for turn in turns] == pytest.approx(values, abs=0.02)
    assert frontality(_landmarks(0.7)) == 0.0


@pytest.mark.parametrize("angle", [0.3, 1.2, 3.0])
def test_a_tilted_head_is_not_turned_away(angle: float) -> None:
    points = _landmarks(0.2)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    assert frontality((points @ turn.T).astype(np.float32)) == pytest.approx(frontality(points), abs=1e-3)


def _landmarks(turn: float) -> np.ndarray:
    found = face(0, 0, turn=turn).landmarks
    assert found is not None
    return found


def test_coinciding_eyes_are_no_face() -> None:
    assert frontality(np.zeros((5, 2), np.float32)) == 0.0
    assert estimate(Detection(Box(0, 0, 100, 100), 1.0, np.zeros((5, 2), np.float32))) == 0.0


def test_without_landmarks_nobody_can_tell(portrait: Image) -> None:
    found = assess(Detection(Box(0, 0, 100, 100), 1.0), aligned(portrait))
    assert found.frontality == UNKNOWN_FRONTALITY


@pytest.mark.parametrize(("confidence", "expected"), [(-0.5, 0.0), (0.3, 0.3), (1.5, 1.0)])
def test_confidence_counts(portrait: Image, confidence: float, expected: float) -> None:
    found = assess(face(0, 0, confidence=confidence), aligned(portrait))
    assert found.confidence == pytest.approx(expected)
    assert found.score == pytest.approx(np.sqrt(found.sharpness * found.frontality * expected))


def test_every_part_lies_between_0_and_1(collins: Image) -> None:
    rng = np.random.default_rng(4)
    for _ in range(50):
        detection = face(*rng.uniform(0, 300, 2), rng.uniform(5, 400), confidence=rng.uniform(-1, 2), turn=rng.normal())
        found = assess(detection, align(collins, detection, TEMPLATES["arcface-112x112"]))
        assert min(found.score, found.sharpness, found.frontality, found.confidence) >= 0
        assert max(found.score, found.sharpness, found.frontality, found.confidence) <= 1
        assert found.score <= estimate(detection) + 1e-9
