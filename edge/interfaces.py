"""What one stage asks of another. Fakes in the tests implement these and are passed to constructors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from edge.datatypes import Access, AlignedFace, Detection, Embedding, Floats, Frame, Image, Match, ReadFace
from edge.event import Event


class FrameSource(Protocol):
    """Somewhere that frames come from. `edge.capture.open_source` makes one from a URI."""

    @property
    def is_live(self) -> bool:
        """Live sources keep only their newest frame and never end by themselves."""

    @property
    def progress(self) -> int:
        """Grows as long as a live source that gives no frames is honestly attended to; the watchdog hangs on it."""

    def read(self) -> Frame | None:
        """Wait for the next frame; None at the end of a file. SourceError when it fails or stalls."""

    def close(self) -> None:
        """Release the device; any number of times, from any thread."""


class Detector(Protocol):
    """Finds faces in one picture."""

    @property
    def gives_landmarks(self) -> bool:
        """Whether detections carry landmarks; without them a face cannot be aligned by points."""

    def detect(self, image: Image, *, frame_scale: float = 1.0) -> list[Detection]:
        """Faces in BGR uint8 `image`, in its own pixels, surest first; an empty list when there are none.

        `frame_scale` says how many pixels of the frame one pixel of `image` is: limits on face size count the frame's.
        """


class Embedder(Protocol):
    """AlignedFaces -> Embeddings."""

    @property
    def embedder_id(self) -> str:
        """What galleries are bound to."""

    @property
    def template(self) -> str:
        """Alignment template that faces must be warped onto."""

    def embed(self, faces: Sequence[AlignedFace]) -> list[Embedding]:
        """One embedding for each face, in order. ValueError for a face of another template."""


class FaceReader(Protocol):
    """Single pictures through detection, alignment and embedding."""

    def faces(self, image: Image) -> Sequence[ReadFace]:
        """Every face in BGR uint8 `image`, in any order."""


class Searcher(Protocol):
    """Nearest identities; the gallery's read side."""

    @property
    def revision(self) -> int:
        """Grows with every change."""

    def search(self, probe: Floats) -> Match:
        """The nearest enabled identity to one L2-normalised float32 vector, valid now or not."""

    def access(self, identity_id: str) -> Access | None:
        """What limits an identity; None for one that is not enrolled, or disabled."""


class EventSink(Protocol):
    """Where decisions go: MQTT, a log, or a list in a test."""

    def publish(self, event: Event) -> None:
        """Take responsibility for the event: on disk, or handed over, when this returns. Never blocks on a network."""
