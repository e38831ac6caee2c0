"""The stage loop: Frame -> Detection -> AlignedFace -> Embedding -> Match -> Decision -> Event."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ulid import ULID

from edge.align import AlignmentTemplate, align, template_named
from edge.bundle import Bundle
from edge.config.settings import Settings
from edge.datatypes import AlignedFace, Decision, Detection, Event, Frame, Quality
from edge.decide import Decider, Thresholds
from edge.health import STAGES, Health, StageClock
from edge.interfaces import Detector, Embedder, EventSink, Searcher
from edge.quality import assess, estimate
from edge.timebase import boot_id, clock_synced, now_ns
from edge.track import Track, Tracker

COVERED = 0.12
"""Chosen on walkers.mp4: YuNet's second faces in hair are covered by 0.14 to 0.32, faces side by side mostly by less."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What the pipeline is put together from; tests put fakes here."""

    detector: Detector
    embedder: Embedder
    searcher: Searcher
    sink: EventSink


@dataclass(frozen=True, slots=True)
class EventContext:
    """What every event of one run has in common."""

    device: str
    camera: str
    boot_id: str
    bundle_id: str
    embedder_id: str


@dataclass(frozen=True, slots=True, eq=False)
class FrameResult:
    """What one frame came to; for snapshots and annotated pictures."""

    frame: Frame
    tracks: tuple[Track, ...]
    """Faces in this frame, largest first."""
    decisions: tuple[Decision, ...]
    embedded: int
    """Faces embedded in this frame."""


def thresholds_of(bundle: Bundle, operating_point: str) -> Thresholds:
    """The named operating point, and the loosest one as "surely not the same person". BundleError for an unknown name."""
    chosen = bundle.operating_point(operating_point).threshold
    loosest = min(point.threshold for point in bundle.manifest.operating_points.values())
    return Thresholds(operating_point, chosen, loosest)


def context_of(settings: Settings, bundle: Bundle) -> EventContext:
    """From the configuration and the bundle."""
    manifest = bundle.manifest
    return EventContext(
        settings.device.name, settings.camera.name, boot_id(), manifest.bundle_id, manifest.embedder.embedder_id
    )


def is_covered(track: Track, seen: Sequence[Track]) -> bool:
    """Whether a surer face of the frame overlaps this one by more than COVERED of its area.

    It is then half hidden behind that face, or no face at all: detectors see a second one in hair and foreheads. Either
    way what would be embedded is not one person's face.
    """
    mine = track.detection
    return any(
        other.detection.confidence > mine.confidence and other.box.intersection(mine.box) > COVERED * mine.box.area
        for other in seen
        if other is not track
    )


class Pipeline:
    """All stages of one camera. Not thread-safe: one thread runs it."""

    def __init__(
        self, parts: Parts, settings: Settings, thresholds: Thresholds, context: EventContext, health: Health
    ) -> None:
        self._parts = parts
        self._settings = settings
        self._context = context
        self._health = health
        self._template: AlignmentTemplate = template_named(parts.embedder.template)
        self._tracker = Tracker(settings.track)
        self._decider = Decider(
            settings.decide, thresholds, parts.searcher, confirm_frames=settings.track.confirm_frames
        )
        self.last_seen_ns: int | None = None
        """Capture time of the newest frame with a confirmed face; presence hangs on it."""

    def process(self, frame: Frame) -> FrameResult:
        """Take one frame through all stages; events that are due go to the sink before this returns."""
        clock = StageClock(self._health.timings)
        clock.add("capture", max(0.0, (now_ns() - frame.captured_ns) / 1e6))
        with clock.stage("detect"):
            detections = self._detect(frame)
        tracking = self._tracker.update(detections, frame.moment_ns)
        chosen = self._choose(tracking.seen, frame)
        self._learn(chosen, frame, clock)
        with clock.stage("decide"):
            decisions = self._decide(tracking.seen, frame)
            decisions += [made for track in tracking.ended if (made := self._decider.close(track))]
        self._publish(decisions, clock)
        clock.finish()
        self._count(frame, tracking.seen, len(chosen))
        return FrameResult(frame, tracking.seen, tuple(decisions), len(chosen))

    def finish(self) -> list[Decision]:
        """The source has ended: decide what is still open."""
        clock = StageClock(self._health.timings)
        closing = [self._decider.close(track) for track in self._tracker.finish()]
        decisions = [decision for decision in closing if decision is not None]
        self._publish(decisions, clock)
        return decisions

    def label(self, track: Track) -> str:
        """A track in a few words, for annotated pictures."""
        known = self._decider.evidence(track)
        if known.announced == "recognized" and known.match.identity is not None:
            return f"{known.match.identity.name} {known.match.similarity:.2f}"
        return "unknown" if known.announced else f"... {len(known.observations)}"

    def _detect(self, frame: Frame) -> list[Detection]:
        """In frame pixels; on the camera's own small picture when it is large enough for the detector."""
        small = frame.small
        if small is None or max(small.shape[:2]) < self._settings.detect.width_px:
            return self._parts.detector.detect(frame.image)
        scale_x, scale_y = frame.width / small.shape[1], frame.height / small.shape[0]
        found_small = self._parts.detector.detect(small, frame_scale=max(scale_x, scale_y))
        return [found.mapped(scale_x, scale_y) for found in found_small]

    def _in_zone(self, track: Track, frame: Frame) -> bool:
        zone = self._settings.decide.zone
        if zone is None:
            return True
        x, y = track.box.centre
        return zone[0] <= x / frame.width <= zone[2] and zone[1] <= y / frame.height <= zone[3]

    def _choose(self, seen: Sequence[Track], frame: Frame) -> list[Track]:
        """The faces of this frame that would teach most, best first: undecided before decided, good before bad."""
        settings = self._settings.decide
        ranked = []
        for track in seen:
            likely = estimate(track.detection)
            if likely < settings.min_quality or not self._in_zone(track, frame) or is_covered(track, seen):
                continue
            if self._decider.wants(track, frame.moment_ns):
                known = self._decider.evidence(track)
                ranked.append((known.announced is not None, known.embedded, -likely, track))
        ranked.sort(key=lambda row: row[:3])
        return [row[3] for row in ranked[: settings.embed_per_frame]]

    def _learn(self, chosen: Sequence[Track], frame: Frame, clock: StageClock) -> None:
        if not chosen:
            return
        with clock.stage("align"):
            faces = [self._aligned(track, frame) for track in chosen]
        with clock.stage("embed"):
            embeddings = self._parts.embedder.embed([face for face, _ in faces])
        with clock.stage("match"):
            for track, embedding, (_, quality) in zip(chosen, embeddings, faces, strict=True):
                if self._decider.observe(track, embedding, quality.score, frame.moment_ns):
                    self._decider.forget(track.id)
                    self._tracker.renew(track)
                    self._decider.observe(track, embedding, quality.score, frame.moment_ns)
                    self._health.counters["tracks_taken_over"] += 1

    def _aligned(self, track: Track, frame: Frame) -> tuple[AlignedFace, Quality]:
        face = align(frame.image, track.detection, self._template)
        return face, assess(track.detection, face)

    def _decide(self, seen: Sequence[Track], frame: Frame) -> list[Decision]:
        decisions = []
        inside = [track for track in seen if self._in_zone(track, frame)]
        for position, track in enumerate(inside):
            may_recognize = position == 0 or not self._settings.decide.closest_only
            decision = self._decider.decide(track, frame, may_recognize=may_recognize)
            if decision is not None:
                decisions.append(decision)
        return decisions

    def _publish(self, decisions: Sequence[Decision], clock: StageClock) -> None:
        for decision in decisions:
            event = Event(
                decision=decision,
                event_id=str(ULID()),
                device=self._context.device,
                camera=self._context.camera,
                boot_id=self._context.boot_id,
                clock_synced=clock_synced(),
                gallery_revision=self._parts.searcher.revision,
                bundle_id=self._context.bundle_id,
                embedder_id=self._context.embedder_id,
                latency_ms={stage: clock.milliseconds.get(stage, 0.0) for stage in STAGES},
            )
            self._health.counters[f"events_{decision.event_type}"] += 1
            with clock.stage("publish"):
                self._parts.sink.publish(event)

    def _count(self, frame: Frame, seen: Sequence[Track], embedded: int) -> None:
        self._health.counters["frames"] += 1
        self._health.counters["faces"] += len(seen)
        self._health.counters["embeddings"] += embedded
        if any(track.hits >= self._settings.track.confirm_frames for track in seen):
            self.last_seen_ns = frame.captured_ns
