from __future__ import annotations

import importlib.util
import os
import re
import signal
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.annotate import VideoWriter
from edge.cli.demo import _judge
from edge.config import Settings, load_settings
from edge.datatypes import Image
from edge.demo.broker import Address, find_mosquitto
from edge.demo.clip import FPS, HEIGHT, WIDTH, Visit, door_frames
from edge.demo.portraits import COLLINS, HOPPER, Portrait
from edge.demo.show import Files, make_sheet, write_config
from edge.errors import MissingDependencyError
from edge.reader import PictureReader, load_models
from edge.watch import Line
from tests.e2e.support import MjpegDoor
from tests.support.data import ROOT, grace_hopper
from tests.support.mosquitto import wait_for

ADDRESS = Address("127.0.0.1", 1883, "3.1.1")


def files(folder: Path) -> Files:
    folder.mkdir(parents=True, exist_ok=True)
    return Files(folder)


def test_a_visit_begins_and_ends_with_an_empty_door(hopper: Image) -> None:
    frames = list(door_frames([Visit(hopper, 9)], np.random.default_rng(3)))
    assert len(frames) == FPS + 9 + FPS
    assert {frame.shape for frame in frames} == {(HEIGHT, WIDTH, 3)}
    empty = frames[0].astype(int)

    def covered(frame: Image) -> float:
        """Share of the picture that differs from an empty door by more than noise and light."""
        return float((np.abs(frame.astype(int) - empty).max(axis=2) > 60).mean())

    assert covered(frames[FPS - 1]) < 0.001
    assert covered(frames[-1]) < 0.001
    first, middle = covered(frames[FPS]), covered(frames[FPS + 5])
    assert 0.01 < first < middle / 2


def test_a_clip_is_the_same_every_time(hopper: Image) -> None:
    first, again, other = (
        next(iter(door_frames([Visit(hopper, 1)], np.random.default_rng(seed)))) for seed in (1, 1, 2)
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("portrait", [HOPPER, COLLINS], ids=lambda portrait: portrait.name)
def test_a_portrait_shows_one_person(portrait: Portrait) -> None:
    if importlib.util.find_spec(portrait.package) is None:
        pytest.skip(f"{portrait.package} is not installed (pip install 'ostiary[demo]')")
    assert len(PictureReader(load_models(Settings())).faces(portrait.picture())) == 1


def test_a_portrait_that_is_not_installed_names_the_extra() -> None:
    with pytest.raises(MissingDependencyError, match=r"ostiary\[demo\]"):
        Portrait("Nobody", "no_such_package_at_all", (), (0, 0, 1, 1)).path()


def test_the_configuration_can_be_played_with(tmp_path: Path) -> None:
    place = files(tmp_path / "out")
    settings = write_config(place, ADDRESS, camera=None, bundle=tmp_path / "bundle")
    assert settings == load_settings(place.config)
    assert (settings.camera.uri, settings.camera.realtime) == (str(place.clip), True)
    assert (settings.mqtt.host, settings.mqtt.port, settings.mqtt.protocol) == ADDRESS
    assert settings.bundle == tmp_path / "bundle"
    live = write_config(place, ADDRESS, camera="0")
    assert (live.camera.uri, live.camera.realtime, live.bundle) == ("0", False, None)


def test_what_an_earlier_demo_left_is_cleared_and_nothing_else(tmp_path: Path) -> None:
    place = files(tmp_path)
    for name in ("gallery.sqlite", "gallery.sqlite-wal", "clip.avi", "annotated.mp4", "daemon.log", "holiday.jpg"):
        (tmp_path / name).touch()
    place.clear()
    assert [path.name for path in tmp_path.iterdir()] == ["holiday.jpg"]


def test_the_sheet_is_made_of_frames_from_the_whole_video(tmp_path: Path) -> None:
    place = files(tmp_path)
    writer = VideoWriter(place.annotated, fps=FPS)
    for number in range(90):
        writer.write(np.full((360, 640, 3), 40 + 2 * number, np.uint8))
    writer.close()
    make_sheet(place)
    sheet = cv2.imread(str(place.sheet))
    assert sheet is not None
    assert sheet.shape == (3 * 270, 3 * 480, 3)
    cells = [float(sheet[row * 270 + 135, column * 480 + 240].mean()) for row in range(3) for column in range(3)]
    assert cells == sorted(cells)
    assert cells[0] < 70
    assert cells[-1] > 190


def event(kind: str, name: str | None, *, allowed: bool = True) -> Line:
    identity = None if name is None else {"id": "x", "name": name}
    data = {"event_type": kind, "identity": identity, "allowed": allowed and name is not None}
    return Line("event", 0.0, "", "", "", kind, data)


RIGHT = [event("recognized", HOPPER.name), event("unknown", None)]


@pytest.mark.parametrize(
    ("lines", "code"),
    [
        (RIGHT, 0),
        ([Line("presence", 0.0, "", "", "ON", "", "ON"), *RIGHT], 0),
        ([], 1),
        (RIGHT[:1], 1),
        (RIGHT[1:], 1),
        ([*RIGHT, event("unknown", None)], 1),
        ([*RIGHT, event("recognized", HOPPER.name)], 1),
        ([event("recognized", "Somebody Else"), RIGHT[1]], 1),
        ([event("recognized", HOPPER.name, allowed=False), RIGHT[1]], 1),
    ],
)
def test_the_demo_judges_itself(lines: list[Line], code: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert _judge(lines) == code
    assert ("not as it should be" in capsys.readouterr().out) is (code == 1)


def environment(home: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "HOME": str(home), "XDG_DATA_HOME": str(home / "data")}


def demo(folder: Path, *options: str) -> list[str]:
    return [sys.executable, "-m", "edge", "demo", "-o", str(folder), *options]


@pytest.mark.slow
def test_the_whole_demo(tmp_path: Path) -> None:
    if find_mosquitto() is None and importlib.util.find_spec("amqtt") is None:
        pytest.skip("neither mosquitto nor amqtt is installed")
    for portrait in (HOPPER, COLLINS):
        if importlib.util.find_spec(portrait.package) is None:
            pytest.skip(f"{portrait.package} is not installed (pip install 'ostiary[demo]')")
    place = Files(tmp_path / "out")
    done = subprocess.run(
        demo(place.folder), capture_output=True, text=True, timeout=300, env=environment(tmp_path), check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert "recognized       Grace Hopper" in done.stdout
    assert "unknown          somebody unknown" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("as it should be")
    sheet = cv2.imread(str(place.sheet))
    assert sheet is not None
    assert sheet.shape == (810, 1440, 3)
    # A starved machine leaves some out: the clip comes as a camera would send it.
    assert frames_of(place.annotated) > 45
    assert "ready in" in place.log.read_text(encoding="utf-8")
    assert list(tmp_path.rglob("*.sqlite")) != []
    assert not (tmp_path / "data").exists(), "the demo keeps to its own folder"
    if importlib.util.find_spec("rich") is not None:
        svg = (place.folder / "events.svg").read_text(encoding="utf-8")
        assert "Grace" in "".join(ET.fromstring(svg).itertext())  # noqa: S314 - our own file
        assert re.findall(r"url\([\"']?http", svg) == [], "looking at it asks nobody for anything"


def frames_of(path: Path) -> int:
    capture = cv2.VideoCapture(str(path))
    count = 0
    while capture.read()[0]:
        count += 1
    capture.release()
    return count


def test_live_it_runs_until_somebody_ends_it(tmp_path: Path, hopper: Image) -> None:
    if find_mosquitto() is None and importlib.util.find_spec("amqtt") is None:
        pytest.skip("neither mosquitto nor amqtt is installed")
    with MjpegDoor() as door, (tmp_path / "told").open("wb") as told:
        command = demo(tmp_path / "out", "--camera", door.uri, "--picture", str(grace_hopper()))
        process = subprocess.Popen(command, stdout=told, stderr=told, env=environment(tmp_path))
        try:
            door.show(hopper)
            wait_for(lambda: "recognized       You" in (tmp_path / "told").read_text(encoding="utf-8"), "the event", 60)
            process.send_signal(signal.SIGINT)
            assert process.wait(30) == 0
        finally:
            process.kill()
            process.wait()
    assert "Traceback" not in (tmp_path / "told").read_text(encoding="utf-8")
    assert not (tmp_path / "out" / "clip.avi").exists()
