"""The faces that are learnt from: found, aligned with a rim, and kept in a file so that the next run starts at once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from convert.accuracy.faces import align_pictures, stacked
from convert.pictures import PictureStore, person_of
from convert.train.embedder.views import RIM_PX
from edge.align import AlignmentTemplate, template_named
from edge.datatypes import Image
from edge.errors import ModelError, UsageError
from edge.interfaces import Detector

LEAST_PEOPLE = 40
"""Fewer teach nothing but themselves."""
HELD_OUT = 20
"""One person of so many is kept for judging."""


@dataclass(frozen=True, slots=True, eq=False)
class Faces:
    """Aligned faces with a rim, and whose they are."""

    pictures: Image
    """uint8 (N, H + 2 rim, W + 2 rim, 3), RGB."""
    names: tuple[str, ...]
    """NAME/NAME_0001.jpg"""

    def taught(self) -> Image:
        """Those of the people who are learnt from."""
        return self.pictures[~self._held_out()]

    def held_out(self) -> Image:
        """Those of people who are only judged on."""
        return self.pictures[self._held_out()]

    def _held_out(self) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        people = sorted({person_of(name) for name in self.names})
        chosen = set(people[::HELD_OUT])
        return np.array([person_of(name) in chosen for name in self.names])


def collect(store: PictureStore, people: frozenset[str], detector: Detector, template: str) -> Faces:
    """The central face of every picture of these people. UsageError where there are too few."""
    names = [name for name in store.names if person_of(name) in people]
    aligned = align_pictures(store, names, detector, with_rim(template_named(template)))
    if len({person_of(name) for name in aligned}) < LEAST_PEOPLE:
        found = len({person_of(name) for name in aligned})
        raise UsageError(f"faces of {found} people", where=store.label, expected=f"at least {LEAST_PEOPLE}")
    return Faces(stacked(list(aligned.values()), "RGB"), tuple(aligned))


def with_rim(template: AlignmentTemplate) -> AlignmentTemplate:
    """The template with RIM_PX more on every side."""
    if template.points is None:
        raise ModelError(f"alignment template {template.name}", expected="one by landmarks")
    points = tuple((x + RIM_PX, y + RIM_PX) for x, y in template.points)
    width, height = template.width + 2 * RIM_PX, template.height + 2 * RIM_PX
    return replace(template, name=f"{template.name}-rim", width=width, height=height, points=points)


def save(faces: Faces, folder: Path) -> None:
    """Two files, `faces.npy` and `faces.txt`; the list last, because it says that both are whole."""
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "faces.npy", faces.pictures)
    (folder / "faces.txt").write_text("\n".join(faces.names))


def load(folder: Path) -> Faces | None:
    """What `save` wrote; None where it has not. ModelError where the two do not fit."""
    listed, pictures = folder / "faces.txt", folder / "faces.npy"
    if not listed.exists():
        return None
    try:
        found = np.load(pictures, mmap_mode="r")
    except (OSError, ValueError) as error:
        raise ModelError(f"damaged faces ({error})", where=str(pictures), hint="Remove both files.") from error
    names = tuple(listed.read_text().splitlines())
    if found.dtype != np.uint8 or found.ndim != 4 or len(found) != len(names):
        raise ModelError(
            f"{found.dtype} {found.shape} for {len(names)} names", where=str(pictures), hint="Remove both files."
        )
    return Faces(found, names)
