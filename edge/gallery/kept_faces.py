"""Aligned faces that were kept: for which alignment templates they still serve.

A face serves its own template, and any whose picture lies whole in its own at the same scale, a number of whole pixels
away: sphereface-112x96 is columns 8 to 103 of arcface-112x112. Nothing else: where pixels would have to be made up or drawn
to another scale the embedding would not be that of the person, and a box without landmarks knows no way to the others.
"""

from __future__ import annotations

import struct

import numpy as np

from edge.align import TEMPLATES, AlignmentTemplate
from edge.datatypes import AlignedFace, Image
from edge.errors import PictureError
from edge.gallery.records import PNG_SIGNATURE

_NEAR_PX = 1e-3


def template_of(png: bytes, told: str) -> AlignmentTemplate | None:
    """The template that a kept face was aligned to: as `told` when it was kept, else by its size; None when unknown."""
    if told:
        return TEMPLATES.get(told)
    size = size_of(png)
    found = [template for template in TEMPLATES.values() if (template.width, template.height) == size]
    return found[0] if len(found) == 1 else None


def size_of(png: bytes) -> tuple[int, int]:
    """Width and height as a PNG says (PNG 3rd edition, 11.2.1); 0, 0 for what is none."""
    if len(png) < 24 or not png.startswith(PNG_SIGNATURE) or png[12:16] != b"IHDR":
        return 0, 0
    width, height = struct.unpack(">II", png[16:24])
    return width, height


def place_in(kept: AlignmentTemplate, wanted: AlignmentTemplate) -> tuple[int, int] | None:
    """Column and row of the kept picture at which the wanted one begins; None where it does not serve."""
    if kept.name == wanted.name:
        return 0, 0
    if kept.points is None or wanted.points is None:
        return None
    shifts = np.array(kept.points) - np.array(wanted.points)
    column, row = (round(float(value)) for value in shifts[0])
    if np.abs(shifts - [column, row]).max() > _NEAR_PX or min(column, row) < 0:
        return None
    fits = column + wanted.width <= kept.width and row + wanted.height <= kept.height
    return (column, row) if fits else None


def face_from(png: bytes, kept: AlignmentTemplate, wanted: AlignmentTemplate, where: str) -> AlignedFace:
    """The kept face as the wanted template has it. PictureError for a damaged one; ValueError where it does not serve."""
    from edge.pictures import decode_picture

    place = place_in(kept, wanted)
    if place is None:
        raise ValueError(f"a face aligned to {kept.name} does not serve {wanted.name}")
    if size_of(png) != (kept.width, kept.height):
        found = "x".join(map(str, size_of(png)))
        raise PictureError(f"a kept face of {found} pixels", where=where, expected=f"{kept.width}x{kept.height}")
    image: Image = decode_picture(png, where)
    column, row = place
    cut = image[row : row + wanted.height, column : column + wanted.width]
    return AlignedFace(np.ascontiguousarray(cut), wanted.name)
