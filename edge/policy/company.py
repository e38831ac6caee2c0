"""Who else is before the camera while somebody is let in."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from edge.datatypes import Box
from edge.policy.verdict import Company

COVERED_FROM = 1.5
"""A covered face must be so many times as large to be in front. On walkers.mp4 the second faces that YuNet sees in hair
reach 1.4 times the area of the real one; a head so near another that it hides a part of it is larger than that."""


@dataclass(frozen=True, slots=True)
class Bystander:
    """One of them."""

    box: Box
    """Where the face was last seen, in pixels of the frame."""
    is_known: bool
    """Recognized by now, and within the validity of the identity."""
    is_covered: bool = False
    """Partly under a surer face: half hidden, or a second face that a detector sees in somebody's hair."""


def company_of(box: Box, others: Iterable[Bystander]) -> Company:
    """The gravest company of the one whose face is at `box`: whoever has a larger face stands in front of it."""
    strangers = [other for other in others if not other.is_known]
    if any(other.box.area > box.area * (COVERED_FROM if other.is_covered else 1.0) for other in strangers):
        return "stranger_in_front"
    return "strangers" if strangers else "none"
