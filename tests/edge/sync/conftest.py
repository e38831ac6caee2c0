from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.edge.gallery.support import faces
from tests.edge.sync.support import Board, Box, Publisher


@pytest.fixture
def board() -> Board:
    return Board()


@pytest.fixture
def office(board: Board, tmp_path: Path) -> Publisher:
    """A publisher with five people."""
    made = Publisher(board, tmp_path / "office.sqlite")
    for number in range(5):
        made.gallery.enrol(f"Person {number}", faces(2, seed=number), note=f"desk {number}")
    return made


@pytest.fixture
def make_box(board: Board, tmp_path: Path) -> Callable[..., Box]:
    made: list[Box] = []

    def build(**options: object) -> Box:
        made.append(Box(board, tmp_path / f"box-{len(made)}.sqlite", **options))  # type: ignore[arg-type]
        return made[-1]

    return build
