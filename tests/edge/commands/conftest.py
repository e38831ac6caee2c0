from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.edge.commands.support import Bench, Make, bench


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    with ExitStack() as stack:

        def one(**changes: Any) -> Bench:
            return stack.enter_context(bench(tmp_path, **changes))

        yield one


@pytest.fixture
def desk(make: Make) -> Bench:
    return make()
