"""One decision a visit, made from several frames. One frame never opens a door.

A track's good frames each give an embedding and a weight (their quality). The fused embedding is their weighted sum,
brought to length 1; with cosine similarity that averages the noise of single frames away. `recognized` needs all of:
fused similarity at the operating point, margin to the second-best identity, and enough frames whose own best identity is
the same. docs/decisions.md tells the whole story.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np

from edge.config.settings import Decide
from edge.datatypes import Decision, Embedding, EventType, Floats, Frame, Identity, Match, Verdict
from edge.interfaces import Searcher
from edge.track import Track

MEMORY_FRAMES = 15
"""Good frames that a track remembers; older ones show a smaller, earlier face."""
CONTRADICTIONS = 2
"""So many good frames in a row that are unlike the track's own face mean that somebody else has stepped in."""
SLOWER_AFTER = 8
"""After so many good frames without a decision another one teaches little: they are taken four times as rarely."""


@dataclass(frozen=True, slots=True, eq=False)
class Observation:
    """One good frame of a track."""

    embedding: Embedding
    quality: float
    match: Match
    """Of this frame alone."""


@dataclass(frozen=True, slots=True)
class Thresholds:
    """What the bundle's operating points mean for decisions."""

    operating_point: str
    recognized: float
    """Similarity of the operating point."""
    same_person: float
    """The loosest operating point of the bundle: two pictures under it are of two people."""


@dataclass(slots=True)
class Evidence:
    """All that is known of one track. Mutable; owned by its Decider."""

    observations: deque[Observation] = field(default_factory=lambda: deque(maxlen=MEMORY_FRAMES))
    first_good_ns: int = 0
    last_good_ns: int = 0
    last_embedded_ns: int = -(1 << 62)
    seen_ns: int = 0
    seen_at: float = 0.0
    """When the newest frame with this face was captured: monotonic nanoseconds and Unix seconds."""
    embedded: int = 0
    contradictions: int = 0
    announced: EventType | None = None
    verdict: Verdict = Verdict()
    """What was told with it; the business of whoever tells."""
    match: Match = field(default_factory=lambda: Match(None, -1.0, 0.0))
    """Of the fused embedding."""

    @property
    def fused(self) -> Floats | None:
        """Weighted sum of what was seen, brought to length 1; None before the first good frame."""
        if not self.observations:
            return None
        total = np.sum([item.embedding.vector * np.float32(item.quality) for item in self.observations], axis=0)
        norm = float(np.linalg.norm(total))
        return np.asarray(total / norm, np.float32) if norm > 1e-6 else None

    @property
    def quality(self) -> float:
        """Mean quality of the remembered frames."""
        return float(np.mean([item.quality for item in self.observations])) if self.observations else 0.0

    def agreeing(self, identity: Identity | None) -> int:
        """Good frames whose own best identity is this one; for None, all good frames."""
        if identity is None:
            return len(self.observations)
        return sum(
            item.match.identity is not None and item.match.identity.id == identity.id for item in self.observations
        )


class Decider:
    """Gathers evidence for every track and turns it into decisions."""

    def __init__(
        self, settings: Decide, thresholds: Thresholds, searcher: Searcher, *, confirm_frames: int = 1
    ) -> None:
        self._settings = settings
        self._thresholds = thresholds
        self._searcher = searcher
        self._confirm_frames = confirm_frames
        self._evidence: dict[int, Evidence] = {}
        self._announced: dict[str, int] = {}
        self._strangers: deque[tuple[int, Floats]] = deque(maxlen=64)

    def evidence(self, track: Track) -> Evidence:
        """Of a track, empty when it is new."""
        known = self._evidence.get(track.id)
        if known is None:
            memory = max(MEMORY_FRAMES, self._settings.min_frames)
            known = self._evidence[track.id] = Evidence(deque(maxlen=memory))
        return known

    def wants(self, track: Track, now_ns: int) -> bool:
        """Whether embedding this track's face now could teach something."""
        known = self.evidence(track)
        if known.announced is not None and not known.contradictions:
            interval = self._settings.recheck_s
        else:
            interval = self._settings.embed_interval_s * (4 if known.embedded >= SLOWER_AFTER else 1)
        return now_ns - known.last_embedded_ns >= interval * 1e9

    def observe(self, track: Track, embedding: Embedding, quality: float, now_ns: int) -> bool:
        """Add a frame's embedding. True when it shows that the track is no longer of the same person."""
        known = self.evidence(track)
        known.last_embedded_ns = now_ns
        known.embedded += 1
        if quality < self._settings.min_quality:
            return False
        fused = known.fused
        # After a recognition doubt is cheap: it costs one more decision, and a look-alike cannot stand in unnoticed.
        least = self._thresholds.recognized if known.announced == "recognized" else self._thresholds.same_person
        if fused is not None and float(fused @ embedding.vector) < least:
            known.contradictions += 1
            return known.contradictions >= CONTRADICTIONS
        known.contradictions = 0
        if not known.observations:
            known.first_good_ns = now_ns
        known.last_good_ns = now_ns
        known.observations.append(Observation(embedding, quality, self._searcher.search(embedding.vector)))
        self._look_up(known)
        return False

    def _look_up(self, known: Evidence) -> None:
        fused = known.fused
        if fused is not None:
            known.match = self._searcher.search(fused)

    def decide(self, track: Track, frame: Frame, *, may_recognize: bool) -> Decision | None:
        """The decision that is due for a track that this frame shows; None while there is none, or nothing new."""
        known = self.evidence(track)
        known.seen_ns, known.seen_at = frame.captured_ns, frame.captured_at
        if known.announced != "recognized" and may_recognize and self._is_current(known, frame.moment_ns):
            return self._announce(track, known, "recognized", frame.moment_ns)
        is_confirmed = known.announced is None and track.hits >= self._confirm_frames
        if is_confirmed and self._is_unknown(track, known, frame.moment_ns):
            return self._announce(track, known, "unknown", frame.moment_ns)
        return None

    def are_alike(self, one: Track, other: Track) -> bool:
        """Whether both tracks may be of one face; False while either has shown none."""
        first, second = self.evidence(one).fused, self.evidence(other).fused
        return first is not None and second is not None and float(first @ second) >= self._thresholds.same_person

    def close(self, track: Track) -> Decision | None:
        """The track has ended, or somebody else has taken it over: nothing is known of it any more.

        Somebody who left before the time was up, seen well enough, is unknown.
        """
        known = self._evidence.pop(track.id, Evidence())
        is_open = known.announced is None and len(known.observations) >= self._settings.min_frames
        if is_open and track.hits >= self._confirm_frames and not self._is_recognized(known):
            return self._announce(track, known, "unknown", track.last_ns)
        return None

    def again(self, track: Track, frame: Frame) -> Decision | None:
        """Announce somebody recognized in spite of the cool-down; None unless this very frame shows who it is.

        A decided track is looked at too rarely to trust an older frame. `decide` must have been asked for this one.
        """
        known = self.evidence(track)
        if known.last_good_ns != frame.moment_ns or not self._is_current(known, frame.moment_ns):
            return None
        return self._tell(track, known, "recognized", frame.moment_ns)

    def recognized(self, track: Track, now_ns: int) -> Identity | None:
        """Whose face that is, announced or not; None while that is not decided, and when it was long ago."""
        known = self.evidence(track)
        is_fresh = now_ns - known.last_good_ns <= 2 * self._settings.recheck_s * 1e9
        return known.match.identity if is_fresh and not known.contradictions and self._is_recognized(known) else None

    def _is_recognized(self, known: Evidence) -> bool:
        match = known.match
        return (
            match.identity is not None
            and match.similarity >= self._thresholds.recognized
            and match.margin >= self._settings.margin
            and known.agreeing(match.identity) >= self._settings.min_frames
        )

    def _is_current(self, known: Evidence, now_ns: int) -> bool:
        """Recognized, and nothing suggests that somebody else stands there by now, or that the gallery says otherwise."""
        age_ns = now_ns - known.last_good_ns
        if not self._is_recognized(known) or known.contradictions or age_ns > self._settings.recheck_s * 1e9:
            return False
        if age_ns != 0:
            self._look_up(known)
        return self._is_recognized(known)

    def _is_unknown(self, track: Track, known: Evidence, now_ns: int) -> bool:
        if self._is_recognized(known):
            return False
        if len(known.observations) >= self._settings.min_frames:
            return now_ns - known.first_good_ns >= self._settings.unknown_after_s * 1e9
        return now_ns - track.first_ns >= self._settings.give_up_after_s * 1e9

    def _announce(self, track: Track, known: Evidence, kind: EventType, now_ns: int) -> Decision | None:
        """None during the cool-down; the question is asked again with the next frame, so nobody is forgotten."""
        return None if self._in_cool_down(known, kind, now_ns) else self._tell(track, known, kind, now_ns)

    def _tell(self, track: Track, known: Evidence, kind: EventType, now_ns: int) -> Decision:
        known.announced = kind
        match = known.match
        identity = match.identity if kind == "recognized" else None
        if identity is not None:
            self._announced[identity.id] = now_ns
        elif (fused := known.fused) is not None:
            self._strangers.append((now_ns, fused))
        return Decision(
            event_type=kind, track_id=track.id, identity=identity, similarity=match.similarity, margin=match.margin,
            operating_point=self._thresholds.operating_point, frames=known.agreeing(identity), quality=known.quality,
            box=track.box, captured_ns=known.seen_ns, captured_at=known.seen_at,
        )  # fmt: skip

    def _in_cool_down(self, known: Evidence, kind: EventType, now_ns: int) -> bool:
        limit = int(self._settings.cool_down_s * 1e9)
        if kind == "recognized":
            identity = known.match.identity
            last = self._announced.get(identity.id) if identity is not None else None
            return last is not None and now_ns - last < limit
        fused = known.fused
        recent = [vector for then, vector in self._strangers if now_ns - then < limit]
        return fused is not None and any(float(fused @ vector) >= self._thresholds.same_person for vector in recent)
