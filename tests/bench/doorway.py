"""What the benchmarks of the whole box share: a broker, a clip of visits, real daemons, and a listener that notes when it heard."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import paho.mqtt.client as paho
import yaml
from paho.mqtt.enums import CallbackAPIVersion

from edge.annotate import VideoWriter
from edge.demo.clip import FPS, Visit, door_frames
from edge.demo.portraits import COLLINS, HOPPER
from tests.support.data import ROOT
from tests.support.mosquitto import HOST

PORTRAITS = (HOPPER, COLLINS)
WALKS = (3 * FPS, 4 * FPS, 5 * FPS)
"""Frames of a visit, in turn: a brisk walk, the demo's, and a slow one."""
PATIENCE_S = 60.0


def write_visits(path: Path, count: int, *, seed: int = 0) -> list[int]:
    """The demo clip with `count` visits, each with an empty door of a second before and after.

    Two people take turns and the walks differ in length, so that no visit is the copy of another. Returns the number of each
    visit's first frame, and behind them the number of frames.
    """
    random = np.random.default_rng(seed)
    writer = VideoWriter(path, fps=FPS)
    starts = [0]
    people = [portrait.picture() for portrait in PORTRAITS]
    for person, walk, _ in zip(itertools.cycle(people), itertools.cycle(WALKS), range(count), strict=False):
        frames = list(door_frames([Visit(person, walk)], random))
        for frame in frames:
            writer.write(frame)
        starts.append(starts[-1] + len(frames))
    writer.close()
    return starts


@dataclass(frozen=True, slots=True)
class Box:
    """The files of one daemon."""

    folder: Path

    @property
    def config(self) -> Path:
        return self.folder / "ostiary.yaml"

    @property
    def log(self) -> Path:
        return self.folder / "daemon.log"


def make_box(folder: Path, settings: dict[str, Any], *, people: int = len(PORTRAITS)) -> Box:
    """Its configuration, and the first so many people of the clip in its gallery."""
    folder.mkdir(parents=True)
    box = Box(folder)
    box.config.write_text(yaml.safe_dump({"gallery": str(folder / "gallery.sqlite"), **settings}), encoding="utf-8")
    for portrait in PORTRAITS[:people]:
        picture = folder / "portrait.png"
        cv2.imwrite(str(picture), portrait.picture())
        command = [sys.executable, "-m", "edge", "enroll", "--config", box.config, "--name", portrait.name, picture]
        done = subprocess.run(list(map(str, command)), check=False, capture_output=True, text=True, cwd=ROOT)
        if done.returncode != 0:
            raise SystemExit(done.stderr)
        picture.unlink()
    return box


def merged(settings: dict[str, Any], changes: Sequence[str]) -> dict[str, Any]:
    """`settings` with changes such as `decide.min_frames=2` on top; values are YAML."""
    made = json.loads(json.dumps(settings))
    for change in changes:
        path, _, value = change.partition("=")
        *sections, key = path.split(".")
        inner = made
        for section in sections:
            inner = inner.setdefault(section, {})
        inner[key] = yaml.safe_load(value)
    return dict(made)


def start_daemon(box: Box, *program: str) -> subprocess.Popen[bytes]:
    """`ostiary run` on the box's configuration, or another program that takes the same option."""
    command = [sys.executable, *(program or ("-m", "edge", "run")), "--config", str(box.config)]
    # As edge.cli sets it, before anything has imported NumPy.
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"}
    with box.log.open("ab") as log:
        return subprocess.Popen(command, stdout=log, stderr=log, cwd=ROOT, env=environment)


@contextmanager
def running(*processes: subprocess.Popen[bytes]) -> Iterator[None]:
    """Whatever happens inside, they have ended afterwards."""
    try:
        yield
    finally:
        for process in processes:
            if process.poll() is None:
                process.kill()
            process.wait()


@dataclass(frozen=True, slots=True)
class Arrival:
    """One message, and when it was heard: CLOCK_MONOTONIC, which all processes of a box share."""

    topic: str
    payload: bytes
    heard_ns: int


class Ear:
    """A subscriber in a process that does little else: its clock is read first of all, in paho's thread."""

    def __init__(self, port: int, topic: str = "ostiary/#") -> None:
        self.arrivals: list[Arrival] = []
        self._ready = threading.Event()
        self._client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
        self._client.on_message = self._on_message
        self._client.on_connect = lambda *_: self._client.subscribe(topic, 1)
        self._client.on_subscribe = lambda *_: self._ready.set()
        self._client.connect(HOST, port)
        self._client.loop_start()
        if not self._ready.wait(PATIENCE_S):
            raise TimeoutError("the broker does not answer")

    def _on_message(self, _client: Any, _userdata: Any, message: paho.MQTTMessage) -> None:
        now_ns = time.monotonic_ns()
        self.arrivals.append(Arrival(message.topic, bytes(message.payload), now_ns))

    def on(self, end: str) -> list[Arrival]:
        """Messages of topics that end so."""
        return [one for one in self.arrivals if one.topic.endswith(end)]

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@contextmanager
def ear(port: int, topic: str = "ostiary/#") -> Iterator[Ear]:
    """Listening for as long as the context lasts."""
    listening = Ear(port, topic)
    try:
        yield listening
    finally:
        listening.close()


def spread(values: Sequence[float]) -> str:
    """p50, p95, most and how many, for a table."""
    if not values:
        return "- | - | - | 0"
    p50, p95, most = np.percentile(values, (50, 95, 100))
    return f"{p50:.1f} | {p95:.1f} | {most:.1f} | {len(values)}"
