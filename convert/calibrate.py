"""Which faces give the activation ranges of an integer network, and how they are fed to it.

Calibration faces are aligned by `edge.align`, picked with a seed, and of people whom no evaluation uses.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from convert.pictures import person_of
from edge.bundle.manifest import Normalisation
from edge.datatypes import Floats, Image
from edge.errors import UsageError


def pick_names(names: Sequence[str], people: frozenset[str], count: int, seed: int) -> list[str]:
    """`count` names of pictures of these people, at most one a person, the same for the same seed.

    UsageError when there are fewer people: calibrated on some dozens of faces, the ranges are accidents.
    """
    generator = np.random.default_rng(seed)
    first_of: dict[str, str] = {}
    for index in generator.permutation(len(names)):
        person = person_of(names[index])
        if person in people:
            first_of.setdefault(person, names[index])
    if len(first_of) < count:
        raise UsageError(f"pictures of {len(first_of)} of the people listed", expected=f"at least {count}")
    return list(first_of.values())[:count]


def examples_of(pictures: Image, normalisation: Normalisation) -> Floats:
    """uint8 (N, H, W, 3) -> float32 as the float network takes it, spanning every value of a byte."""
    return ((spanning(pictures).astype(np.float64) - normalisation.mean) / normalisation.std).astype(np.float32)


def spanning(pictures: Image) -> Image:
    """The same uint8 (N, H, W, 3) pictures with black and white in the first corner of the first one.

    Faces without them would narrow the input's range; so 0 and 255 are the ends of the uint8 input, and its scale is
    exactly 1 / std.
    """
    spanned = pictures.copy()
    spanned[0, 0, 0], spanned[0, 0, 1] = 0, 255
    return spanned
