"""Where the tests find pictures and models that are not part of the project."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edge.demo.portraits import COLLINS, HOPPER, Portrait
from edge.errors import MissingDependencyError

ROOT = Path(__file__).resolve().parents[2]
TEST_DATA = Path(os.environ.get("OSTIARY_TEST_DATA") or ROOT.parent / "shared")

needs_test_data = pytest.mark.skipif(not TEST_DATA.is_dir(), reason=f"no test data at {TEST_DATA} (OSTIARY_TEST_DATA)")
"""Marks a test that cannot run without the third-party models and pictures."""


def test_data(*parts: str) -> Path:
    """A path under OSTIARY_TEST_DATA; skips the test, with a reason, where it is absent."""
    path = TEST_DATA.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"{'/'.join(parts)} is not under {TEST_DATA} (OSTIARY_TEST_DATA)")
    return path


test_data.__test__ = False  # type: ignore[attr-defined]


def grace_hopper() -> Path:
    """One clear frontal face; 512x600, JPEG, public domain."""
    return _portrait(HOPPER)


def astronaut() -> Path:
    """Eileen Collins; 512x512, PNG, public domain."""
    return _portrait(COLLINS)


def _portrait(portrait: Portrait) -> Path:
    try:
        return portrait.path()
    except MissingDependencyError as error:
        pytest.skip(str(error))
