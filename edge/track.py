"""Faces of one person over frames.

A track is carried from frame to frame by where its face is expected; whether it is still the same person is a question
that `edge.decide` answers from embeddings.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from edge.config.settings import Track as TrackSettings
from edge.datatypes import Box, Detection

_SMOOTHING = 0.5
"""Weight of the newest movement in the velocity."""
_NEAR = 0.6
"""A face that moved less than this share of its size is the same even where the boxes no longer overlap enough."""
_SIZE_RATIO = 1.7
"""Between two frames no face grows or shrinks by more."""
_STALE = 5
"""A slow box may take longer than lost_after_s for a frame, and the face is still there. But when no frame at all came for
so many times that, nobody knows who stands there now."""

COVERED = 0.12
"""Chosen on walkers.mp4: YuNet's second faces in hair are covered by 0.14 to 0.32, faces side by side mostly by less."""


@dataclass(slots=True, eq=False)
class Track:
    """One face being followed. Mutable; owned by its Tracker."""

    id: int
    detection: Detection
    first_ns: int
    last_ns: int
    hits: int = 1
    velocity: tuple[float, float] = (0.0, 0.0)
    """Pixels a nanosecond."""

    @property
    def box(self) -> Box:
        """Where it was last seen."""
        return self.detection.box

    def expected(self, now_ns: int) -> Box:
        """Where it should be now."""
        elapsed = now_ns - self.last_ns
        return self.box.shifted(self.velocity[0] * elapsed, self.velocity[1] * elapsed)

    def follow(self, detection: Detection, now_ns: int) -> None:
        """It was seen again."""
        elapsed = now_ns - self.last_ns
        if elapsed > 0:
            (old_x, old_y), (new_x, new_y) = self.box.centre, detection.box.centre
            moved = ((new_x - old_x) / elapsed, (new_y - old_y) / elapsed)
            first, second = (
                (1 - _SMOOTHING) * old + _SMOOTHING * new for old, new in zip(self.velocity, moved, strict=True)
            )
            self.velocity = (first, second)
        self.detection, self.last_ns, self.hits = detection, now_ns, self.hits + 1


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


@dataclass(frozen=True, slots=True)
class Tracking:
    """What one frame did to the tracks."""

    seen: tuple[Track, ...]
    """Tracks with a face in this frame, largest face first."""
    ended: tuple[Track, ...]


class Tracker:
    """Assigns detections to tracks, the best pairs first."""

    def __init__(self, settings: TrackSettings) -> None:
        self._settings = settings
        self._tracks: list[Track] = []
        self._next_id = 1

    def update(self, detections: Sequence[Detection], now_ns: int) -> Tracking:
        """Take the faces of one frame, `now_ns` its monotonic capture time."""
        self._make_plausible(now_ns)
        ended = self._end(now_ns, _STALE)
        free = list(self._tracks)
        seen: list[Track] = []
        left = list(range(len(detections)))
        for _, index, track in self._candidates(detections, now_ns):
            if index in left and track in free:
                track.follow(detections[index], now_ns)
                left.remove(index)
                free.remove(track)
                seen.append(track)
        ended += self._end(now_ns)
        seen += [
            self._start(detections[index], now_ns) for index in left if len(self._tracks) < self._settings.max_tracks
        ]
        return Tracking(tuple(sorted(seen, key=lambda track: -track.box.area)), ended)

    @property
    def alive(self) -> tuple[Track, ...]:
        """Tracks that have not ended, whether the newest frame shows their face or not."""
        return tuple(self._tracks)

    def finish(self) -> tuple[Track, ...]:
        """The source has ended: so have all tracks."""
        ended, self._tracks = tuple(self._tracks), []
        return ended

    def renew(self, track: Track) -> int:
        """The face turned out to be somebody else's: the track goes on under a new id, which is returned."""
        track.id, self._next_id = self._next_id, self._next_id + 1
        track.first_ns, track.hits = track.last_ns, 1
        return track.id

    def _make_plausible(self, now_ns: int) -> None:
        """Sources may hand over frames out of order after a reopening; tracks from the future would never end."""
        for track in self._tracks:
            track.last_ns = min(track.last_ns, now_ns)

    def _candidates(self, detections: Sequence[Detection], now_ns: int) -> list[tuple[float, int, Track]]:
        pairs = []
        for track in self._tracks:
            place = track.expected(now_ns)
            for index, detection in enumerate(detections):
                score = self._affinity(place, detection.box)
                if score > 0:
                    pairs.append((score, index, track))
        return sorted(pairs, key=lambda pair: -pair[0])

    def _affinity(self, place: Box, box: Box) -> float:
        """Overlap where there is enough of it; else a smaller score for a face of like size near by; else 0."""
        iou = place.iou(box)
        if iou >= self._settings.min_iou:
            return iou
        small, large = sorted((max(place.side, 1e-6), max(box.side, 1e-6)))
        if large / small > _SIZE_RATIO:
            return 0.0
        (x1, y1), (x2, y2) = place.centre, box.centre
        distance = math.hypot(x1 - x2, y1 - y2) / large
        return self._settings.min_iou * (1 - distance / _NEAR) if distance < _NEAR else 0.0

    def _start(self, detection: Detection, now_ns: int) -> Track:
        track = Track(self._next_id, detection, now_ns, now_ns)
        self._next_id += 1
        self._tracks.append(track)
        return track

    def _end(self, now_ns: int, times: int = 1) -> tuple[Track, ...]:
        limit = int(self._settings.lost_after_s * 1e9) * times
        ended = tuple(track for track in self._tracks if now_ns - track.last_ns > limit)
        self._tracks = [track for track in self._tracks if track not in ended]
        return ended
