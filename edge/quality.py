"""How much one face picture can teach: size, sharpness, pose, and the detector's confidence.

The parts are measured, not learned; the constants come from LFW pictures and their blurred copies (docs/decisions.md).
"""

from __future__ import annotations

import cv2
import numpy as np

from edge.datatypes import AlignedFace, Detection, Floats, Quality

FULL_SIZE_PX = 100.0
"""A face of this size fills the embedder's input; more pixels add nothing."""
FULL_SHARPNESS = 0.03
"""Median of `blur_loss` over LFW faces; a Gaussian blur of 2 px takes it to 0.013, one of 4 px to 0.005."""
FULL_TURN = 0.6
"""Nose this far from the middle of the eyes, in eye distances, is a profile."""
UNKNOWN_FRONTALITY = 0.5
"""Without landmarks nobody can tell."""


def assess(detection: Detection, face: AlignedFace) -> Quality:
    """Quality of one face from its detection and its aligned picture; every part from 0 to 1."""
    sharpness = min(1.0, blur_loss(face) / FULL_SHARPNESS)
    return _combined(detection, sharpness)


def estimate(detection: Detection) -> float:
    """The score that `assess` would give a sharp face: costs nothing, so it chooses which faces are worth aligning."""
    return _combined(detection, 1.0).score


def _combined(detection: Detection, sharpness: float) -> Quality:
    size = min(1.0, detection.box.side / FULL_SIZE_PX)
    front = UNKNOWN_FRONTALITY if detection.landmarks is None else frontality(detection.landmarks)
    confidence = float(np.clip(detection.confidence, 0.0, 1.0))
    # The root of the product: one part near 0 spoils the whole, four middling ones do not.
    score = float(np.sqrt(size * sharpness * front * confidence))
    return Quality(score, detection.box.side, sharpness, front, confidence)


def frontality(landmarks: Floats) -> float:
    """1 for a face seen from the front, 0 for a profile: how far the nose lies from the middle of the eyes along their line."""
    right_eye, left_eye, nose = landmarks[0], landmarks[1], landmarks[2]
    axis = left_eye - right_eye
    squared = float(axis @ axis)
    if squared < 1e-6:
        return 0.0
    offset = abs(float((nose - (right_eye + left_eye) / 2) @ axis)) / squared
    return float(np.clip(1.0 - offset / FULL_TURN, 0.0, 1.0))


def blur_loss(face: AlignedFace) -> float:
    """Share of the picture's variance that a further blur of 2 px removes: little where it is blurred already.

    After the idea of Crete et al. 2007. Independent of brightness and contrast; a first blur of 1 px hides sensor noise.
    """
    grey = cv2.cvtColor(face.image, cv2.COLOR_BGR2GRAY)
    rim_y, rim_x = grey.shape[0] // 10, grey.shape[1] // 10
    inner = np.asarray(cv2.GaussianBlur(grey, (0, 0), 1.0)[rim_y:-rim_y, rim_x:-rim_x], np.float32)
    variance = float(inner.var())
    if variance < 1.0:
        return 0.0
    return float(np.mean((inner - cv2.GaussianBlur(inner, (0, 0), 2.0)) ** 2)) / variance
