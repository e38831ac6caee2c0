from __future__ import annotations

import pytest

from edge.datatypes import Box
from edge.policy.company import COVERED_FROM, Bystander, company_of

MINE = Box(0, 0, 100, 100)


def somebody(share: float, *, known: bool = False, covered: bool = False) -> Bystander:
    """With a face of so many times the area of mine."""
    return Bystander(Box(300, 0, 300 + 100 * share, 100), known, covered)


@pytest.mark.parametrize(
    ("others", "company"),
    [
        ([], "none"),
        ([somebody(9.0, known=True)], "none"),
        ([somebody(0.5)], "strangers"),
        ([somebody(1.0)], "strangers"),
        ([somebody(1.01)], "stranger_in_front"),
        ([somebody(9.0, known=True), somebody(0.1)], "strangers"),
        ([somebody(0.1), somebody(1.1)], "stranger_in_front"),
        ([somebody(1.4, covered=True)], "strangers"),
        ([somebody(COVERED_FROM + 0.01, covered=True)], "stranger_in_front"),
        ([somebody(9.0, known=True, covered=True)], "none"),
    ],
)
def test_the_gravest_company(others: list[Bystander], company: str) -> None:
    assert company_of(MINE, others) == company
    assert company_of(MINE, others[::-1]) == company
