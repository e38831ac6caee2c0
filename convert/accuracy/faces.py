"""Labelled pictures through the device's own stages: detect, take the central face, align, embed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from convert.pictures import PictureStore
from edge.align import AlignmentTemplate, align
from edge.cli.common import progress
from edge.datatypes import AlignedFace, Box, Detection, Floats, Image
from edge.interfaces import Detector, Embedder

_BATCH = 64


def central_face(image: Image, detections: Sequence[Detection]) -> Detection | None:
    """The face that overlaps most (IoU) with the middle half of the picture; None where there is no face.

    LFW shows the labelled person in the middle, and others beside.
    """
    height, width = image.shape[:2]
    middle = Box(width / 4, height / 4, width * 3 / 4, height * 3 / 4)
    return max(detections, key=lambda found: found.box.iou(middle), default=None)


def align_pictures(
    store: PictureStore, names: Sequence[str], detector: Detector, template: AlignmentTemplate
) -> dict[str, AlignedFace]:
    """The central face of each picture by name; a picture without a face is left out."""
    aligned: dict[str, AlignedFace] = {}
    for name in progress(names, f"faces of {len(names)} pictures"):
        image = store.read(name)
        found = central_face(image, detector.detect(image))
        if found is not None:
            aligned[name] = align(image, found, template)
    return aligned


def embed_faces(faces: Mapping[str, AlignedFace], embedder: Embedder) -> dict[str, Floats]:
    """L2-normalised float32 embedding of each face by name."""
    names = list(faces)
    embedded: dict[str, Floats] = {}
    for start in progress(range(0, len(names), _BATCH), f"embeddings of {len(names)} faces"):
        some = names[start : start + _BATCH]
        made = embedder.embed([faces[name] for name in some])
        embedded.update(zip(some, (embedding.vector for embedding in made), strict=True))
    return embedded


def stacked(faces: Sequence[AlignedFace], colour_order: str) -> Image:
    """uint8 (N, H, W, 3) in the colour order of the network."""
    pictures = np.stack([face.image for face in faces])
    return pictures if colour_order == "BGR" else np.ascontiguousarray(pictures[..., ::-1])
