"""What every test under here leaves behind is put away."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.edge.gallery import support


@pytest.fixture(autouse=True)
def _nothing_left_open() -> Iterator[None]:
    yield
    support.close_all()
