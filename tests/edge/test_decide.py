from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.config.settings import Decide
from edge.datatypes import Decision, Embedding, Floats, Identity
from edge.decide import CONTRADICTIONS, MEMORY_FRAMES, SLOWER_AFTER, Decider, Thresholds
from edge.track import Track
from tests.support.fakes import EMBEDDER_ID, SECOND, FakeSearcher, embedding, face, make_frame, unit

ADA, BOB = Identity("1", "Ada"), Identity("2", "Bob")
THRESHOLDS = Thresholds("fmr-1e-4", recognized=0.6, same_person=0.4)
STEP_S = 0.2


def like_ada(similarity: float, bob: float = 0.0) -> Embedding:
    """So similar to Ada and to Bob; the rest points to nobody."""
    return embedding(similarity, bob, math.sqrt(max(0.0, 1 - similarity**2 - bob**2)))


ADA_FACE, BOB_FACE, STRANGER, OTHER_STRANGER = (
    like_ada(0.9), embedding(0, 0.9, 0.435), embedding(0.1, 0.1, 1), embedding(0.1, 0.1, -1),
)  # fmt: skip


def people() -> FakeSearcher:
    return FakeSearcher({ADA: unit(1, 0, 0), BOB: unit(0, 1, 0)})


@dataclass
class Door:
    """A decider, and the visitors before it."""

    settings: Decide = field(default_factory=Decide)
    searcher: FakeSearcher = field(default_factory=people)
    confirm_frames: int = 1
    now_s: float = 0.0
    tracks: int = 0

    def __post_init__(self) -> None:
        self.decider = Decider(self.settings, THRESHOLDS, self.searcher, confirm_frames=self.confirm_frames)

    def visitor(self) -> Track:
        self.tracks += 1
        moment = int(self.now_s * SECOND)
        return Track(self.tracks, face(0, 0), moment, moment, hits=0)

    def show(
        self, track: Track, seen: Embedding | None, *, quality: float = 0.8, may_recognize: bool = True
    ) -> Decision | None:
        """One frame STEP_S later; `seen` is None for a frame whose face is not embedded."""
        self.now_s = round(self.now_s + STEP_S, 6)
        frame = make_frame(0, at_s=self.now_s, size=(8, 8))
        track.last_ns, track.hits = frame.moment_ns, track.hits + 1
        if seen is not None:
            assert not self.decider.observe(track, seen, quality, frame.moment_ns), "taken over"
        return self.decider.decide(track, frame, may_recognize=may_recognize)

    def watch(self, track: Track, seconds: float, seen: Embedding | None, **how: Any) -> list[tuple[float, Decision]]:
        """The same for a while: (time, decision) of every decision."""
        made = [(self.show(track, seen, **how), self.now_s) for _ in range(round(seconds / STEP_S))]
        return [(moment, decision) for decision, moment in made if decision is not None]


def told(decisions: list[tuple[float, Decision]]) -> list[tuple[float, str, str | None]]:
    return [(at, one.event_type, one.identity.name if one.identity else None) for at, one in decisions]


@pytest.mark.parametrize("frames", [2, 3, 5, 10])
def test_recognized_with_the_frame_that_makes_it_enough(frames: int) -> None:
    door = Door(Decide(min_frames=frames))
    visits = told(door.watch(door.visitor(), 4, ADA_FACE))
    assert visits == [(pytest.approx(frames * STEP_S), "recognized", "Ada")]


@pytest.mark.parametrize("frames", [MEMORY_FRAMES + 1, 40])
def test_more_frames_may_be_asked_than_are_remembered_otherwise(frames: int) -> None:
    door = Door(Decide(min_frames=frames, unknown_after_s=60, give_up_after_s=60))
    assert told(door.watch(door.visitor(), 10, ADA_FACE)) == [(pytest.approx(frames * STEP_S), "recognized", "Ada")]


def test_what_a_decision_says() -> None:
    door = Door()
    track = door.visitor()
    for quality in (0.5, 0.7):
        door.show(track, ADA_FACE, quality=quality)
    made = door.show(track, ADA_FACE, quality=0.9)
    assert made is not None
    assert (made.identity, made.track_id, made.operating_point, made.frames) == (ADA, 1, "fmr-1e-4", 3)
    assert made.similarity == pytest.approx(0.9, abs=1e-5)
    assert made.margin == pytest.approx(0.9, abs=1e-5)
    assert made.quality == pytest.approx(0.7)
    assert made.box == track.box
    assert (made.captured_ns, made.captured_at) == (int(door.now_s * SECOND), 1_700_000_000.0 + door.now_s)


@pytest.mark.parametrize("frames", [1, 2])
def test_one_frame_never_suffices(frames: int) -> None:
    door = Door()
    track = door.visitor()
    assert [door.show(track, embedding(1, 0, 0), quality=1.0) for _ in range(frames)] == [None] * frames
    assert told(door.watch(track, 9, None)) == []


@pytest.mark.parametrize(
    ("seen", "why"),
    [
        ([like_ada(0.59)], "similarity under the operating point"),
        ([like_ada(0.65, 0.62)], "margin to the second"),
        ([STRANGER], "nobody is like that"),
        ([like_ada(0.7, 0.65), like_ada(0.7, 0.65), like_ada(0.65, 0.7), like_ada(0.65, 0.7)], "frames disagree"),
    ],
)
def test_without_all_three_conditions_it_is_unknown_when_time_is_up(seen: list[Embedding], why: str) -> None:
    door = Door(Decide(min_frames=3, unknown_after_s=2.0))
    track = door.visitor()
    decisions = [(door.now_s, made) for number in range(20) if (made := door.show(track, seen[number % len(seen)]))]
    # From the first good frame at 0.2 s.
    assert [(at, made.event_type, made.identity) for at, made in decisions] == [
        (pytest.approx(2.2), "unknown", None)
    ], why


def test_disagreeing_frames_do_not_add_up() -> None:
    # Fused, they are Ada's beyond doubt; but only two say so.
    door = Door(Decide(min_frames=3, margin=0.0))
    track = door.visitor()
    for seen in (like_ada(0.95, 0.1), like_ada(0.95, 0.1), like_ada(0.6, 0.62), like_ada(0.6, 0.62)):
        assert door.show(track, seen) is None
    assert door.decider.evidence(track).match.similarity > 0.8
    made = door.show(track, like_ada(0.95, 0.1))
    assert made is not None
    assert (made.identity, made.frames) == (ADA, 3)


def test_bad_frames_teach_nothing() -> None:
    door = Door(Decide(min_quality=0.3, give_up_after_s=5.0))
    ((at, made),) = door.watch(door.visitor(), 8, ADA_FACE, quality=0.29)
    assert at == pytest.approx(5.0)
    assert (made.event_type, made.identity, made.frames, made.quality) == ("unknown", None, 0, 0.0)
    assert (made.similarity, made.margin) == (-1.0, 0.0)


def test_a_visitor_who_shows_one_good_frame_is_given_up() -> None:
    door = Door(Decide(give_up_after_s=5.0))
    track = door.visitor()
    door.show(track, STRANGER)
    assert told(door.watch(track, 8, None)) == [(pytest.approx(5.0), "unknown", None)]


def test_nobody_is_enrolled() -> None:
    door = Door(searcher=FakeSearcher())
    ((_, made),) = door.watch(door.visitor(), 4, ADA_FACE)
    assert (made.event_type, made.similarity, made.margin) == ("unknown", -1.0, 0.0)


def test_an_unknown_who_comes_closer_is_recognized_after_all() -> None:
    door = Door()
    track = door.visitor()
    far, near = door.watch(track, 4, like_ada(0.5)), door.watch(track, 8, ADA_FACE)
    assert [kind for _, kind, _ in told(far + near)] == ["unknown", "recognized"]
    # Never the other way round.
    assert told(door.watch(track, 8, like_ada(0.5))) == []


def test_only_confirmed_tracks_are_unknown() -> None:
    door = Door(Decide(unknown_after_s=0.2, min_frames=2), confirm_frames=5)
    assert told(door.watch(door.visitor(), 3, STRANGER)) == [(pytest.approx(1.0), "unknown", None)]
    door = Door(Decide(min_frames=2), confirm_frames=5)
    track = door.visitor()
    door.watch(track, 0.8, STRANGER)
    assert door.decider.close(track) is None


@pytest.mark.parametrize(
    ("seconds", "seen", "expected"),
    [(0.6, STRANGER, "unknown"), (0.4, STRANGER, None), (0.4, ADA_FACE, None), (0.0, STRANGER, None)],
)
def test_somebody_who_leaves_early(seconds: float, seen: Embedding, expected: str | None) -> None:
    door = Door()
    track = door.visitor()
    assert door.watch(track, seconds, seen) == []
    made = door.decider.close(track)
    assert (made.event_type if made else None) == expected
    if made is not None:
        assert (made.captured_ns, made.frames) == (track.last_ns, 3)
    assert door.decider.close(track) is None


def test_who_was_recognized_leaves_without_another_word() -> None:
    door = Door()
    track = door.visitor()
    assert len(door.watch(track, 3, ADA_FACE)) == 1
    assert door.decider.close(track) is None


def test_the_same_person_is_put_off_until_the_cool_down_is_over() -> None:
    door = Door(Decide(cool_down_s=5.0))
    assert told(door.watch(door.visitor(), 1, ADA_FACE)) == [(pytest.approx(0.6), "recognized", "Ada")]
    again = door.visitor()
    assert told(door.watch(again, 9, ADA_FACE)) == [(pytest.approx(5.6), "recognized", "Ada")]


def test_a_cool_down_is_for_one_person() -> None:
    door = Door(Decide(cool_down_s=60.0))
    assert told(door.watch(door.visitor(), 1, ADA_FACE)) == [(pytest.approx(0.6), "recognized", "Ada")]
    assert told(door.watch(door.visitor(), 1, BOB_FACE)) == [(pytest.approx(1.6), "recognized", "Bob")]


def test_a_stranger_is_told_once_and_another_one_at_once() -> None:
    door = Door(Decide(cool_down_s=6.0, unknown_after_s=1.0))
    assert told(door.watch(door.visitor(), 2, STRANGER)) == [(pytest.approx(1.2), "unknown", None)]
    assert told(door.watch(door.visitor(), 2, OTHER_STRANGER)) == [(pytest.approx(3.2), "unknown", None)]
    back = door.visitor()
    assert told(door.watch(back, 6, STRANGER)) == [(pytest.approx(7.2), "unknown", None)]


def test_a_stranger_in_cool_down_who_leaves_is_not_told_again() -> None:
    door = Door(Decide(cool_down_s=60.0, unknown_after_s=1.0))
    door.watch(door.visitor(), 2, STRANGER)
    again = door.visitor()
    assert door.watch(again, 2, STRANGER) == []
    assert door.decider.close(again) is None


def test_only_who_may_be_recognized_is() -> None:
    door = Door()
    track = door.visitor()
    # Behind somebody else: neither recognized nor, for being Ada, unknown.
    assert told(door.watch(track, 15, ADA_FACE, may_recognize=False)) == []
    assert told(door.watch(track, 0.2, ADA_FACE)) == [(pytest.approx(15.2), "recognized", "Ada")]


def test_somebody_else_steps_in() -> None:
    door = Door()
    track = door.visitor()
    door.watch(track, 1, ADA_FACE)
    observed = [door.decider.observe(track, BOB_FACE, 0.8, number) for number in range(CONTRADICTIONS)]
    assert observed == [False] * (CONTRADICTIONS - 1) + [True]
    door.decider.close(track)
    assert door.decider.evidence(track).observations.maxlen == MEMORY_FRAMES
    assert told(door.watch(track, 1, BOB_FACE)) == [(pytest.approx(1.6), "recognized", "Bob")]


@pytest.mark.parametrize(("is_recognized", "taken_over"), [(True, True), (False, False)])
def test_a_look_alike_is_let_pass_only_before_a_recognition(is_recognized: bool, taken_over: bool) -> None:  # noqa: FBT001
    # Above same_person (0.4), under the operating point (0.6).
    look_alike = embedding(0.5, 0, -math.sqrt(0.75))
    door = Door()
    track = door.visitor()
    door.watch(track, 1, embedding(1, 0, 0), may_recognize=is_recognized)
    observed = [door.decider.observe(track, look_alike, 0.8, number) for number in range(CONTRADICTIONS)]
    assert observed[-1] is taken_over


def test_one_odd_frame_is_nobody_else() -> None:
    door = Door()
    track = door.visitor()
    door.show(track, ADA_FACE)
    for _ in range(4):
        assert not door.decider.observe(track, BOB_FACE, 0.8, 0)
        # A bad frame proves nothing either way.
        assert not door.decider.observe(track, BOB_FACE, 0.1, 0)
        assert not door.decider.observe(track, ADA_FACE, 0.8, 0)
    assert door.decider.evidence(track).agreeing(ADA) == 5
    assert door.decider.evidence(track).agreeing(BOB) == 0


def put_off(cool_down_s: float = 4.0) -> tuple[Door, Track]:
    """Ada was recognized at 0.6 s, and stands there again at 1.6 s, as surely as can be, but in her cool-down."""
    door = Door(Decide(cool_down_s=cool_down_s, unknown_after_s=30, give_up_after_s=30))
    door.watch(door.visitor(), 0.6, ADA_FACE)
    track = door.visitor()
    assert door.watch(track, 1, ADA_FACE) == []
    return door, track


def test_nobody_is_recognized_from_what_was_seen_long_ago() -> None:
    # Whoever stands there when the cool-down is over has not shown a face for three seconds.
    door, track = put_off()
    assert told(door.watch(track, 6, None)) == []
    assert told(door.watch(track, 6, ADA_FACE, quality=0.1)) == []
    assert told(door.watch(track, 1, ADA_FACE)) == [(pytest.approx(13.8), "recognized", "Ada")]


def test_nobody_is_recognized_while_somebody_else_may_have_stepped_in() -> None:
    door, track = put_off(cool_down_s=1.2)
    # The cool-down is over with this very frame, and its face is not Ada's.
    assert door.show(track, BOB_FACE) is None
    assert door.show(track, None) is None
    assert told(door.watch(track, 1, ADA_FACE)) == [(pytest.approx(2.2), "recognized", "Ada")]


def test_nobody_is_recognized_who_has_been_removed_meanwhile() -> None:
    door, track = put_off(cool_down_s=2.0)
    del door.searcher.people[ADA]
    assert told(door.watch(track, 3, None)) == []
    assert told(door.watch(track, 3, ADA_FACE)) == []


@pytest.mark.parametrize(
    ("embedded", "announced", "contradictions", "interval_s"),
    [
        (1, None, 0, 0.5),
        (SLOWER_AFTER, None, 0, 2.0),
        (1, "recognized", 0, 3.0),
        # Somebody else may have stepped in: that cannot wait.
        (1, "recognized", 1, 0.5),
    ],
)
def test_how_often_a_face_is_looked_at(embedded: int, announced: Any, contradictions: int, interval_s: float) -> None:
    door = Door(Decide(embed_interval_s=0.5, recheck_s=3.0))
    track = door.visitor()
    assert door.decider.wants(track, 0)
    for _ in range(embedded):
        door.decider.observe(track, ADA_FACE, 0.1, SECOND)
    door.decider.evidence(track).announced = announced
    door.decider.evidence(track).contradictions = contradictions
    due = SECOND + int(interval_s * SECOND)
    assert [door.decider.wants(track, due - 1), door.decider.wants(track, due)] == [False, True]


def test_what_is_known_of_a_track_goes_with_it() -> None:
    door = Door()
    for _ in range(20):
        track = door.visitor()
        door.watch(track, 1, STRANGER)
        door.decider.close(track)
    assert door.decider._evidence == {}


SEEN = st.sampled_from(
    [
        ADA_FACE,
        BOB_FACE,
        STRANGER,
        OTHER_STRANGER,
        like_ada(0.61),
        like_ada(0.55),
        like_ada(0.7, 0.66),
        like_ada(0.5, 0.6),
    ]
)
STEPS = st.lists(
    st.tuples(
        SEEN | st.none(), st.sampled_from([0.0, 0.29, 0.3, 0.8, 1.0]), st.booleans(), st.sampled_from([0, 0, 0, 1, 2])
    ),
    max_size=60,
)


def exact_fused(seen: list[tuple[Floats, float]]) -> np.ndarray:
    total = sum(vector.astype(np.float64) * quality for vector, quality in seen)
    return np.asarray(total / np.linalg.norm(total))


@settings(deadline=None, max_examples=150)
@given(STEPS, st.integers(2, 5), st.sampled_from([0.0, 0.05, 0.3]), st.sampled_from([0.0, 1.0, 5.0]))
def test_whatever_is_seen_nobody_is_recognized_for_less(
    steps: list[tuple[Embedding | None, float, bool, int]], min_frames: int, margin: float, cool_down_s: float
) -> None:
    """The whole evidence is kept here in exact arithmetic, and every decision held against it."""
    door = Door(Decide(min_frames=min_frames, margin=margin, cool_down_s=cool_down_s))
    track, good, announced = door.visitor(), list[Identity](), dict[str, float]()
    for seen, quality, may_recognize, change in steps:
        if change == 1:
            # Somebody is removed from the gallery, or comes back.
            door.searcher.people = {BOB: unit(0, 1, 0)} if ADA in door.searcher.people else people().people
        elif change == 2:
            door.decider.close(track)
            track, good = door.visitor(), []
        moment = round(door.now_s + STEP_S, 6)
        if seen is not None and door.decider.observe(track, seen, quality, int(moment * SECOND)):
            door.decider.close(track)
            good = []
            door.decider.observe(track, seen, quality, int(moment * SECOND))
        if seen is not None and quality >= 0.3:
            good.append(max(door.searcher.people, key=lambda who: float(door.searcher.people[who] @ seen.vector)))
        made = door.show(track, None, may_recognize=may_recognize)
        if made is None or made.event_type != "recognized":
            continue
        assert made.identity is not None
        assert may_recognize
        assert made.identity in door.searcher.people
        assert made.similarity >= THRESHOLDS.recognized
        assert made.margin >= margin
        assert good.count(made.identity) >= made.frames >= min_frames
        remembered = [(one.embedding.vector, one.quality) for one in door.decider.evidence(track).observations]
        exact = float(exact_fused(remembered) @ door.searcher.people[made.identity])
        assert made.similarity == pytest.approx(exact, abs=1e-5)
        assert door.now_s - announced.get(made.identity.id, -1e9) >= cool_down_s - 1e-6
        announced[made.identity.id] = door.now_s


def test_embeddings_of_the_script_are_what_they_say() -> None:
    assert ADA_FACE.embedder_id == EMBEDDER_ID
    assert float(like_ada(0.7, 0.65).vector @ unit(0, 1, 0)) == pytest.approx(0.65)


def test_again_in_spite_of_the_cool_down_but_only_by_a_frame_that_shows_it() -> None:
    door = Door(Decide(cool_down_s=60.0))
    track = door.visitor()
    assert len(door.watch(track, 1, ADA_FACE)) == 1
    frame = make_frame(0, at_s=door.now_s, size=(8, 8))
    again = door.decider.again(track, frame)
    assert again is not None
    assert (again.event_type, again.identity, again.captured_ns) == ("recognized", ADA, frame.captured_ns)
    door.show(track, None)
    assert door.decider.again(track, make_frame(0, at_s=door.now_s, size=(8, 8))) is None
    door.show(track, ADA_FACE, quality=0.1)
    assert door.decider.again(track, make_frame(0, at_s=door.now_s, size=(8, 8))) is None
    # From then on the cool-down counts anew.
    door.decider.close(track)
    assert told(door.watch(door.visitor(), 62, ADA_FACE)) == [(pytest.approx(61.0), "recognized", "Ada")]


def test_nobody_is_announced_again_who_is_not_recognized() -> None:
    door = Door()
    track = door.visitor()
    door.watch(track, 1, STRANGER)
    assert door.decider.again(track, make_frame(0, at_s=door.now_s, size=(8, 8))) is None


@pytest.mark.parametrize(("later_s", "who"), [(0.0, ADA), (3.9, ADA), (4.1, None)])
def test_a_companion_is_known_as_long_as_good_frames_say_so(later_s: float, who: Identity | None) -> None:
    door = Door(Decide(recheck_s=2.0))
    track = door.visitor()
    assert door.decider.recognized(track, 0) is None
    # Decided or not: somebody in the cool-down, or behind another, is known all the same.
    door.watch(track, 1, ADA_FACE, may_recognize=False)
    assert door.decider.recognized(track, int((door.now_s + later_s) * SECOND)) == who


def test_a_companion_who_begins_to_look_like_somebody_else_is_not_known() -> None:
    door = Door()
    track = door.visitor()
    door.watch(track, 1, ADA_FACE)
    assert not door.decider.observe(track, BOB_FACE, 0.8, int(door.now_s * SECOND))
    assert door.decider.recognized(track, int(door.now_s * SECOND)) is None


def test_tracks_that_may_be_of_one_face() -> None:
    door = Door()
    ada, again, bob, nobody = (door.visitor() for _ in range(4))
    for track, seen in ((ada, ADA_FACE), (again, ADA_FACE), (bob, BOB_FACE)):
        door.watch(track, 1, seen)
    assert door.decider.are_alike(ada, again)
    assert not door.decider.are_alike(ada, bob)
    assert not door.decider.are_alike(ada, nobody)
    assert not door.decider.are_alike(nobody, ada)


@pytest.mark.parametrize(("frames", "kind"), [(2, None), (3, "unknown")])
def test_who_is_replaced_was_unknown_if_seen_well_enough(frames: int, kind: str | None) -> None:
    door = Door(Decide(unknown_after_s=10.0))
    track = door.visitor()
    assert door.watch(track, frames * STEP_S, STRANGER) == []
    made = door.decider.close(track)
    assert (made.event_type if made else None) == kind
    assert door.decider.close(track) is None
