"""One box for all of these tests: a start of it takes about half a second."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.conftest import hopper_file
from tests.systemd.box import Box, box

__all__ = ["hopper_file"]


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    """A box with Ostiary installed and nothing configured."""
    with box(tmp_path_factory.mktemp("machine") / "box") as made:
        yield made
