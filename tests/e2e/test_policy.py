"""Who is let in, by the real daemon, before a real camera."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edge.datatypes import Image
from tests.e2e.support import MjpegDoor, Visitor, daemon, mqtt
from tests.support.mosquitto import Mosquitto, Subscriber, subscriber, wait_for


def told(listening: Subscriber) -> list[tuple[Any, ...]]:
    rows = [one.data for one in listening.on("/event")]
    return [(row["identity"] and row["identity"]["name"], row["allowed"], row["reason"]) for row in rows]


REFUSED = ("Grace Hopper", False, "stranger_in_front")
ALLOWED = ("Grace Hopper", True, "allowed")


def test_a_stranger_in_front_keeps_her_out_until_he_is_gone(
    tmp_path: Path, broker: Mosquitto, hopper: Image, bust: Image, hopper_file: Path
) -> None:
    hopper_there = Visitor(hopper, left_px=10, share=0.6)
    with (
        MjpegDoor() as door,
        subscriber(broker.port) as listening,
        daemon(
            tmp_path / "box", pictures={"Grace Hopper": hopper_file}, camera={"uri": door.uri},
            mqtt=mqtt(broker.port), decide={"cool_down_s": 600, "unknown_after_s": 0.6},
        ) as running,
    ):  # fmt: skip
        door.gather(hopper_there, Visitor(bust, left_px=260))
        wait_for(lambda: REFUSED in told(listening), "the refusal")
        wait_for(lambda: (None, False, "not_recognized") in told(listening), "the stranger")
        door.gather(hopper_there)
        wait_for(lambda: ALLOWED in told(listening), "the door's opening")
        door.stay_empty()
        assert running.stop() == 0
    assert sorted(told(listening), key=str) == sorted([REFUSED, ALLOWED, (None, False, "not_recognized")], key=str)
    first, second = (one.data for one in listening.on("/event") if one.data["identity"])
    assert first["track_id"] == second["track_id"]
    assert "recognized: Grace Hopper, refused: stranger_in_front (track" in running.log
    assert "recognized: Grace Hopper, allowed (track" in running.log
    assert listening.on("/health")[-1].data["counters"]["events_allowed"] == 1
