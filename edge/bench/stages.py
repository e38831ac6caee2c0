"""Each stage alone, on one 640x480 frame with one face."""

from __future__ import annotations

import cv2
import numpy as np

from edge.align import align, template_named
from edge.bench.timing import Spread, timed
from edge.datatypes import Detection, Image
from edge.errors import OstiaryError
from edge.quality import assess
from edge.reader import Models

WIDTH, HEIGHT = 640, 480


def measure(models: Models, portrait: Image, *, repeat: int = 100) -> dict[str, Spread]:
    """Stage -> time, for the largest face of `portrait` (BGR uint8) put into a grey frame."""
    frame = put_into_frame(portrait)
    face = _largest(models, frame)
    template = template_named(models.embedder.template)
    aligned = align(frame, face, template)
    return {
        "detect": timed(lambda: models.detector.detect(frame), repeat=repeat),
        "align": timed(lambda: align(frame, face, template), repeat=repeat),
        "quality": timed(lambda: assess(face, aligned), repeat=repeat),
        "embed": timed(lambda: models.embedder.embed([aligned]), repeat=repeat),
    }


def put_into_frame(portrait: Image) -> Image:
    """`portrait` in the middle of a grey 640x480 frame, three quarters as high."""
    scale = 0.75 * HEIGHT / portrait.shape[0]
    small = cv2.resize(portrait, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    frame = np.full((HEIGHT, WIDTH, 3), 128, np.uint8)
    top, left = HEIGHT - small.shape[0], (WIDTH - small.shape[1]) // 2
    frame[top:, left : left + small.shape[1]] = small
    return frame


def _largest(models: Models, frame: Image) -> Detection:
    found = models.detector.detect(frame)
    if not found:
        raise OstiaryError("no face found in the picture to measure with", hint="Give another one with --picture.")
    return max(found, key=lambda detection: detection.box.area)
