"""A clip of two visitors, one of them enrolled, through the real daemon and a real broker."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import pytest

from edge.bundle import load_bundle
from edge.health import STAGES
from tests.e2e.support import CAMERA, DEVICE, daemon, mqtt
from tests.support.data import ROOT
from tests.support.mosquitto import HOST, Heard, Mosquitto, Subscriber, subscriber, wait_for
from tests.support.schemas import validator

EXPECTED = ["recognized Grace Hopper", "unknown"]


def told(events: list[Any]) -> list[str]:
    return [event["event_type"] + (f" {event['identity']['name']}" if event["identity"] else "") for event in events]


def words(heard: list[Heard]) -> list[str]:
    """Payloads in order, each change once."""
    texts = [one.payload.decode() for one in heard]
    return [text for before, text in zip([None, *texts], texts, strict=False) if text != before]


def events_of(listening: Subscriber) -> list[Any]:
    return [one.data for one in listening.on("/event")]


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_recognized_then_unknown(
    tmp_path: Path, broker: Mosquitto, clip: Path, hopper_file: Path, protocol: str
) -> None:
    # Leaving this context checks every payload against its schema.
    with subscriber(broker.port) as listening:
        with daemon(
            tmp_path / "box", pictures={"Grace Hopper": hopper_file},
            camera={"uri": str(clip)}, mqtt=mqtt(broker.port, protocol=protocol),
        ) as running:  # fmt: skip
            assert running.ended() == 0, running.log
        wait_for(lambda: listening.last("front/status") == b"offline", "the farewell")
    events = events_of(listening)
    assert told(events) == EXPECTED
    assert listening.on("/history") == listening.on("/snapshot") == []
    assert [event["seq"] for event in events] == [1, 2]
    assert len({event["event_id"] for event in events}) == 2
    assert len({event["boot_id"] for event in events}) == 1
    for event in events:
        assert (event["device"], event["camera"], event["replayed"]) == (DEVICE, CAMERA, False)
        assert event["bundle_id"] == load_bundle().manifest.bundle_id
        assert event["gallery_revision"] == 1
        assert set(event["latency_ms"]) == set(STAGES)
        assert all(event["latency_ms"][stage] > 0 for stage in ("detect", "publish"))
        assert event["age_ms"] >= event["latency_ms"]["detect"]
        x1, y1, x2, y2 = event["box"]
        assert 0 < x1 < x2 < 640
        assert 0 < y1 < y2 < 360
    assert [(event["allowed"], event["reason"]) for event in events] == [(True, "allowed"), (False, "not_recognized")]
    assert events[0]["similarity"] > events[1]["similarity"]
    assert events[0]["frames"] >= 3
    assert not any(one.retained for one in listening.on("/event"))
    assert {one.qos for one in listening.on("/event")} == {1}


def test_states_around_a_run(tmp_path: Path, broker: Mosquitto, clip: Path, hopper_file: Path) -> None:
    with (
        subscriber(broker.port) as listening,
        daemon(
            tmp_path / "box", pictures={"Grace Hopper": hopper_file},
            camera={"uri": str(clip)}, mqtt=mqtt(broker.port),
        ) as running,
    ):  # fmt: skip
        assert running.ended() == 0, running.log
        wait_for(lambda: listening.last("front/status") == b"offline", "the farewell")
    assert words(listening.on("front/status")) == ["online", "offline"]
    assert words(listening.on("camera/porch/status"))[-2:] == ["online", "offline"]
    presence = words(listening.on("/presence"))
    assert presence[0] == "OFF"
    assert "ON" in presence
    assert presence[-1] == "OFF"
    # Who comes later learns the last states, and no event.
    with subscriber(broker.port) as late:
        wait_for(lambda: late.last("/presence") and late.last("/enabled") and late.last("/health"), "what is retained")
    assert late.last("front/status") == b"offline"
    assert late.on("/event") == late.on("/history") == []
    health = late.on("/health")[-1].data
    assert health["counters"]["events_recognized"] == health["counters"]["events_unknown"] == 1
    assert health["counters"]["frames"] == 105
    assert {name: health["outbox"][name] for name in ("depth", "dropped")} == {"depth": 0, "dropped": 0}
    assert set(health["stages_ms"]) >= {"capture", "detect", "align", "embed", "match", "decide"}
    assert health["gallery_revision"] == 1


def test_a_clip_at_its_own_pace_comes_to_the_same(
    tmp_path: Path, broker: Mosquitto, clip: Path, hopper_file: Path
) -> None:
    with (
        subscriber(broker.port) as listening,
        daemon(
            tmp_path / "box", pictures={"Grace Hopper": hopper_file},
            camera={"uri": str(clip), "realtime": True}, mqtt=mqtt(broker.port),
        ) as running,
    ):  # fmt: skip
        assert running.ended() == 0, running.log
        wait_for(lambda: len(events_of(listening)) == 2, "both events")
    assert told(events_of(listening)) == EXPECTED


def lines_of(text: str) -> list[Any]:
    return [json.loads(line[line.index("{") :]) for line in text.splitlines() if '"event_id"' in line]


@pytest.mark.parametrize("by", ["option", "configuration"])
def test_without_a_broker_events_are_lines(tmp_path: Path, clip: Path, hopper_file: Path, by: str) -> None:
    options = ["--no-mqtt"] if by == "option" else []
    section: dict[str, Any] = {} if by == "option" else {"enabled": False}
    with daemon(
        tmp_path / "box", *options, pictures={"Grace Hopper": hopper_file}, camera={"uri": str(clip)}, mqtt=section
    ) as running:
        assert running.ended() == 0, running.log
    events = lines_of(running.out if by == "option" else running.log)
    assert told(events) == EXPECTED
    for event in events:
        assert list(validator("event").iter_errors(event)) == []
    if by == "option":
        assert len(running.out.splitlines()) == 2
        assert not running.gallery.with_name("outbox.sqlite").exists(), "a trial takes no sequence numbers"


def test_a_reader_of_its_events_that_leaves_ends_it_quietly(tmp_path: Path, clip: Path) -> None:
    command = [sys.executable, "-m", "edge", "run", "--no-mqtt", "--camera", str(clip)]
    reading, writing = os.pipe()
    os.close(reading)
    with subprocess.Popen(
        command, stdout=writing, stderr=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)}, cwd=tmp_path
    ) as process:
        os.close(writing)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert b"ready in" in err
    assert b"Traceback" not in err
    assert b"failed" not in err


def test_a_folder_is_a_source(
    tmp_path: Path, broker: Mosquitto, hopper_file: Path, hopper: Any, collins_file: Path
) -> None:
    folder = tmp_path / "album"
    folder.mkdir()
    for number in range(4):
        assert cv2.imwrite(str(folder / f"{number}.png"), cv2.convertScaleAbs(hopper, alpha=1 - 0.1 * number))
    (folder / "9.jpg").write_bytes(b"")
    with subscriber(broker.port) as listening:
        with daemon(
            tmp_path / "box", "--camera", str(folder), pictures={"Grace Hopper": hopper_file}, mqtt=mqtt(broker.port)
        ) as running:
            assert running.ended() == 0, running.log
        wait_for(lambda: events_of(listening), "the event")
    assert told(events_of(listening)) == EXPECTED[:1]
    assert "9.jpg" in running.log


def test_snapshots_are_pictures_of_the_decided(
    tmp_path: Path, broker: Mosquitto, clip: Path, hopper_file: Path
) -> None:
    with subscriber(broker.port) as listening:
        with daemon(
            tmp_path / "box", pictures={"Grace Hopper": hopper_file}, camera={"uri": str(clip)},
            mqtt=mqtt(broker.port), publish={"snapshot": True, "snapshot_px": 200},
        ) as running:  # fmt: skip
            assert running.ended() == 0, running.log
        wait_for(lambda: listening.last("front/status") == b"offline", "the farewell")
    assert listening.on("/snapshot")
    for number, one in enumerate(listening.on("/snapshot")):
        path = tmp_path / f"{number}.jpg"
        path.write_bytes(one.payload)
        image = cv2.imread(str(path))
        assert image is not None
        assert max(image.shape[:2]) <= 200
        assert not one.retained


def test_annotated_video_shows_every_frame(tmp_path: Path, clip: Path, hopper_file: Path) -> None:
    seen = tmp_path / "seen.mp4"
    with daemon(
        tmp_path / "box", "--no-mqtt", "--annotate", str(seen),
        pictures={"Grace Hopper": hopper_file}, camera={"uri": str(clip)},
    ) as running:  # fmt: skip
        assert running.ended() == 0, running.log
    capture = cv2.VideoCapture(str(seen))
    frames = 0
    while capture.grab():
        frames += 1
    capture.release()
    assert frames == 105


def test_watch_shows_what_is_told(tmp_path: Path, broker: Mosquitto, clip: Path, hopper_file: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "edge",
        "watch",
        "--json",
        "--count",
        "2",
        "--host",
        HOST,
        "--port",
        str(broker.port),
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as shown:
        wait_for(lambda: "Received SUBSCRIBE from ostiary-watch" in broker.log, "the viewer")
        with daemon(
            tmp_path / "box", pictures={"Grace Hopper": hopper_file}, camera={"uri": str(clip)}, mqtt=mqtt(broker.port)
        ):
            out, _ = shown.communicate(timeout=60)
    assert shown.returncode == 0
    assert told([json.loads(line) for line in out.splitlines()]) == EXPECTED
