"""Stand-ins for the stages (edge.interfaces), and a small world of coloured people for them to see.

A person is a colour: faces are painted as checkerboards of it, and the embedding of a face is its mean colour.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from edge.align import TEMPLATES
from edge.datatypes import Access, AlignedFace, Box, Detection, Embedding, Floats, Frame, Identity, Image, Match
from edge.event import Event

EMBEDDER_ID = "fake-embedder"
TEMPLATE = TEMPLATES["arcface-112x112"]
SECOND = 1_000_000_000
BLUE, GREEN, RED = (240, 20, 20), (20, 240, 20), (20, 20, 240)
"""BGR of three people who have nothing in common."""


def unit(*values: float) -> Floats:
    """A vector brought to length 1."""
    vector = np.array(values, np.float32)
    return np.asarray(vector / np.linalg.norm(vector), np.float32)


def embedding(*values: float) -> Embedding:
    """Of the fake embedder."""
    return Embedding(unit(*values), EMBEDDER_ID)


def face(x: float, y: float, side: float = 100.0, *, confidence: float = 0.95, turn: float = 0.0) -> Detection:
    """A face whose box begins at (x, y); the nose lies `turn` eye distances aside."""
    points = np.array(TEMPLATE.points, np.float32) * np.float32(side / TEMPLATE.width)
    points[2, 0] += np.float32(turn) * (points[1, 0] - points[0, 0])
    return Detection(Box(x, y, x + side, y + side), confidence, points + np.array([x, y], np.float32))


def paint(image: Image, detection: Detection, colour: tuple[int, int, int]) -> None:
    """A sharp face of that colour into a picture."""
    x1, y1, x2, y2 = (max(0, round(value)) for value in detection.box)
    height, width = image[y1:y2, x1:x2].shape[:2]
    cell = max(2, round(detection.box.side / 28))
    rows, columns = np.mgrid[:height, :width] // cell
    light = np.where((rows + columns) % 2, 1.0, 0.5)[..., None]
    image[y1:y2, x1:x2] = (np.array(colour) * light).astype(np.uint8)


def make_frame(
    index: int,
    faces: Mapping[tuple[int, int, int], Detection] | None = None,
    *,
    at_s: float | None = None,
    size: tuple[int, int] = (640, 480),
    **fields: object,
) -> Frame:
    """A frame at `at_s` seconds (0.2 s a frame when None), width x height, with those people painted in."""
    image = np.full((size[1], size[0], 3), 90, np.uint8)
    for colour, detection in (faces or {}).items():
        paint(image, detection, colour)
    moment_s = index * 0.2 if at_s is None else at_s
    return Frame(image, index, int(moment_s * SECOND), 1_700_000_000.0 + moment_s, **fields)  # type: ignore[arg-type]


@dataclass(slots=True)
class FakeDetector:
    """Gives what the script says, a list a call; nothing when the script has ended."""

    script: list[list[Detection]] = field(default_factory=list)
    seen: list[tuple[tuple[int, ...], float]] = field(default_factory=list)
    """Shape of every picture it was given, and its frame_scale."""
    gives_landmarks: bool = True

    def detect(self, image: Image, *, frame_scale: float = 1.0) -> list[Detection]:
        self.seen.append((image.shape, frame_scale))
        return self.script.pop(0) if self.script else []


@dataclass(slots=True)
class FakeEmbedder:
    """The mean colour of an aligned face, less its darkest channel; three values."""

    embedder_id: str = EMBEDDER_ID
    template: str = TEMPLATE.name
    batches: list[int] = field(default_factory=list)
    """How many faces were embedded in each call."""

    def embed(self, faces: Sequence[AlignedFace]) -> list[Embedding]:
        self.batches.append(len(faces))
        means = [one.image.reshape(-1, 3).mean(axis=0) for one in faces]
        return [Embedding(unit(*(mean - mean.min() + 1.0)), self.embedder_id) for mean in means]


@dataclass(slots=True)
class FakeSearcher:
    """Cosine against a dictionary of identities; change it as you like."""

    people: dict[Identity, Floats] = field(default_factory=dict)
    revision: int = 1
    searches: int = 0
    limits: dict[str, Access] = field(default_factory=dict)
    """What limits an identity, by its id."""

    def search(self, probe: Floats) -> Match:
        self.searches += 1
        rows = sorted(((float(probe @ vector), who) for who, vector in self.people.items()), key=lambda row: -row[0])
        if not rows:
            return Match(None, -1.0, 0.0)
        second = rows[1][0] if len(rows) > 1 else -1.0
        return Match(rows[0][1], rows[0][0], rows[0][0] - second)

    def access(self, identity_id: str) -> Access | None:
        known = {who.id: self.limits.get(who.id, Access()) for who in self.people}
        return known.get(identity_id)


@dataclass(slots=True)
class FakeSink:
    """Keeps events."""

    events: list[Event] = field(default_factory=list)

    def publish(self, event: Event) -> None:
        self.events.append(event)


@dataclass(slots=True)
class FakeSource:
    """Gives what it holds, in order: frames, or errors to raise; then None for a file, for a live source too."""

    items: list[Frame | Exception]
    is_live: bool = False
    before_read: Callable[[int], None] = lambda _: None
    """Called with the number of reads so far; moves a clock, say."""
    reads: int = 0
    is_closed: bool = False
    progress: int = 0

    def read(self) -> Frame | None:
        self.before_read(self.reads)
        self.reads += 1
        item = self.items.pop(0) if self.items else None
        if isinstance(item, Exception):
            raise item
        return item

    def close(self) -> None:
        self.is_closed = True
