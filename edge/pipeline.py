"""The stage loop: Frame -> Detection -> AlignedFace -> Embedding -> Match -> Decision -> Verdict -> Event."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ulid import ULID

from edge.align import AlignmentTemplate, align, template_named
from edge.bundle import Bundle
from edge.config.settings import Settings
from edge.datatypes import AlignedFace, Decision, Detection, Frame, Quality, Verdict
from edge.decide import Decider, Thresholds
from edge.event import Event
from edge.health import STAGES, Health, StageClock
from edge.interfaces import Detector, Embedder, EventSink, Searcher
from edge.policy.company import Bystander, company_of
from edge.policy.doorkeeper import Doorkeeper, Signals
from edge.policy.verdict import Company
from edge.quality import assess, estimate
from edge.timebase import boot_id, now_ns
from edge.track import Track, Tracker, is_covered

Judged = tuple[Decision, Verdict]
Standing = Literal["undecided", "unknown", "refused", "allowed"]


@dataclass(frozen=True, slots=True)
class Parts:
    """What the pipeline is put together from; tests put fakes here."""

    detector: Detector
    embedder: Embedder
    searcher: Searcher
    sink: EventSink
    signals: Signals = Signals()


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
    events: tuple[Event, ...]
    """What was told, in the order in which it was."""
    embedded: int
    """Faces embedded in this frame."""

    @property
    def decisions(self) -> tuple[Decision, ...]:
        """What the events are about."""
        return tuple(event.decision for event in self.events)


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
        self._doorkeeper = Doorkeeper(settings.policy, parts.searcher.access, parts.signals)
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
        replaced = self._learn(chosen, frame, clock)
        with clock.stage("decide"):
            judged = [self._judged(made) for made in replaced]
            judged += self._decide(tracking.seen, frame)
            judged += [self._judged(made) for track in tracking.ended if (made := self._decider.close(track))]
        events = self._publish(judged, clock)
        clock.finish()
        self._count(frame, tracking.seen, len(chosen))
        return FrameResult(frame, tracking.seen, events, len(chosen))

    def finish(self) -> tuple[Event, ...]:
        """The source has ended: decide what is still open."""
        clock = StageClock(self._health.timings)
        closing = [self._decider.close(track) for track in self._tracker.finish()]
        return self._publish([self._judged(made) for made in closing if made is not None], clock)

    def label(self, track: Track) -> str:
        """A track in a few words, for annotated pictures."""
        known, standing = self._decider.evidence(track), self.standing(track)
        if standing in ("undecided", "unknown"):
            return "unknown" if known.announced else f"... {len(known.observations)}"
        who = known.match.identity.name if known.match.identity is not None else "somebody"
        why = f" ({known.verdict.reason.replace('_', ' ')})" if standing == "refused" else ""
        return f"{who} {known.match.similarity:.2f}{why}"

    def standing(self, track: Track) -> Standing:
        """How a track stands with the door."""
        known = self._decider.evidence(track)
        if known.announced != "recognized":
            return "unknown" if known.announced else "undecided"
        return "allowed" if known.verdict.allowed else "refused"

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
        """The faces of this frame that would teach most, best first: undecided before decided, good before bad.

        Before all others those who were refused and may enter now: that it is still they must be certain.
        """
        settings = self._settings.decide
        ranked = []
        for track in seen:
            likely = estimate(track.detection)
            if likely < settings.min_quality or not self._in_zone(track, frame) or is_covered(track, seen):
                continue
            is_due = self._relents(track, frame)
            if is_due or self._decider.wants(track, frame.moment_ns):
                known = self._decider.evidence(track)
                ranked.append((not is_due, known.announced is not None, known.embedded, -likely, track))
        ranked.sort(key=lambda row: row[:4])
        return [row[4] for row in ranked[: settings.embed_per_frame]]

    def _learn(self, chosen: Sequence[Track], frame: Frame, clock: StageClock) -> list[Decision]:
        """Look at these faces; gives decisions on those who turn out to have been replaced by somebody else."""
        replaced: list[Decision] = []
        if not chosen:
            return replaced
        with clock.stage("align"):
            faces = [self._aligned(track, frame) for track in chosen]
        with clock.stage("embed"):
            embeddings = self._parts.embedder.embed([face for face, _ in faces])
        with clock.stage("match"):
            for track, embedding, (_, quality) in zip(chosen, embeddings, faces, strict=True):
                if self._decider.observe(track, embedding, quality.score, frame.moment_ns):
                    if (decision := self._decider.close(track)) is not None:
                        replaced.append(decision)
                    self._tracker.renew(track)
                    self._decider.observe(track, embedding, quality.score, frame.moment_ns)
                    self._health.counters["tracks_taken_over"] += 1
        return replaced

    def _aligned(self, track: Track, frame: Frame) -> tuple[AlignedFace, Quality]:
        face = align(frame.image, track.detection, self._template)
        return face, assess(track.detection, face)

    def _decide(self, seen: Sequence[Track], frame: Frame) -> list[Judged]:
        judged = []
        inside = [track for track in seen if self._in_zone(track, frame)]
        for position, track in enumerate(inside):
            may_recognize = position == 0 or not self._settings.decide.closest_only
            decision = self._decider.decide(track, frame, may_recognize=may_recognize)
            if decision is None and may_recognize and self._relents(track, frame):
                decision = self._decider.again(track, frame)
            if decision is not None:
                verdict = self._doorkeeper.verdict(decision, self._company(track, frame))
                self._decider.evidence(track).verdict = verdict
                judged.append((decision, verdict))
        return judged

    def _relents(self, track: Track, frame: Frame) -> bool:
        """Whether this is somebody who was refused, and may enter now if this frame says that it is still the same person."""
        who = self._decider.recognized(track, frame.moment_ns)
        if who is None or not self._doorkeeper.has_refused(who):
            return False
        return self._doorkeeper.would_allow(who, frame.captured_at, self._company(track, frame))

    def _company(self, track: Track, frame: Frame) -> Company:
        """Who is there besides: faces in the zone that are no flicker, seen now or lost so lately that they have not left."""
        alive = self._tracker.alive
        others = [other for other in alive if self._is_company(other, track, frame)]
        return company_of(track.box, [self._bystander(other, alive, frame) for other in others])

    def _is_company(self, other: Track, track: Track, frame: Frame) -> bool:
        if other is track or other.hits < self._settings.track.confirm_frames or not self._in_zone(other, frame):
            return False
        # A track that broke off with the same face is of the same visitor, who moved too fast to be followed.
        return other.last_ns == track.last_ns or not self._decider.are_alike(other, track)

    def _bystander(self, track: Track, alive: Sequence[Track], frame: Frame) -> Bystander:
        who = self._decider.recognized(track, frame.moment_ns)
        is_known = self._doorkeeper.vouches_for(who, frame.captured_at)
        return Bystander(track.box, is_known, is_covered(track, alive))

    def _judged(self, decision: Decision) -> Judged:
        """Of somebody who is not there any more."""
        return decision, self._doorkeeper.verdict(decision, "none")

    def _publish(self, judged: Sequence[Judged], clock: StageClock) -> tuple[Event, ...]:
        events = []
        for decision, verdict in judged:
            event = Event(
                decision=decision,
                event_id=str(ULID()),
                device=self._context.device,
                camera=self._context.camera,
                boot_id=self._context.boot_id,
                clock_synced=self._parts.signals.is_clock_synced(),
                gallery_revision=self._parts.searcher.revision,
                bundle_id=self._context.bundle_id,
                embedder_id=self._context.embedder_id,
                verdict=verdict,
                latency_ms={stage: clock.milliseconds.get(stage, 0.0) for stage in STAGES},
            )
            self._health.counters[f"events_{decision.event_type}"] += 1
            self._health.counters["events_allowed"] += verdict.allowed
            with clock.stage("publish"):
                self._parts.sink.publish(event)
            events.append(event)
        return tuple(events)

    def _count(self, frame: Frame, seen: Sequence[Track], embedded: int) -> None:
        self._health.counters["frames"] += 1
        self._health.counters["faces"] += len(seen)
        self._health.counters["embeddings"] += embedded
        if any(track.hits >= self._settings.track.confirm_frames for track in seen):
            self.last_seen_ns = frame.captured_ns
