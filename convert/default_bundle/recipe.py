"""What the default bundle is made from, and every choice in making it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convert.accuracy.pairs import Pair
from convert.pictures import PictureStore, person_of
from edge.errors import UsageError

DETECTOR_FILE, EMBEDDER_FILE, CARD_FILE = "detector.onnx", "embedder.tflite", "README.md"
DETECTOR_SOURCE, EMBEDDER_SOURCE = "detector.onnx", "embedder.tflite"
EMBEDDER_FLOAT_SOURCE = "embedder.onnx"
TRAINING_SOURCES = ("detector.json", "embedder.json")
"""How each was trained, as `ostiary-convert train` tells it; repeated in the manifest."""

FLOAT_EMBEDDER = Path(__file__).with_name("embedder.onnx")
"""The float weights behind the embedder that the package carries: for those who want to go on from them."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """Every choice; the manifest repeats it."""

    bundle_id: str = "ostiary-default-2"
    embedder_id: str = "ostiary-student-2"
    alignment_template: str = "arcface-112x112"
    colour_order: str = "RGB"
    confidence: float = 0.65
    nms_iou: float = 0.3
    smallest_px: float = 20.0
    largest_px: float = 300.0
    add_mirrored: bool = True
    """At twice the time the mirrored face raises the share of genuine pairs accepted, most where few impostors may be."""
    compared_faces: int = 300
    """Faces on which uint8 is held beside float32."""
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Sources:
    """What the bundle is made from and measured on."""

    folder: Path
    """Holds the networks and how they were trained: the names above."""
    images: PictureStore
    people: frozenset[str]
    """Whom training used; everybody else in `images` is for measuring."""
    pairs: Sequence[Pair] | None = None
    pairs_label: str = ""

    def model(self, name: str) -> Path:
        """One of the files; UsageError when it is missing."""
        path = self.folder / name
        if not path.is_file():
            names = (DETECTOR_SOURCE, EMBEDDER_SOURCE, EMBEDDER_FLOAT_SOURCE, *TRAINING_SOURCES)
            raise UsageError("missing", where=str(path), expected=f"{', '.join(names)} in a folder")
        return path

    def training(self) -> dict[str, Any]:
        """How the networks were trained, by the name of the file without its suffix. UsageError where one is no JSON object."""
        return {Path(name).stem: _json_object(self.model(name)) for name in TRAINING_SOURCES}

    def measuring_names(self) -> list[str]:
        """Pictures of people whom nothing was trained on. UsageError when there are none."""
        names = [name for name in self.images.names if person_of(name) not in self.people]
        if not names:
            raise UsageError("every person is listed for training", expected="others too, to measure on")
        return names


def _json_object(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UsageError(f"no JSON ({error})", where=str(path), expected="what training wrote") from error
    if not isinstance(found, dict):
        raise UsageError("no JSON object", where=str(path), expected="what training wrote")
    return found
