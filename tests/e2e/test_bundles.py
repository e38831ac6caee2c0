"""The real daemon with bundles on trial: what is slow, broken or dies goes back by itself; what is sound stays."""

from __future__ import annotations

import json
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

from edge.bundle import MANIFEST_NAME, default_bundle_folder, load_bundle
from edge.bundle.slots import Slots
from edge.bundle.store import BundleStore
from tests.e2e.support import DEVICE, DaemonProcess, MjpegDoor, mqtt
from tests.support.mosquitto import Mosquitto, subscriber, wait_for

QUICK = {"trial_s": 0.0, "trial_frames": 5, "budget_ms": 60_000.0}
NEVER = {"trial_s": 3600.0, "budget_ms": 60_000.0}


@pytest.fixture
def slots(tmp_path: Path) -> Slots:
    """`two` differs from the package's own bundle by name only."""
    folder = tmp_path / "bundles" / "two"
    shutil.copytree(default_bundle_folder(), folder)
    manifest = json.loads((folder / MANIFEST_NAME).read_text(encoding="utf-8"))
    (folder / MANIFEST_NAME).write_text(json.dumps({**manifest, "bundle_id": "bundle-two"}), encoding="utf-8")
    return Slots(BundleStore(tmp_path / "bundles"))


def box(tmp_path: Path, door: MjpegDoor, **sections: Any) -> DaemonProcess:
    sections = {"mqtt": {"enabled": False}, **sections}
    return DaemonProcess(tmp_path / "box", camera={"uri": door.uri}, bundles=str(tmp_path / "bundles"), **sections)


def ended(running: DaemonProcess) -> None:
    if running.process is not None and running.process.poll() is None:
        running.process.kill()
        running.process.wait()


def test_slow_then_broken_is_rolled_back_by_the_daemon_itself(tmp_path: Path, broker: Mosquitto, slots: Slots) -> None:
    with MjpegDoor() as door, subscriber(broker.port) as listening:
        running = box(tmp_path, door, mqtt=mqtt(broker.port), updates={**NEVER, "budget_ms": 1.0})
        try:
            slots.switch("two")
            running.start()
            running.wait_for_log("bundle two is on trial")
            running.wait_for_log("ready in", times=2)
            assert "bundle two fails on trial: it takes" in running.log
            assert running.log.count("bundle bundle-two") == 1

            def told() -> Any:
                return json.loads(listening.last(f"{DEVICE}/health") or b"{}").get("bundle", {})

            wait_for(lambda: told().get("bundle_id") == load_bundle().manifest.bundle_id, "/health of the run after it")
            assert told()["state"] == "rolled_back"
            assert "updates.budget_ms is 1" in told()["reason"]
            # The process has gone on: no service manager saw an end.
            assert running.stop() == 0

            slots.switch("two")
            (slots.store.path / "two" / "detector.onnx").write_bytes(b"none")
            running.start()
            running.wait_for_log("ready in", times=3)
            assert "it could not be used: 4 bytes" in running.log
            assert slots.standing().active is None
            assert running.stop() == 0
            assert "Traceback" not in running.log
        finally:
            ended(running)


def test_killed_on_trial_goes_back_and_what_is_sound_stays(tmp_path: Path, slots: Slots) -> None:
    with MjpegDoor() as door:
        running = box(tmp_path, door, updates=NEVER)
        try:
            slots.switch("two")
            running.start()
            running.wait_ready()
            running.stop(signal.SIGKILL)
            running.start()
            running.wait_for_log("bundle two was rolled back to the package's own bundle: it was cut off")
            running.wait_for_log("ready in", times=2)
            running.stop()
            running = box(tmp_path, door, updates=QUICK)
            slots.switch("two")
            running.start()
            running.wait_for_log("bundle two has proved itself")
            running.stop(signal.SIGKILL)
            assert slots.standing().state == "confirmed"
        finally:
            ended(running)
