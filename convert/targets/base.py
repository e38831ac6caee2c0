"""What every target takes and returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from convert.network import Array, Network


@dataclass(frozen=True, slots=True)
class DetectionHead:
    """What `TFLite_Detection_PostProcess` needs of a single-shot detector whose outputs are raw: (1, N, 4) offsets and (1, N, C) scores."""

    offsets: str
    """Output of the network: (1, N, 4), centre x, centre y, width, height, in the priors' terms."""
    scores: str
    """Output of the network: (1, N, C), the first class is the background."""
    priors: Array
    """float32 (N, 4): centre x, centre y, width, height as parts of the input's size."""
    variances: tuple[float, float] = (0.1, 0.2)
    """Of centres and of sizes (Liu et al. 2016, SSD)."""
    confidence: float = 0.5
    nms_iou: float = 0.3
    most: int = 100


@dataclass(frozen=True, slots=True)
class Options:
    """What a target is asked for beside the network."""

    batch: int | None = 1
    """Pictures in one run; None leaves it open where the target can."""
    examples: Mapping[str, Array] = field(default_factory=dict)
    """Calibration: input name -> float32 (N, C, H, W), what the float network would be fed. Integer targets need it."""
    mean: float = 0.0
    std: float = 1.0
    colour_order: str = ""
    """What the network expects, for the notes of a SavedModel."""
    with_text: bool = False
    """`opencv-pb` only: a .pbtxt beside the .pb, for those who want to edit what OpenCV makes of it."""
    default_ranges: tuple[float, float] | None = None
    """Invented activation ranges of the old converter; `tflite-uint8-legacy` only."""
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """Tensor -> (least, greatest) that FakeQuant nodes of the source measured in training; `tflite-uint8-legacy` only."""
    head: DetectionHead | None = None
    """Append TFLite_Detection_PostProcess; TFLite targets only."""


class Target(Protocol):
    """Writes one artifact."""

    def __call__(self, network: Network, path: Path, options: Options) -> list[Path]:
        """Write `path` (a file, or a folder for a SavedModel) and give all that was written. ModelError where it cannot be."""
