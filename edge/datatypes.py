"""What flows between the stages: Frame -> Detection -> AlignedFace -> Embedding -> Match -> Decision -> Event.

Pictures are BGR uint8 until the embedder. Coordinates are xyxy pixels of the frame as the stages see it (after
rotation, mirror and region of interest). Monotonic nanoseconds measure intervals; wall-clock time is only published.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
"""uint8, HxWx3, BGR."""
Floats = NDArray[np.float32]

LANDMARK_NAMES = ("right_eye", "left_eye", "nose", "right_mouth_corner", "left_mouth_corner")
"""Order of every five landmarks here, of the subject: the right eye is on the left of the picture."""


def check_image(image: Image, what: str = "image") -> None:
    """Raise ValueError unless `image` is uint8 HxWx3 and not empty."""
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise ValueError(f"{what}: expected uint8 HxWx3, got {image.dtype} {image.shape}")


class Box(NamedTuple):
    """A rectangle in pixels, corners inclusive of their fractions: (x1, y1) upper left, (x2, y2) lower right."""

    x1: float
    y1: float
    x2: float
    y2: float

    @property
    def width(self) -> float:
        """Pixels; never negative."""
        return max(0.0, self.x2 - self.x1)

    @property
    def height(self) -> float:
        """Pixels; never negative."""
        return max(0.0, self.y2 - self.y1)

    @property
    def area(self) -> float:
        """Square pixels."""
        return self.width * self.height

    @property
    def side(self) -> float:
        """The longer side in pixels, which is what "face size" means everywhere here."""
        return max(self.width, self.height)

    @property
    def centre(self) -> tuple[float, float]:
        """Pixels, (x, y)."""
        return (self.x1 + self.x2) / 2, (self.y1 + self.y2) / 2

    def scaled(self, x: float, y: float) -> Box:
        """The same rectangle in a picture that is `x` times as wide and `y` times as high."""
        return Box(self.x1 * x, self.y1 * y, self.x2 * x, self.y2 * y)

    def shifted(self, x: float, y: float) -> Box:
        """Moved by pixels."""
        return Box(self.x1 + x, self.y1 + y, self.x2 + x, self.y2 + y)

    def clipped(self, width: float, height: float) -> Box:
        """What of it lies inside a picture of that size."""
        return Box(
            min(max(self.x1, 0.0), width), min(max(self.y1, 0.0), height),
            min(max(self.x2, 0.0), width), min(max(self.y2, 0.0), height),
        )  # fmt: skip

    def contains(self, x: float, y: float) -> bool:
        """Whether the point lies inside."""
        return self.x1 <= x <= self.x2 and self.y1 <= y <= self.y2

    def intersection(self, other: Box) -> float:
        """Shared area in square pixels."""
        width = min(self.x2, other.x2) - max(self.x1, other.x1)
        height = min(self.y2, other.y2) - max(self.y1, other.y1)
        return max(0.0, width) * max(0.0, height)

    def iou(self, other: Box) -> float:
        """Intersection over union, 0 to 1; 0 when both are empty."""
        shared = self.intersection(other)
        union = self.area + other.area - shared
        return shared / union if union > 0 else 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One picture from a source.

    `image` is BGR uint8. `small` is the same view in fewer pixels when the camera delivers one for free (the
    low-resolution stream of picamera2), else None.
    """

    image: Image
    index: int
    captured_ns: int
    """time.monotonic_ns() when the picture was taken, as near as the source can tell."""
    captured_at: float
    """Unix seconds of the same moment."""
    small: Image | None = None
    name: str = ""
    """File name for a folder of pictures, else empty."""
    timeline_ns: int | None = None
    """The moment on the clip's own timeline, for a file that is read as fast as it can be; None where time is real."""

    def __post_init__(self) -> None:
        check_image(self.image, "frame")
        if self.small is not None:
            check_image(self.small, "frame.small")

    @property
    def width(self) -> int:
        """Pixels."""
        return int(self.image.shape[1])

    @property
    def height(self) -> int:
        """Pixels."""
        return int(self.image.shape[0])

    @property
    def moment_ns(self) -> int:
        """What intervals between frames are measured on: a clip comes to the same decisions however fast it is read."""
        return self.captured_ns if self.timeline_ns is None else self.timeline_ns


@dataclass(frozen=True, slots=True, eq=False)
class Detection:
    """A face in a frame. `landmarks` is float32 5x2 in the order of LANDMARK_NAMES, or None where a detector has none."""

    box: Box
    confidence: float
    landmarks: Floats | None = None

    def __post_init__(self) -> None:
        if self.landmarks is not None and (self.landmarks.shape != (5, 2) or self.landmarks.dtype != np.float32):
            raise ValueError(f"landmarks: expected float32 (5, 2), got {self.landmarks.dtype} {self.landmarks.shape}")

    def mapped(self, x: float, y: float, offset_x: float = 0.0, offset_y: float = 0.0) -> Detection:
        """The same face in coordinates multiplied by (x, y) and then moved by the offset."""
        points = None
        if self.landmarks is not None:
            points = self.landmarks * np.array([x, y], np.float32) + np.array([offset_x, offset_y], np.float32)
        return Detection(self.box.scaled(x, y).shifted(offset_x, offset_y), self.confidence, points)


@dataclass(frozen=True, slots=True)
class Quality:
    """How much one face picture can teach, each part and the whole from 0 (nothing) to 1 (as good as it gets)."""

    score: float
    size_px: float
    sharpness: float
    frontality: float
    confidence: float


@dataclass(frozen=True, slots=True, eq=False)
class AlignedFace:
    """A face warped onto an alignment template: BGR uint8 of exactly the template's size."""

    image: Image
    template: str

    def __post_init__(self) -> None:
        check_image(self.image, "aligned face")


@dataclass(frozen=True, slots=True, eq=False)
class Embedding:
    """A face as an L2-normalised float32 vector, and the embedder it belongs to."""

    vector: Floats
    embedder_id: str

    def __post_init__(self) -> None:
        if self.vector.dtype != np.float32 or self.vector.ndim != 1:
            raise ValueError(f"embedding: expected float32 (N,), got {self.vector.dtype} {self.vector.shape}")
        norm = float(np.linalg.norm(self.vector))
        if not abs(norm - 1.0) < 1e-3:
            raise ValueError(f"embedding: expected length 1, got {norm:.4f}")

    def similarity(self, other: Embedding) -> float:
        """Cosine, -1 to 1; higher is closer. ValueError across embedders."""
        if self.embedder_id != other.embedder_id:
            raise ValueError(f"embeddings of {self.embedder_id!r} and {other.embedder_id!r} cannot be compared")
        return float(self.vector @ other.vector)


@dataclass(frozen=True, slots=True, eq=False)
class ReadFace:
    """One face of a single picture, through every stage but the gallery."""

    detection: Detection
    aligned: AlignedFace
    quality: Quality
    embedding: Embedding


@dataclass(frozen=True, slots=True)
class Identity:
    """Someone enrolled: a stable id that is never used again, and a name that may change."""

    id: str
    name: str


@dataclass(frozen=True, slots=True)
class Access:
    """What limits one identity, beside the policy of the door. Times are Unix seconds; empty tuples and texts limit nothing."""

    groups: tuple[str, ...] = ()
    zones: tuple[str, ...] = ()
    schedule: str = ""
    """Each week, as policy.groups has it: `mon-fri 08:00-18:00; sat 09:00-13:00`."""
    valid_from: float = -math.inf
    valid_until: float = math.inf


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a door may open, and a stable word that says why, or why not."""

    allowed: bool = False
    reason: str = "not_recognized"


@dataclass(frozen=True, slots=True)
class Match:
    """The nearest enrolled identity to one probe, and how far the second-best identity is behind.

    `identity` is None (similarity -1, margin 0) only when nobody is enrolled. With one identity enrolled the margin
    is similarity + 1, the widest that cosine allows.
    """

    identity: Identity | None
    similarity: float
    margin: float


EventType = Literal["recognized", "unknown", "spoof_suspected"]


@dataclass(frozen=True, slots=True)
class Decision:
    """What a track came to. `identity` is None for an unknown person; `similarity` then is the nearest one's."""

    event_type: EventType
    track_id: int
    identity: Identity | None
    similarity: float
    margin: float
    operating_point: str
    frames: int
    """How many good frames agreed."""
    quality: float
    box: Box
    captured_ns: int
    captured_at: float
