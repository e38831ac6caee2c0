"""Who is let in, by whom else is before the camera, and when: the table of docs/decisions.md, line by line."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.config.settings import Decide, Group, Policy, Settings
from edge.config.settings import Track as TrackSettings
from edge.datatypes import Access, Detection
from edge.pipeline import Parts, Pipeline
from edge.policy.doorkeeper import Signals
from tests.edge.test_pipeline import ADA, BOB, CONTEXT, THRESHOLDS, House
from tests.support.fakes import BLUE, GREEN, RED, face, unit

STEP_S = 0.2
LOST_S = 1.0
"""track.lost_after_s."""


@dataclass
class Door(House):
    """A pipeline of fakes with a switch and a clock, and what it has told."""

    is_on: bool = True
    is_synced: bool = True
    told_at: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        signals = Signals(lambda: self.is_on, lambda: self.is_synced)
        parts = Parts(self.detector, self.embedder, self.searcher, self.sink, signals)
        self.pipeline = Pipeline(parts, self.settings, THRESHOLDS, CONTEXT, self.health)

    def see(self, faces: dict[tuple[int, int, int], Detection], seconds: float = STEP_S) -> list[str]:
        """These people for so long: what was told meanwhile, as `Ada allowed`."""
        before = len(self.sink.events)
        for _ in range(round(seconds / STEP_S)):
            self.show(faces)
            self.told_at += [self.now_s] * (len(self.sink.events) - len(self.told_at))
        return [self._words(event) for event in self.sink.events[before:]]

    @property
    def now_s(self) -> float:
        """Of the newest frame."""
        return (self.frames - 1) * STEP_S

    @staticmethod
    def _words(event: Any) -> str:
        who = event.decision.identity
        assert event.payload(age_ms=0)["allowed"] is event.verdict.allowed
        return f"{who.name if who else 'unknown'} {event.verdict.reason}"


def door(policy: Policy | None = None, **fields: Any) -> Door:
    return Door(Settings(decide=Decide(**{"unknown_after_s": 1.0, **fields}), policy=policy or Policy()))


LEFT, MIDDLE, RIGHT = (50, 100), (250, 100), (430, 100)
FRONT_SIDE, SIDE, BACK_SIDE = 160, 100, 70


def front(detection: Detection | None = None) -> dict[tuple[int, int, int], Detection]:
    """Red, whom nobody knows, is nearer to the camera than anybody else."""
    return {RED: detection or face(*RIGHT, FRONT_SIDE)}


ADA_THERE = {BLUE: face(*LEFT, SIDE)}
BOB_IN_FRONT = {GREEN: face(*RIGHT, FRONT_SIDE)}
STRANGER_BEHIND = {RED: face(*RIGHT, BACK_SIDE)}
HIDDEN_FACE = face(*RIGHT, FRONT_SIDE, turn=0.55)
"""Of somebody who is looked at, and teaches nothing: turned away."""


@pytest.mark.parametrize(
    ("company", "others", "expected"),
    [
        ("no_stranger_in_front", {}, ["Ada allowed"]),
        ("no_stranger_in_front", BOB_IN_FRONT, ["Bob allowed", "Ada allowed"]),
        ("no_stranger_in_front", STRANGER_BEHIND, ["Ada allowed", "unknown not_recognized"]),
        ("no_stranger_in_front", front(), ["Ada stranger_in_front", "unknown not_recognized"]),
        # Turned away, so neither recognized nor unknown as yet.
        ("no_stranger_in_front", front(HIDDEN_FACE), ["Ada stranger_in_front"]),
        ("no_stranger_in_front", {GREEN: HIDDEN_FACE}, ["Ada stranger_in_front"]),
        # A second face that covers a part of hers, or the other way round, and of which the detector is less sure.
        ("no_stranger_in_front", {RED: face(110, 100, 110, confidence=0.7)}, ["Ada allowed"]),
        ("no_stranger_in_front", {RED: face(110, 100, 160, confidence=0.7)}, ["Ada stranger_in_front"]),
        ("no_strangers", {}, ["Ada allowed"]),
        ("no_strangers", BOB_IN_FRONT, ["Bob allowed", "Ada allowed"]),
        ("no_strangers", STRANGER_BEHIND, ["Ada stranger_present", "unknown not_recognized"]),
        ("no_strangers", front(), ["Ada stranger_in_front", "unknown not_recognized"]),
        ("no_strangers", {RED: face(110, 100, 110, confidence=0.7)}, ["Ada stranger_present"]),
        ("anybody", front(), ["Ada allowed", "unknown not_recognized"]),
    ],
)
def test_who_else_is_there(company: str, others: dict[Any, Detection], expected: list[str]) -> None:
    house = door(Policy(company=company))
    assert house.see({**ADA_THERE, **others}, 3) == expected
    # With the very frame that makes it enough, whoever else is there.
    assert house.told_at[0] == pytest.approx(2 * STEP_S)


def test_the_events_are_counted() -> None:
    house = door()
    house.see({**ADA_THERE, **BOB_IN_FRONT}, 1)
    house.see(front(), 3)
    counters = house.health.counters
    assert (counters["events_recognized"], counters["events_allowed"], counters["events_unknown"]) == (2, 2, 1)


def test_a_stranger_who_leaves_lets_her_in_at_once() -> None:
    house = door()
    assert house.see({**ADA_THERE, **front()}, 2) == ["Ada stranger_in_front", "unknown not_recognized"]
    left_at = house.now_s
    assert house.see(ADA_THERE, 2) == ["Ada allowed"]
    # When the stranger's track has ended, and long before the cool-down has.
    assert house.told_at[-1] - left_at == pytest.approx(LOST_S + STEP_S)
    assert house.see(ADA_THERE, 12) == [], "the cool-down is over, but she has been told of"
    assert house.see({**ADA_THERE, **front()}, 2) == ["unknown not_recognized"]
    assert [event.decision.track_id for event in house.sink.events if event.decision.identity] == [1, 1]


def test_a_stranger_who_steps_back_lets_her_in_at_once() -> None:
    house = door(unknown_after_s=600, give_up_after_s=600)
    assert house.see({**ADA_THERE, **front()}, 0.6) == ["Ada stranger_in_front"]
    for side in (140, 120, 100, 90):
        house.see({**ADA_THERE, **front(face(*RIGHT, side))})
    assert house.told == [("recognized", "Ada"), ("recognized", "Ada")]
    assert [event.verdict.allowed for event in house.sink.events] == [False, True]


def test_a_companion_who_is_recognized_in_the_end_lets_her_in_at_once() -> None:
    house = door()
    assert house.see({**ADA_THERE, GREEN: HIDDEN_FACE}, 2) == ["Ada stranger_in_front"]
    assert house.see({**ADA_THERE, **BOB_IN_FRONT}, 2) == ["Bob allowed", "Ada allowed"]
    assert house.told_at[-1] == house.told_at[-2]


def test_a_companion_who_becomes_known_lets_her_in_at_once() -> None:
    house = door(unknown_after_s=10.0)
    assert house.see({**ADA_THERE, **front()}, 2) == ["Ada stranger_in_front"]
    house.searcher.people[replace(BOB, id="3", name="Eve")] = unit(0, 0, 1)
    assert house.see({**ADA_THERE, **front()}, 2) == ["Eve allowed", "Ada allowed"]


@pytest.mark.parametrize(
    ("limits", "reason"), [({"valid_until": 1.0}, "expired"), ({"valid_from": 9e9}, "not_yet_valid")]
)
def test_a_companion_who_is_not_valid_now_is_a_stranger(limits: dict[str, float], reason: str) -> None:
    house = door()
    house.searcher.limits[BOB.id] = Access(**limits)  # type: ignore[arg-type]
    house.is_synced = True
    assert house.see({**ADA_THERE, **BOB_IN_FRONT}, 3) == [f"Bob {reason}", "Ada stranger_in_front"]


def test_a_companion_who_may_not_enter_himself_is_no_stranger() -> None:
    house = door(Policy(groups={"staff": Group()}))
    house.searcher.limits[ADA.id] = Access(groups=("staff",))
    assert house.see({**ADA_THERE, **BOB_IN_FRONT}, 3) == ["Bob group", "Ada allowed"]


def test_a_face_outside_the_zone_is_no_company() -> None:
    house = door(Policy(company="no_strangers"), zone=(0.0, 0.0, 0.5, 1.0))
    assert house.see({**ADA_THERE, **front()}, 3) == ["Ada allowed"]


def test_a_face_of_one_frame_is_no_company() -> None:
    house = door(Policy(company="no_strangers"))
    house.see(ADA_THERE, 0.4)
    assert house.see({**ADA_THERE, **front()}) == ["Ada allowed"]


def test_somebody_followed_badly_is_no_company_of_herself() -> None:
    house = door(Policy(company="no_strangers"), min_frames=4)
    assert house.see(ADA_THERE, 0.6) == []
    # Too far to be the same track, which lives on for a second.
    assert house.see({BLUE: face(*RIGHT, 60)}, 0.8) == ["Ada allowed"]
    assert house.sink.events[0].decision.track_id == 2


def test_only_the_closest_is_let_in_where_that_is_asked() -> None:
    house = door(closest_only=True)
    assert house.see({**ADA_THERE, **front()}, 3) == ["unknown not_recognized"]
    assert house.see(ADA_THERE, 2) == ["Ada stranger_in_front", "Ada allowed"]


def test_who_was_refused_and_comes_back_is_let_in_in_spite_of_the_cool_down() -> None:
    house = door(cool_down_s=60.0)
    assert house.see({**ADA_THERE, **front()}, 0.6) == ["Ada stranger_in_front"]
    house.see({}, 2)
    assert house.see(ADA_THERE, 2) == ["Ada allowed"]
    house.see({}, 2)
    assert house.see(ADA_THERE, 2) == [], "she was let in, and the cool-down holds"


def test_who_was_refused_and_may_still_not_enter_is_not_told_again() -> None:
    house = door(cool_down_s=60.0)
    assert house.see({**ADA_THERE, **front()}, 0.6) == ["Ada stranger_in_front"]
    assert house.see({**ADA_THERE, **front()}, 5) == ["unknown not_recognized"]
    house.see({}, 2)
    assert house.see({**ADA_THERE, **front()}, 3) == []


def test_somebody_else_who_is_refused_has_no_part_in_it() -> None:
    house = door()
    assert house.see({**ADA_THERE, **front()}, 0.6) == ["Ada stranger_in_front"]
    house.see({}, 2)
    assert house.see({GREEN: face(*LEFT)}, 2) == ["Bob allowed"]


@pytest.mark.parametrize("cool_down_s", [0.0, 10.0])
def test_company_that_comes_and_goes_opens_the_door_once(cool_down_s: float) -> None:
    house = door(cool_down_s=cool_down_s, unknown_after_s=600, give_up_after_s=600)
    told = []
    for _ in range(5):
        told += house.see({**ADA_THERE, **front()}, 1)
        told += house.see(ADA_THERE, 2)
    assert [words for words in told if words.startswith("Ada")] == ["Ada stranger_in_front", "Ada allowed"]


def test_company_that_flickers_does_not_open_the_door() -> None:
    house = door(unknown_after_s=600, give_up_after_s=600)
    told = house.see({**ADA_THERE, **front()}, 1)
    for _ in range(8):
        # Missed by the detector for most of the time.
        told += house.see(ADA_THERE, 0.8)
        told += house.see({**ADA_THERE, **front()})
    assert told == ["Ada stranger_in_front"]


SCENES = st.lists(
    st.tuples(st.booleans(), st.sampled_from(["", "in front", "behind", "hidden"]), st.integers(1, 6)), max_size=12
)
OTHERS = {"": {}, "in front": front(), "behind": STRANGER_BEHIND, "hidden": front(HIDDEN_FACE)}


@given(SCENES, st.sampled_from([0.0, 1.0, 5.0]), st.sampled_from(["no_stranger_in_front", "no_strangers"]))
@settings(deadline=None, max_examples=20)
def test_whatever_happens_nobody_is_let_in_before_a_stranger_or_twice(
    scenes: list[tuple[bool, str, int]], cool_down_s: float, company: str
) -> None:
    house = door(Policy(company=company), cool_down_s=cool_down_s, embed_per_frame=3)
    allowed_at: list[float] = []
    of_track: dict[int, list[bool]] = {}
    same_frames, place = 0, ""
    for is_there, other, frames in scenes:
        for _ in range(frames):
            before = len(house.sink.events)
            house.see({**(ADA_THERE if is_there else {}), **OTHERS[other]})
            before_place, place = place, "in front" if other == "hidden" else other
            same_frames = same_frames + 1 if place == before_place else 1
            for event in house.sink.events[before:]:
                if event.decision.identity is None:
                    continue
                of_track.setdefault(event.decision.track_id, []).append(event.verdict.allowed)
                if not event.verdict.allowed:
                    continue
                # One frame is no face yet, and who jumps so far is a new one.
                assert same_frames < 2 or not place or (place == "behind" and company != "no_strangers")
                assert not allowed_at or house.now_s - allowed_at[-1] >= cool_down_s - 1e-6
                allowed_at.append(house.now_s)
    assert all(told in ([True], [False], [False, True]) for told in of_track.values())


def test_unlocking_that_is_turned_on_while_somebody_waits() -> None:
    house = door()
    house.is_on = False
    assert house.see(ADA_THERE, 3) == ["Ada unlocking_disabled"]
    house.is_on = True
    assert house.see(ADA_THERE) == ["Ada allowed"]
    house.is_on = False
    assert house.see(ADA_THERE, 1) == []
    house.is_on = True
    assert house.see(ADA_THERE, 12) == []


def test_unlocking_that_is_off_does_not_hush_strangers() -> None:
    house = door()
    house.is_on = False
    assert house.see(front(), 3) == ["unknown not_recognized"]


def test_hours_that_begin_while_somebody_waits() -> None:
    # The frames begin on Tuesday at 22:13:20.
    house = door(Policy(timezone="UTC", groups={"night": Group(schedule="22:14-06:00")}))
    house.searcher.limits[ADA.id] = Access(groups=("night",))
    house.frames = round(35 / STEP_S)
    assert house.see(ADA_THERE, 4) == ["Ada schedule"]
    assert house.see(ADA_THERE, 3) == ["Ada allowed"]
    assert house.told_at[-1] == pytest.approx(40.0)


def test_a_clock_that_is_set_right_while_somebody_waits() -> None:
    house = door()
    house.is_synced = False
    house.searcher.limits[ADA.id] = Access(valid_until=9e9)
    assert house.see({**ADA_THERE, **BOB_IN_FRONT}, 2) == ["Bob allowed", "Ada clock_unsynced"]
    assert [event.clock_synced for event in house.sink.events] == [False, False]
    house.is_synced = True
    assert house.see(ADA_THERE) == ["Ada allowed"]
    assert house.sink.events[-1].clock_synced


def test_a_limit_that_is_taken_away_while_somebody_waits() -> None:
    house = door()
    house.searcher.limits[ADA.id] = Access(valid_until=1.0)
    assert house.see(ADA_THERE, 3) == ["Ada expired"]
    del house.searcher.limits[ADA.id]
    assert house.see(ADA_THERE) == ["Ada allowed"]


def test_who_has_gone_by_then_is_not_let_in() -> None:
    house = door()
    house.is_on = False
    house.see(ADA_THERE, 1)
    # Still followed, but what the camera shows is nobody.
    house.is_on = True
    assert house.see({}, 3) == []


def test_the_next_visitor_in_the_same_place_is_not_let_in_for_her() -> None:
    house = door()
    house.is_on = False
    house.see(ADA_THERE, 1)
    house.see({RED: ADA_THERE[BLUE]}, 0.4)
    house.is_on = True
    assert house.see({RED: ADA_THERE[BLUE]}, 0.6) == []
    assert house.health.counters["tracks_taken_over"] == 1


def test_who_looks_like_somebody_expired_is_not_taken_for_the_next_best() -> None:
    house = door()
    house.searcher.people = {ADA: unit(1, 0, 0), BOB: unit(0.9, 0.436, 0)}
    house.searcher.limits[ADA.id] = Access(valid_until=1.0)
    assert house.see(ADA_THERE, 2) == ["Ada expired"]


def test_a_stranger_who_is_replaced_before_the_time_is_up_was_unknown() -> None:
    house = door(unknown_after_s=10.0)
    assert house.see({RED: ADA_THERE[BLUE]}, 1) == []
    seen_last = house.now_s
    assert house.see(ADA_THERE, 2) == ["unknown not_recognized", "Ada allowed"]
    unknown, known = (event.decision for event in house.sink.events)
    assert (unknown.track_id, known.track_id) == (1, 2)
    assert unknown.captured_ns / 1e9 - seen_last == pytest.approx(STEP_S), "the first frame of the other one"
    assert house.health.counters["tracks_taken_over"] == 1


@pytest.mark.parametrize("before", [{RED: ADA_THERE[BLUE]}, {GREEN: ADA_THERE[BLUE]}])
def test_who_is_replaced_after_two_good_frames_or_a_decision_is_told_no_more(before: dict[Any, Detection]) -> None:
    house = door(unknown_after_s=10.0)
    first = house.see(before, 0.4 if RED in before else 2)
    assert first == ([] if RED in before else ["Bob allowed"])
    assert house.see(ADA_THERE, 2) == ["Ada allowed"]


def test_labels_say_why() -> None:
    house = Door(Settings(track=TrackSettings(confirm_frames=1), decide=Decide(unknown_after_s=1.0)))
    house.see({**ADA_THERE, **front(), GREEN: face(*MIDDLE, 90, turn=0.55)}, 3)
    result = house.show({**ADA_THERE, **front(), GREEN: face(*MIDDLE, 90, turn=0.55)})
    labels = {
        round(track.box.x1): (house.pipeline.label(track), house.pipeline.standing(track)) for track in result.tracks
    }
    assert labels == {
        50: ("Ada 1.00 (stranger in front)", "refused"),
        430: ("unknown", "unknown"),
        250: ("... 0", "undecided"),
    }
