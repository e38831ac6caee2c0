from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from edge.config.settings import Track as TrackSettings
from edge.datatypes import Box, Detection
from edge.track import Track, Tracker
from tests.support.fakes import SECOND, face

FRAME = SECOND // 10


def ids(tracks: tuple[Track, ...]) -> list[int]:
    return [track.id for track in tracks]


@pytest.mark.parametrize("apart_px", [0, 25, 80])
@pytest.mark.parametrize("step_px", [8, 20, 45])
def test_two_people_who_cross_keep_their_ids(apart_px: int, step_px: int) -> None:
    tracker = Tracker(TrackSettings())
    of: dict[str, set[int]] = {"right": set(), "left": set()}
    for number in range(900 // step_px):
        right, left = face(step_px * number, 100), face(900 - step_px * number, 100 + apart_px)
        for track in tracker.update([right, left], number * FRAME).seen:
            of["right" if track.detection is right else "left"].add(track.id)
    assert of == {"right": {1}, "left": {2}}


@pytest.mark.parametrize("step_px", [0, 10, 30])
def test_a_face_hidden_for_a_while_is_found_where_it_should_be(step_px: int) -> None:
    tracker = Tracker(TrackSettings(lost_after_s=1.0))
    for number in range(10):
        tracker.update([face(step_px * number, 50)], number * FRAME)
    for number in range(10, 19):
        assert tracker.update([], number * FRAME).ended == ()
    assert ids(tracker.update([face(step_px * 19, 50)], 19 * FRAME).seen) == [1]


def test_a_track_unseen_for_too_long_ends() -> None:
    tracker = Tracker(TrackSettings(lost_after_s=1.0))
    tracker.update([face(0, 0)], 0)
    assert tracker.update([], SECOND).ended == ()
    assert ids(tracker.update([], SECOND + 1).ended) == [1]
    assert ids(tracker.update([face(0, 0)], SECOND + 2).seen) == [2]


def test_a_box_slower_than_the_limit_still_follows() -> None:
    tracker = Tracker(TrackSettings(lost_after_s=1.0))
    for number in range(5):
        assert ids(tracker.update([face(0, 0)], number * 4 * SECOND).seen) == [1]


def test_nobody_is_the_same_after_the_camera_stood_still() -> None:
    tracker = Tracker(TrackSettings(lost_after_s=1.0))
    tracker.update([face(0, 0)], 0)
    after = tracker.update([face(0, 0)], 6 * SECOND)
    assert (ids(after.seen), ids(after.ended)) == ([2], [1])


@pytest.mark.parametrize(("growth", "same"), [(1.0, True), (1.5, True), (1 / 1.5, True), (2.5, False), (0.4, False)])
def test_no_face_grows_suddenly(growth: float, same: bool) -> None:  # noqa: FBT001
    tracker = Tracker(TrackSettings(min_iou=0.9))
    tracker.update([face(200, 200, 100)], 0)
    side = 100 * growth
    found = tracker.update([face(250 - side / 2, 250 - side / 2, side)], FRAME)
    assert ids(found.seen) == [1 if same else 2]


@pytest.mark.parametrize(("moved_px", "same"), [(50, True), (59, True), (61, False), (200, False)])
def test_a_quick_face_is_followed_by_its_nearness(moved_px: int, same: bool) -> None:  # noqa: FBT001
    tracker = Tracker(TrackSettings(min_iou=0.8))
    tracker.update([face(0, 0, 100)], 0)
    assert ids(tracker.update([face(moved_px, 0, 100)], FRAME).seen) == [1 if same else 2]


def test_the_best_pair_comes_first() -> None:
    tracker = Tracker(TrackSettings())
    tracker.update([face(0, 0)], 0)
    # The face that overlaps less is listed first, and surer.
    near, exact = face(50, 0, confidence=0.99), face(2, 0, confidence=0.5)
    found = tracker.update([near, exact], FRAME)
    assert {track.id: track.detection for track in found.seen} == {1: exact, 2: near}


def test_no_more_tracks_than_allowed() -> None:
    tracker = Tracker(TrackSettings(max_tracks=2))
    crowd = [face(300 * number, 0) for number in range(4)]
    assert ids(tracker.update(crowd, 0).seen) == [1, 2]
    assert ids(tracker.update(crowd, FRAME).seen) == [1, 2]


def test_largest_first() -> None:
    found = Tracker(TrackSettings()).update([face(0, 0, 50), face(300, 0, 90), face(600, 0, 70)], 0)
    assert [track.box.side for track in found.seen] == [90, 70, 50]


def test_a_renewed_track_goes_on_as_somebody_else() -> None:
    tracker = Tracker(TrackSettings())
    tracker.update([face(0, 0)], 0)
    (track,) = tracker.update([face(0, 0)], FRAME).seen
    assert tracker.renew(track) == 2
    assert (track.hits, track.first_ns) == (1, FRAME)
    assert ids(tracker.update([face(0, 0), face(500, 0)], 2 * FRAME).seen) == [2, 3]


@pytest.mark.parametrize("step_ns", [0, -SECOND])
def test_a_clock_that_stands_still_or_goes_back_loses_nobody(step_ns: int) -> None:
    tracker = Tracker(TrackSettings())
    tracker.update([face(0, 0)], 9 * SECOND)
    tracker.update([face(3, 0)], 9 * SECOND + step_ns)
    assert ids(tracker.update([face(6, 0)], 9 * SECOND + step_ns + FRAME).seen) == [1]
    assert ids(tracker.update([], 12 * SECOND).ended) == [1]


def test_the_end_of_the_source_ends_all() -> None:
    tracker = Tracker(TrackSettings())
    tracker.update([face(0, 0), face(300, 0)], 0)
    assert ids(tracker.finish()) == [1, 2]
    assert tracker.finish() == ()


EDGE = st.sampled_from([0.0, 10.0, 50.0, 55.0, 120.0, -30.0, 1e9, 1e300]) | st.floats(-200, 900)
DETECTIONS = st.lists(
    st.builds(
        lambda x, y, w, h: Detection(Box(x, y, x + w, y + h), 0.9), EDGE, EDGE, st.floats(0, 400), st.floats(0, 400)
    ),
    max_size=6,
)


class TrackerMachine(RuleBasedStateMachine):
    @initialize(lost_after_s=st.sampled_from([0.1, 1.0]), max_tracks=st.integers(1, 8))
    def begin(self, lost_after_s: float, max_tracks: int) -> None:
        self.tracker = Tracker(TrackSettings(lost_after_s=lost_after_s, max_tracks=max_tracks))
        self.max_tracks = max_tracks
        self.now_ns = 0
        self.alive: set[int] = set()
        self.dead: set[int] = set()
        self.last: tuple[Track, ...] = ()

    @rule(found=DETECTIONS, step_ns=st.sampled_from([FRAME, FRAME, 0, -FRAME, 3 * SECOND, 40 * SECOND]))
    def frame(self, found: list[Detection], step_ns: int) -> None:
        self.now_ns += step_ns
        result = self.tracker.update(found, self.now_ns)
        seen, ended = ids(result.seen), ids(result.ended)
        assert len(set(seen)) == len(seen)
        assert not set(seen) & set(ended)
        shown = [id(track.detection) for track in result.seen]
        assert len(set(shown)) == len(shown), "a face belongs to one track"
        assert set(shown) <= {id(one) for one in found}
        self.alive = (self.alive | set(seen)) - set(ended)
        self.dead |= set(ended)
        assert len(shown) == len(found) or len(self.alive) == self.max_tracks, (
            "a face is left out only for want of room"
        )
        areas = [track.box.area for track in result.seen]
        assert areas == sorted(areas, reverse=True)
        self.last = result.seen

    @rule(which=st.integers(0, 5))
    def renew(self, which: int) -> None:
        if which < len(self.last) and self.last[which].id in self.alive:
            old = self.last[which].id
            new = self.tracker.renew(self.last[which])
            assert new not in self.alive | self.dead
            self.alive = (self.alive - {old}) | {new}
            self.dead.add(old)

    @rule()
    def finish(self) -> None:
        assert set(ids(self.tracker.finish())) == self.alive
        self.dead |= self.alive
        self.alive, self.last = set(), ()

    @invariant()
    def nobody_comes_back(self) -> None:
        if hasattr(self, "alive"):
            assert not self.alive & self.dead
            assert len(self.alive) <= self.max_tracks


TestTrackerMachine = TrackerMachine.TestCase
TestTrackerMachine.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
