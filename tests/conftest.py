"""Fixtures shared by every folder of tests."""

from __future__ import annotations

from pathlib import Path

import cv2
import hypothesis
import pytest

from edge.datatypes import Image
from tests.support import data

cv2.setNumThreads(1)
# Machines are noisy: a slow example is no fault.
hypothesis.settings.register_profile("ostiary", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("ostiary")


@pytest.fixture(scope="session")
def hopper() -> Image:
    """Portrait with one face, BGR uint8."""
    return _read(data.grace_hopper())


@pytest.fixture(scope="session")
def collins() -> Image:
    """Portrait of another person, BGR uint8."""
    return _read(data.astronaut())


def _read(path: Path) -> Image:
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    assert image is not None, path
    return image
