from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.bundle import load_bundle
from edge.config.settings import Decide, Detect, Settings
from edge.config.settings import Track as TrackSettings
from edge.datatypes import Detection, Identity
from edge.decide import Thresholds
from edge.errors import BundleError
from edge.health import STAGES, Health
from edge.pipeline import EventContext, Parts, Pipeline, context_of, thresholds_of
from edge.timebase import now_ns
from edge.track import Track
from tests.support.bundles import make_bundle
from tests.support.fakes import (
    BLUE,
    EMBEDDER_ID,
    GREEN,
    RED,
    SECOND,
    FakeDetector,
    FakeEmbedder,
    FakeSearcher,
    FakeSink,
    face,
    make_frame,
    unit,
)
from tests.support.schemas import validator

ADA, BOB = Identity("1", "Ada"), Identity("2", "Bob")
"""Blue and green."""
CONTEXT = EventContext("door", "porch", "boot", "bundle-1", EMBEDDER_ID)
THRESHOLDS = Thresholds("fmr-1e-4", 0.8, 0.6)

Colours = dict[tuple[int, int, int], Detection]


def people() -> FakeSearcher:
    return FakeSearcher({ADA: unit(1, 0, 0), BOB: unit(0, 1, 0)}, revision=7)


@dataclass
class House:
    """A pipeline of fakes."""

    settings: Settings = field(default_factory=Settings)
    detector: FakeDetector = field(default_factory=FakeDetector)
    embedder: FakeEmbedder = field(default_factory=FakeEmbedder)
    searcher: FakeSearcher = field(default_factory=people)
    sink: FakeSink = field(default_factory=FakeSink)
    health: Health = field(default_factory=Health)
    frames: int = 0

    def __post_init__(self) -> None:
        parts = Parts(self.detector, self.embedder, self.searcher, self.sink)
        self.pipeline = Pipeline(parts, self.settings, THRESHOLDS, CONTEXT, self.health)

    def show(self, faces: Colours | None = None, **how: Any) -> Any:
        """One frame with these people in it."""
        self.detector.script.append(list((faces or {}).values()))
        frame = make_frame(self.frames, faces, **how)
        self.frames += 1
        return self.pipeline.process(frame)

    @property
    def told(self) -> list[tuple[str, str | None]]:
        rows = [event.decision for event in self.sink.events]
        return [(row.event_type, row.identity.name if row.identity else None) for row in rows]


def decide(**fields: Any) -> Settings:
    return Settings(decide=Decide(**fields))


def test_a_visitor_becomes_one_event() -> None:
    house = House()
    results = [house.show({BLUE: face(100, 100)}) for _ in range(10)]
    assert house.told == [("recognized", "Ada")]
    assert [len(result.decisions) for result in results] == [0, 0, 1, 0, 0, 0, 0, 0, 0, 0]
    assert results[2].decisions == (house.sink.events[0].decision,)
    assert house.pipeline.label(results[9].tracks[0]) == "Ada 1.00"


def test_an_event_is_the_contract() -> None:
    house = House(decide(unknown_after_s=1.0))
    for _ in range(10):
        house.show({BLUE: face(50, 100), RED: face(350, 100)})
    assert sorted(house.told) == [("recognized", "Ada"), ("unknown", None)]
    for event in house.sink.events:
        payload = dataclasses.replace(event, seq=1).payload(age_ms=5.0)
        assert [error.message for error in validator("event").iter_errors(payload)] == []
        assert (payload["device"], payload["camera"], payload["boot_id"]) == ("door", "porch", "boot")
        assert (payload["bundle_id"], payload["embedder_id"], payload["gallery_revision"]) == (
            "bundle-1",
            EMBEDDER_ID,
            7,
        )
    assert len({event.event_id for event in house.sink.events}) == 2


def test_every_stage_is_timed_in_every_event() -> None:
    house = House()
    moment = now_ns()
    for number in range(4):
        house.show({BLUE: face(100, 100)}, at_s=(moment - 4 * SECOND) / SECOND + number * 0.2)
    (event,) = house.sink.events
    assert tuple(event.latency_ms) == STAGES
    assert event.latency_ms["capture"] > 3000
    for stage in ("detect", "align", "embed", "match", "decide"):
        assert event.latency_ms[stage] > 0, stage
    summary = house.health.timings.summary()
    assert set(summary) == set(STAGES)


def test_a_frame_from_the_future_has_no_negative_age() -> None:
    house = House()
    for number in range(4):
        house.show({BLUE: face(100, 100)}, at_s=now_ns() / SECOND + 60 + number * 0.2)
    assert house.sink.events[0].latency_ms["capture"] == 0.0


def test_counters() -> None:
    house = House()
    for _ in range(5):
        house.show({BLUE: face(100, 100), RED: face(350, 100)})
    house.show()
    counters = house.health.counters
    assert (counters["frames"], counters["faces"], counters["events_recognized"]) == (6, 10, 1)
    assert counters["embeddings"] == sum(house.embedder.batches) > 4


@pytest.mark.parametrize(("budget", "batches"), [(1, [1, 1, 1]), (2, [2, 2, 2]), (9, [3, 3, 3])])
def test_no_more_faces_are_embedded_than_the_budget_allows(budget: int, batches: list[int]) -> None:
    house = House(decide(embed_per_frame=budget, min_frames=5))
    for _ in range(3):
        house.show({BLUE: face(20, 100), GREEN: face(220, 100), RED: face(420, 100)})
    assert house.embedder.batches == batches


def test_who_was_looked_at_least_comes_first() -> None:
    house = House(decide(embed_per_frame=1, min_frames=3, embed_interval_s=0.0))
    for _ in range(9):
        house.show({BLUE: face(20, 100), GREEN: face(220, 100), RED: face(420, 100, 110)})
    evidence = [house.pipeline._decider.evidence(track) for track in house.pipeline._tracker.finish()]
    assert [known.embedded for known in evidence] == [3, 3, 3]
    assert sorted(house.told) == [("recognized", "Ada"), ("recognized", "Bob")]


def test_hopeless_faces_are_not_embedded() -> None:
    house = House(decide(min_quality=0.5))
    for _ in range(3):
        house.show({BLUE: face(20, 100, turn=0.55), GREEN: face(220, 100, confidence=0.1), RED: face(420, 100, 20)})
    assert house.embedder.batches == []


@pytest.mark.parametrize(
    ("beside_px", "confidence", "embedded"),
    [
        (200, 0.9, ["surer", "other"]),
        (92, 0.9, ["surer", "other"]),
        # More than an eighth of it lies behind the surer face, or is a part of that one's hair.
        (80, 0.9, ["surer"]),
        (20, 0.9, ["surer"]),
        # Both as sure: neither is the other's shadow.
        (80, 0.95, ["surer", "other"]),
    ],
)
def test_a_face_behind_a_surer_one_teaches_nothing(beside_px: int, confidence: float, embedded: list[str]) -> None:
    house = House(decide(embed_per_frame=5))
    faces = {"surer": face(100, 100), "other": face(100 + beside_px, 100, confidence=confidence)}
    tracks = [Track(number, found, 0, 0) for number, found in enumerate(faces.values())]
    frame = make_frame(0)
    chosen = {track.id for track in house.pipeline._choose(tracks, frame)}
    assert [name for number, name in enumerate(faces) if number in chosen] == embedded


def test_each_of_several_faces_gets_its_own_embedding() -> None:
    house = House(decide(embed_per_frame=5))
    order = [(GREEN, face(420, 200)), (BLUE, face(20, 40)), (RED, face(220, 300))]
    for _ in range(4):
        house.show(dict(order))
    by_place = {round(event.decision.box.x1): event.decision.identity for event in house.sink.events}
    assert by_place == {420: BOB, 20: ADA}


def test_somebody_else_takes_over_a_track() -> None:
    house = House()
    for _ in range(4):
        house.show({BLUE: face(100, 100)})
    for _ in range(30):
        house.show({GREEN: face(100, 100)})
    assert house.told == [("recognized", "Ada"), ("recognized", "Bob")]
    assert [event.decision.track_id for event in house.sink.events] == [1, 2]
    assert house.health.counters["tracks_taken_over"] == 1
    assert list(house.pipeline._decider._evidence) == [2]


def test_the_cameras_small_picture_is_searched_and_the_large_one_cut() -> None:
    house = House(Settings(detect=Detect(width_px=320)))
    for _ in range(3):
        house.detector.script.append([face(50, 50, 50)])
        frame = make_frame(house.frames, {BLUE: face(100, 100)}, small=np.zeros((240, 320, 3), np.uint8))
        house.frames += 1
        result = house.pipeline.process(frame)
    assert house.detector.seen == [((240, 320, 3), 2.0)] * 3
    assert result.tracks[0].box == (100, 100, 200, 200)
    assert house.told == [("recognized", "Ada")]


@pytest.mark.parametrize(("width", "used"), [(319, False), (320, True), (400, True)])
def test_a_small_picture_must_be_large_enough_for_the_detector(width: int, used: bool) -> None:  # noqa: FBT001
    house = House(Settings(detect=Detect(width_px=320)))
    house.pipeline.process(make_frame(0, small=np.zeros((width * 3 // 4, width, 3), np.uint8)))
    ((shape, scale),) = house.detector.seen
    assert shape[1] == (width if used else 640)
    assert scale == pytest.approx(640 / width if used else 1.0, rel=0.01)


@pytest.mark.parametrize(
    ("zone", "names"), [(None, {"Ada", "Bob"}), ((0.0, 0.0, 0.5, 1.0), {"Ada"}), ((0.4, 0.0, 0.6, 1.0), set())]
)
def test_only_faces_in_the_zone_are_decided(zone: Any, names: set[str]) -> None:
    house = House(decide(zone=zone, unknown_after_s=1.0, give_up_after_s=2.0))
    for _ in range(20):
        house.show({BLUE: face(60, 100), GREEN: face(460, 100)})
    assert {name for _, name in house.told} == names
    assert len(house.embedder.batches) == 0 if not names else len(house.embedder.batches) > 0


def test_closest_only_recognizes_the_largest_face() -> None:
    house = House(decide(closest_only=True))
    for _ in range(10):
        house.show({BLUE: face(60, 100, 90), GREEN: face(360, 100, 140)})
    assert house.told == [("recognized", "Bob")]
    for _ in range(4):
        house.show({BLUE: face(60, 100, 90)})
    assert house.told == [("recognized", "Bob"), ("recognized", "Ada")]


def test_who_left_early_is_told_when_the_track_ends() -> None:
    house = House()
    for _ in range(4):
        house.show({RED: face(100, 100)})
    last = house.pipeline._tracker._tracks[0].last_ns
    results = [house.show() for _ in range(8)]
    assert house.told == [("unknown", None)]
    decisions = [decision for result in results for decision in result.decisions]
    assert [decision.captured_ns for decision in decisions] == [last]


def test_the_end_of_a_clip_decides_what_is_open() -> None:
    house = House()
    for _ in range(4):
        house.show({RED: face(100, 100)})
    told = house.pipeline.finish()
    assert [(event.decision.event_type, event.verdict.reason) for event in told] == [("unknown", "not_recognized")]
    assert tuple(house.sink.events) == told
    assert tuple(told[0].latency_ms) == STAGES
    assert house.pipeline.finish() == ()


@pytest.mark.parametrize("rate", [0.02, 1.0, 20.0])
def test_a_clip_is_judged_on_its_own_timeline(rate: float) -> None:
    """However fast it is read: `rate` is reading speed over playing speed."""
    house = House(decide(unknown_after_s=2.0, min_frames=2))
    for number in range(16):
        found = {RED: face(100, 100)}
        house.detector.script.append(list(found.values()))
        frame = make_frame(number, found, at_s=number * 0.2 / rate, timeline_ns=int(number * 0.2 * SECOND))
        house.pipeline.process(frame)
    (event,) = house.sink.events
    assert event.decision.event_type == "unknown"
    # Decided on the clip's clock, told with the real one.
    assert event.decision.captured_ns == pytest.approx(2.0 / rate * SECOND, rel=1e-6)


@pytest.mark.parametrize(("confirm", "seen_frame"), [(1, 0), (3, 2)])
def test_presence_needs_a_confirmed_face(confirm: int, seen_frame: int) -> None:
    house = House(Settings(track=TrackSettings(confirm_frames=confirm)))
    seen = []
    for _ in range(4):
        house.show({RED: face(100, 100)})
        seen.append(house.pipeline.last_seen_ns)
    first = next(index for index, moment in enumerate(seen) if moment is not None)
    assert first == seen_frame
    assert seen[3] == int(0.6 * SECOND)
    house.show()
    assert house.pipeline.last_seen_ns == seen[3]


def test_labels() -> None:
    house = House(decide(unknown_after_s=1.0))
    result = house.show({RED: face(100, 100), BLUE: face(300, 100)})
    assert [house.pipeline.label(track) for track in result.tracks] == ["... 1", "... 1"]
    for _ in range(6):
        result = house.show({RED: face(100, 100), BLUE: face(300, 100)})
    labels = {round(track.box.x1): house.pipeline.label(track) for track in result.tracks}
    assert labels[100] == "unknown"
    assert labels[300].startswith("Ada ")


class BrokenSink(FakeSink):
    def publish(self, event: Any) -> None:
        raise ConnectionError("told nobody")


def test_a_fault_is_the_loops_business() -> None:
    house = House(sink=BrokenSink())
    house.show({BLUE: face(100, 100)})
    house.show({BLUE: face(100, 100)})
    with pytest.raises(ConnectionError):
        house.show({BLUE: face(100, 100)})


def bundle_with(folder: Path, **points: float) -> Any:
    detector = folder / "d.onnx"
    detector.write_bytes(b"none")
    made = {
        name: {"threshold": value, "fmr": 0.1, "fnmr": 0.1, "impostor_pairs": 1, "genuine_pairs": 1, "measured_on": "x"}
        for name, value in points.items()
    }
    return load_bundle(make_bundle(folder / "bundle", detector_file=detector, overrides={"operating_points": made}))


def test_thresholds_are_the_bundles(tmp_path: Path) -> None:
    bundle = bundle_with(tmp_path, **{"fmr-1e-2": 0.2, "fmr-1e-4": 0.5, "fmr-1e-5": 0.6})
    assert thresholds_of(bundle, "fmr-1e-5") == Thresholds("fmr-1e-5", 0.6, 0.2)
    with pytest.raises(BundleError, match="no operating point 'fmr-1e-9'"):
        thresholds_of(bundle, "fmr-1e-9")


def test_the_context_is_the_configurations_and_the_bundles(tmp_path: Path) -> None:
    found = context_of(Settings(), bundle_with(tmp_path, **{"fmr-1e-4": 0.5}))
    assert (found.device, found.camera, found.bundle_id, found.embedder_id) == (
        "door",
        "door",
        "test-bundle-1",
        "test-embedder",
    )
