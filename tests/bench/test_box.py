"""The benchmarks of the whole box: what they conclude from what they saw, and a soak of some minutes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.bench.cameras import Sample as Seen
from tests.bench.cameras import describe
from tests.bench.doorway import Arrival, merged
from tests.bench.latency import Samples, gather
from tests.bench.soak.day import Day, Growth, Sample, problems
from tests.bench.soak.play import soak
from tests.bench.soak.stage import FPS

MS = 1_000_000
FRAME_NS = 1_000_000_000 // 15


def heard(seq: int, at_ns: int) -> Arrival:
    return Arrival("ostiary/front/event", json.dumps({"event_id": f"e{seq}"}).encode(), at_ns)


def event(seq: int, captured_ns: int, kind: str = "recognized") -> dict[str, Any]:
    return {
        "what": "event", "id": f"e{seq}", "type": kind, "track": 1,
        "captured_ns": captured_ns, "given_ns": captured_ns + 30 * MS, "accepted_ns": captured_ns + 33 * MS,
    }  # fmt: skip


def frames(count: int, faces: range) -> list[dict[str, Any]]:
    return [
        {"what": "frame", "index": number, "captured_ns": number * FRAME_NS, "faces": int(number in faces)}
        for number in range(count)
    ]


def test_settings_are_laid_over_each_other() -> None:
    base = {"decide": {"min_frames": 3}, "mqtt": {"port": 1}}
    made = merged(base, ["decide.embed_interval_s=0.05", 'mqtt.protocol="3.1.1"', "mqtt.tls.enabled=false"])
    assert made["decide"] == {"min_frames": 3, "embed_interval_s": 0.05}
    assert made["mqtt"] == {"port": 1, "protocol": "3.1.1", "tls": {"enabled": False}}
    assert base == {"decide": {"min_frames": 3}, "mqtt": {"port": 1}}


def test_the_latencies_of_two_visits() -> None:
    # In the first visit a face is seen in frame 20, usable in 22, and decided in frame 26; in the second nobody is named.
    good = [{"what": "good", "captured_ns": number * FRAME_NS, "track": 1} for number in (22, 24, 26, 28, 70)]
    moments = frames(100, range(20, 80)) + good + [event(1, 26 * FRAME_NS), event(2, 71 * FRAME_NS, "unknown")]
    samples = Samples()
    gather(samples, moments, [heard(1, 26 * FRAME_NS + 40 * MS), heard(2, 71 * FRAME_NS + 50 * MS)], [0, 50, 100])
    assert samples.publishing == pytest.approx([7.0, 17.0])
    assert samples.storing_and_publishing == pytest.approx([10.0, 20.0])
    assert samples.frame_to_subscriber == pytest.approx([40.0, 50.0])
    assert samples.first_decision == pytest.approx([4 * FRAME_NS / MS + 40])
    assert samples.first_sight == pytest.approx([6 * FRAME_NS / MS + 40])
    assert samples.good_frames == [3]
    assert (samples.visits, samples.undecided, samples.others, samples.frames) == (2, 1, 1, 100)


def test_a_box_with_two_cameras_of_which_one_loses_frames() -> None:
    whole, half = frames(150, range(0)), frames(150, range(0))[::2]
    # Both run from 0 to the last frame of the second one, number 148; a core is used up by the two together.
    seen = [Seen(at * FRAME_NS * 50, (at * 1.0, at * 2.0), (100, 100), (60, 40)) for at in range(3)]
    heard_of = Samples(frame_to_subscriber=[50.0, 60.0], publishing=[5.0], first_decision=[300.0], visits=2)
    row = describe(seen, [whole, half], heard_of, 15)
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[:3] == ["2", "45 %", "90 %"]
    assert (float(cells[6].strip(" %")), float(cells[7].strip(" %"))) == pytest.approx((75, 50), abs=1)
    assert cells[8:] == ["1 of 2", "55 / 60", "5 / 5", "300 / 300", "no"]


def samples_of(rss: list[int], fds: int = 12, depth: int = 0) -> list[Sample]:
    return [Sample(at, at, size, 50_000_000, 3, fds, depth, 0, 0) for at, size in enumerate(rss)]


def a_day() -> Day:
    day = Day(max_events=60, event_ids={1: "a", 2: "b"}, exit_code=0, health={"outbox": {"dropped": 0, "depth": 0}})
    day.kinds.update(recognized=1, unknown=1)
    return day


FLAT = samples_of([120_000_000] * 40)


def test_a_good_day() -> None:
    assert problems(a_day(), FLAT) == []
    # Warming up is no growth.
    assert problems(a_day(), samples_of([90_000_000] * 4 + [120_000_000] * 36)) == []


@pytest.mark.parametrize(
    ("changes", "samples", "expected"),
    [
        ({"exit_code": 3}, FLAT, "ended with 3"),
        ({"event_ids": {1: "a", 3: "b"}}, FLAT, "1 events were neither heard nor dropped"),
        ({"health": {"outbox": {"dropped": 5}}}, FLAT, "-5 events"),
        ({"faults": ["ostiary/front/event: wrong"]}, FLAT, "wrong"),
        ({}, samples_of([100_000_000 + 100_000 * at for at in range(40)]), "rss_bytes grew by 3,"),
        ({}, FLAT[:-4] + samples_of([120_000_000] * 4, fds=13), "fds: 12 at first, 13 in the end"),
        ({}, FLAT[:20] + samples_of([120_000_000], fds=30) + FLAT[21:], "30 at most"),
        ({}, FLAT[:20] + samples_of([120_000_000], depth=61) + FLAT[21:], "held 61 events"),
    ],
)
def test_what_makes_a_bad_day(changes: dict[str, Any], samples: list[Sample], expected: str) -> None:
    day = a_day()
    for name, value in changes.items():
        setattr(day, name, value)
    [found] = problems(day, samples)
    assert expected in found


def test_growth_wants_ten_samples() -> None:
    with pytest.raises(ValueError, match="9 samples"):
        Growth.of(FLAT[:9])


@pytest.mark.slow
def test_six_minutes_at_the_door(tmp_path: Path) -> None:
    play = soak(tmp_path, 6.3 / 60, every_s=0.1)
    # So short a time says little of memory, and nothing of 2 MB a day.
    assert problems(play.day, play.samples, growth_bytes=20_000_000) == [], play.log
    assert dict(play.day.kinds) == {"recognized": 1, "unknown": 1}
    assert set(play.done.values()) == {1}
    assert play.day.health["counters"]["frames"] > 6.3 * 60 * FPS * 0.9
    camera = play.day.health["camera"]
    assert camera["reopened"] >= 1
    assert camera["frozen"] == 0, "no two pictures of the stage are alike"
    assert play.day.health["counters"]["commands_ignored"] >= 7
    # One for each event, and one that was ordered: the same order again is not obeyed again.
    assert play.day.messages["snapshot"] + play.day.health["counters"]["snapshots_dropped"] == 3
    for reason in ("retained", "stale", "duplicate", "oversized", "malformed", "unsigned"):
        assert play.day.health["counters"][f"commands_{reason}"] >= 1, reason
    assert "Traceback" not in play.log
