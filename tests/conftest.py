"""Fixtures shared by every folder of tests."""

from __future__ import annotations

import tarfile
from pathlib import Path

import cv2
import hypothesis
import numpy as np
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


@pytest.fixture(scope="session")
def lfw() -> list[Image]:
    """50 pictures of 250x250 with one face in the middle."""
    pictures = []
    with tarfile.open(data.test_data("data", "lfw", "lfw-deepfunneled.tar")) as archive:
        for number, member in enumerate(item for item in archive if item.name.endswith(".jpg")):
            if number % 37 == 0:
                content = archive.extractfile(member)
                assert content is not None
                image = cv2.imdecode(np.frombuffer(content.read(), np.uint8), cv2.IMREAD_COLOR)
                assert image is not None
                pictures.append(image)
            if len(pictures) == 50:
                break
    return pictures


def _read(path: Path) -> Image:
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    assert image is not None, path
    return image
