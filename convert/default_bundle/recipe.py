"""What the default bundle is made from, and every choice in making it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from convert.accuracy.pairs import Pair
from convert.pictures import PictureStore, person_of
from edge.errors import UsageError

DETECTOR_FILE, EMBEDDER_FILE, CARD_FILE = "detector.onnx", "embedder.tflite", "README.md"
DETECTOR_SOURCE, EMBEDDER_SOURCE = "detector.onnx", "embedder.onnx"


@dataclass(frozen=True, slots=True)
class Recipe:
    """Every choice; the manifest repeats it."""

    bundle_id: str = "ostiary-default-1"
    embedder_id: str = "ostiary-student-1"
    alignment_template: str = "arcface-112x112"
    colour_order: str = "RGB"
    confidence: float = 0.7
    nms_iou: float = 0.3
    smallest_px: float = 20.0
    largest_px: float = 300.0
    add_mirrored: bool = True
    """At twice the time the mirrored face raises the share of genuine pairs accepted, most where few impostors may be."""
    calibration_faces: int = 300
    held_out_faces: int = 300
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Sources:
    """What the bundle is made from and measured on."""

    folder: Path
    """Holds DETECTOR_SOURCE and EMBEDDER_SOURCE, float32."""
    images: PictureStore
    people: frozenset[str]
    """Whom training and calibration may use; everybody else in `images` is for measuring."""
    pairs: Sequence[Pair] | None = None
    pairs_label: str = ""

    def model(self, name: str) -> Path:
        """One of the two networks; UsageError when it is missing."""
        path = self.folder / name
        if not path.is_file():
            raise UsageError(
                "missing", where=str(path), expected=f"{DETECTOR_SOURCE} and {EMBEDDER_SOURCE} in a folder"
            )
        return path

    def measuring_names(self) -> list[str]:
        """Pictures of people whom nothing was trained or calibrated on. UsageError when there are none."""
        names = [name for name in self.images.names if person_of(name) not in self.people]
        if not names:
            raise UsageError("every person is listed for training", expected="others too, to measure on")
        return names
