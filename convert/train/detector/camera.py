"""What light, lens, sensor and encoder do to a view."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.datatypes import Image

Rng = np.random.Generator

_NOISE = 64
"""Standard deviation of the field."""


def noise_field() -> NDArray[np.int8]:
    """1024 x 1024 x 3, drawn once; views take parts of it, at random strength."""
    return np.random.default_rng(0).normal(0, _NOISE, (1024, 1024, 3)).astype(np.int8)


def as_taken(view: Image, generator: Rng, noise: NDArray[np.int8]) -> Image:
    """What light, lens, sensor and encoder do to it."""
    if generator.random() < 0.6:
        view = _lit(view, generator)
    if generator.random() < 0.08:
        view = np.repeat(np.asarray(cv2.cvtColor(view, cv2.COLOR_BGR2GRAY), np.uint8)[..., None], 3, axis=2)
    if generator.random() < 0.15:
        view = _softened(view, generator)
    if generator.random() < 0.2:
        top, left = generator.integers(0, len(noise) - len(view), 2)
        part = noise[top : top + len(view), left : left + len(view)]
        mixed = cv2.addWeighted(view, 1.0, part, generator.uniform(1, 16) / _NOISE, 0, dtype=cv2.CV_8U)
        view = np.asarray(mixed, np.uint8)
    if generator.random() < 0.2:
        quality = int(generator.integers(20, 90))
        _, data = cv2.imencode(".jpg", view, [cv2.IMWRITE_JPEG_QUALITY, quality])
        view = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)
    return view


def _lit(view: Image, generator: Rng) -> Image:
    """Gain, gamma and offset, a little of each for every channel by itself."""
    levels = np.arange(256, dtype=np.float32)[:, None] / 255
    gamma = np.exp(generator.normal(0, 0.3) + generator.normal(0, 0.05, 3))
    gain = np.exp(generator.normal(-0.1, 0.35) + generator.normal(0, 0.08, 3))
    curve = 255 * gain * levels**gamma + generator.normal(0, 14)
    return np.asarray(cv2.LUT(view, np.clip(curve, 0, 255).astype(np.uint8)[:, None]), np.uint8)


def _softened(view: Image, generator: Rng) -> Image:
    """Out of focus, moved, or enlarged from a smaller picture."""
    side, choice = len(view), generator.random()
    if choice < 0.5:
        return np.asarray(cv2.GaussianBlur(view, (0, 0), generator.uniform(0.4, 2)), np.uint8)
    if choice < 0.75:
        length = int(generator.integers(2, 7))
        kernel = np.eye(length, dtype=np.float32) if generator.random() < 0.5 else np.ones((1, length), np.float32)
        return np.asarray(cv2.filter2D(view, -1, kernel / kernel.sum()), np.uint8)
    small = int(side * generator.uniform(0.4, 0.9))
    fewer = cv2.resize(view, (small, small), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(fewer, (side, side)), np.uint8)
