"""The pipeline on a clip beside a plain loop, frame by frame in one run.

The plain loop is what most set-ups do: find faces in the full frame, embed every face of every frame, look each up.
Both see the same decoded frames, in turn; decoding is counted for neither. Those to be recognized are enrolled from one
frame of the clip, which then takes part in neither: everybody in it whose face is good enough to decide by.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from edge.align import align, template_named
from edge.bench.plain import PlainLoop
from edge.capture import open_source
from edge.config.settings import Settings
from edge.datatypes import Detection, Frame, Identity, Image
from edge.errors import OstiaryError
from edge.event import Event
from edge.gallery import Index, Member
from edge.health import Health
from edge.interfaces import Embedder
from edge.pipeline import Parts, Pipeline, context_of, thresholds_of
from edge.quality import estimate
from edge.reader import load_models


@dataclass(frozen=True, slots=True)
class Comparison:
    """What both did with one clip. Times are CPU milliseconds a frame, the median over frames."""

    frames: int
    plain_ms: float
    pipeline_ms: float
    ratio: float
    """Sum of the pipeline's CPU times over the plain loop's."""
    plain_faces: float
    pipeline_faces: float
    embeddings: float
    """Faces that the pipeline embedded, a frame."""
    enrolled: int
    plain_people: list[str]
    pipeline_people: list[str]
    disputed: list[str]
    """Those of pipeline_people whom the plain loop does not see at that place of that frame."""
    stages_ms: dict[str, dict[str, float]]


@dataclass(slots=True)
class _Collected:
    """An EventSink that keeps what it is given."""

    events: list[Event] = field(default_factory=list)

    def publish(self, event: Event) -> None:
        self.events.append(event)


def frames_of(clip: Path, settings: Settings) -> Iterator[Frame]:
    """Every frame of a clip."""
    source = open_source(dataclasses.replace(settings.camera, uri=str(clip), realtime=False))
    try:
        while (frame := source.read()) is not None:
            yield frame
    finally:
        source.close()


def measure(clip: Path, settings: Settings, *, plain_bundle: Path | None, rounds: int = 3) -> list[Comparison]:
    """`rounds` comparisons; each interleaves both loops frame by frame. OstiaryError for a clip without faces."""
    cv2.setNumThreads(1)
    plain = PlainLoop(settings, plain_bundle)
    chosen, faces = best_frame(clip, settings, plain)
    return [_round(clip, settings, plain_bundle, chosen, faces) for _ in range(rounds)]


def best_frame(clip: Path, settings: Settings, plain: PlainLoop) -> tuple[Frame, list[Detection]]:
    """The frame with most to enrol: the greatest sum of face qualities, over every fifth frame."""
    best: tuple[float, Frame, list[Detection]] | None = None
    for frame in frames_of(clip, settings):
        if frame.index % 5:
            continue
        found = plain.enrollable(frame.image, settings.decide.min_quality)
        score = sum(estimate(face) for face in found)
        if found and (best is None or score > best[0]):
            best = (score, frame, found)
    if best is None:
        raise OstiaryError("no face in any frame", where=str(clip), hint="Choose a clip that shows people.")
    return best[1], sorted(best[2], key=lambda face: face.box.x1)


def index_of(embedder: Embedder, image: Image, faces: list[Detection]) -> Index:
    """The faces of one frame as identities "person 1", "person 2", ... from left to right."""
    template = template_named(embedder.template)
    embeddings = embedder.embed([align(image, face, template) for face in faces])
    members = [Member(Identity(f"person-{number}", f"person {number}")) for number in range(1, len(faces) + 1)]
    return Index(members, np.arange(len(faces), dtype=np.int64), np.stack([one.vector for one in embeddings]))


def _round(
    clip: Path, settings: Settings, plain_bundle: Path | None, chosen: Frame, faces: list[Detection]
) -> Comparison:
    plain = PlainLoop(settings, plain_bundle)
    plain.enrol(index_of(plain.embedder, chosen.image, faces))
    models, sink, health = load_models(settings), _Collected(), Health()
    parts = Parts(models.detector, models.embedder, index_of(models.embedder, chosen.image, faces), sink)
    thresholds = thresholds_of(models.bundle, settings.decide.operating_point)
    pipeline = Pipeline(parts, settings, thresholds, context_of(settings, models.bundle), health)
    plain_ms: list[float] = []
    pipeline_ms: list[float] = []
    disputed: list[str] = []
    for frame in frames_of(clip, settings):
        if frame.index == chosen.index:
            continue
        start = time.process_time()
        plain.take(frame.image)
        middle = time.process_time()
        result = pipeline.process(frame)
        plain_ms.append((middle - start) * 1e3)
        pipeline_ms.append((time.process_time() - middle) * 1e3)
        named = [(made.box, made.identity.name) for made in result.decisions if made.identity is not None]
        disputed += [name for box, name in named if not plain.would_say(box, name)]
    pipeline.finish()
    count = len(plain_ms)
    people = {event.decision.identity.name for event in sink.events if event.decision.identity is not None}
    return Comparison(
        frames=count, plain_ms=round(float(np.median(plain_ms)), 2), pipeline_ms=round(float(np.median(pipeline_ms)), 2),
        ratio=round(sum(pipeline_ms) / sum(plain_ms), 4), plain_faces=round(plain.faces / count, 2),
        pipeline_faces=round(health.counters["faces"] / count, 2), embeddings=round(health.counters["embeddings"] / count, 2),
        enrolled=len(faces), plain_people=plain.people, pipeline_people=sorted(people), disputed=sorted(disputed),
        stages_ms=health.timings.summary(),
    )  # fmt: skip
