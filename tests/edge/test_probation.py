"""A bundle on trial in a running daemon, with frames and a clock of the test's own."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from edge.bundle import MANIFEST_NAME
from edge.bundle.slots import Slots
from edge.bundle.store import BundleStore
from edge.bundle.trial import this_run
from edge.config.settings import Device, Settings, Updates
from edge.errors import BundleError
from edge.health import Health
from edge.pipeline import FrameResult
from edge.probation import MOST_FAULTS, Probation, frame_ms
from edge.timebase import Clock
from tests.support.fakes import make_frame

FRAME = make_frame(0)
LIMITS: dict[str, Any] = {"trial_s": 10.0, "trial_frames": 20, "budget_ms": 100.0}


@dataclass
class Run:
    """A daemon's life, as far as a probation sees it."""

    slots: Slots
    device: str = "door"
    changes: dict[str, Any] = field(default_factory=dict)
    now_s: float = 0.0

    def __post_init__(self) -> None:
        settings = Settings(
            device=Device(name=self.device),
            bundles=self.slots.store.path,
            updates=Updates(**{**LIMITS, **self.changes}),
        )
        self.health, self.restarts = Health(), 0
        self.probation = Probation(settings, clock=Clock(lambda: int(self.now_s * 1e9)))
        self.probation.watch(self.health, self.restart)

    def restart(self) -> None:
        self.restarts += 1

    def see(self, frames: int, *, ms: float = 20.0, seconds: float = 0.0) -> None:
        for _ in range(frames):
            self.health.timings.add("detect", ms / 2)
            self.health.timings.add("embed", ms / 2)
            self.probation.seen(FrameResult(FRAME, (), (), 0))
            self.now_s += seconds / frames
            self.probation.tick()

    @property
    def state(self) -> str:
        return str(self.probation.described()["state"])


@pytest.fixture
def slots(tmp_path: Path) -> Slots:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / MANIFEST_NAME).write_text("{}", encoding="utf-8")
    made = Slots(BundleStore(tmp_path))
    made.store.activate("one")
    made.switch("two", version=4)
    return made


def test_it_proves_itself_by_time_and_frames(slots: Slots) -> None:
    run = Run(slots)
    assert run.probation.described() | {"since": ""} == {
        "version": 4, "state": "trial", "previous": "one", "reason": "", "since": "",
    }  # fmt: skip
    run.see(50, seconds=5.0)
    assert run.state == "trial"
    run.now_s = 20.0
    run.see(1)
    assert (run.state, run.restarts) == ("confirmed", 0)
    assert slots.store.previous_name() == "one"


def test_time_alone_proves_nothing(slots: Slots) -> None:
    run = Run(slots)
    run.see(19, seconds=1000.0)
    assert run.state == "trial"
    assert slots.standing().is_on_trial


def test_slow_frames_go_back(slots: Slots, caplog: pytest.LogCaptureFixture) -> None:
    run = Run(slots)
    run.see(9, ms=500.0)
    assert run.restarts == 0
    run.see(5, ms=500.0)
    assert (run.restarts, run.state, run.probation.is_over) == (1, "rolled_back", True)
    assert run.probation.described()["reason"] == "it takes 500 ms for a frame, and updates.budget_ms is 100"
    assert slots.standing().active == "one"
    assert [record.levelno for record in caplog.records].count(logging.WARNING) == 2


def test_a_slow_start_is_forgiven(slots: Slots) -> None:
    run = Run(slots)
    run.see(4, ms=900.0)
    run.see(30, ms=20.0, seconds=11.0)
    assert (run.restarts, run.state) == (0, "confirmed")


def test_frames_without_a_face_do_not_make_it_quick() -> None:
    health = Health()
    for _ in range(100):
        health.timings.add("detect", 10.0)
        health.timings.add("capture", 1000.0)
    for _ in range(3):
        health.timings.add("embed", 300.0)
    assert frame_ms(health) == pytest.approx(310.0)


def test_failing_frames_go_back(slots: Slots) -> None:
    run = Run(slots)
    run.health.counters["frames_failed"] = MOST_FAULTS
    run.see(1)
    assert run.restarts == 0
    run.health.counters["frames_failed"] += 1
    run.probation.tick()
    assert (run.restarts, slots.standing().active) == (1, "one")


def test_what_cannot_be_loaded_goes_back(slots: Slots) -> None:
    run = Run(slots)
    with pytest.raises(BundleError), run.probation.loading():
        raise BundleError("SHA-256 of something else")
    assert run.probation.is_over
    assert slots.standing().reason == "it could not be used: SHA-256 of something else"


def test_what_is_not_on_trial_fails_as_ever(slots: Slots) -> None:
    slots.enter("door", this_run())
    slots.prove("door")
    run = Run(slots)
    with pytest.raises(BundleError), run.probation.loading():
        raise BundleError("damaged")
    run.see(100, ms=1e6)
    assert not run.probation.is_over
    assert (run.restarts, slots.standing().active) == (0, "two")


def test_one_of_two_daemons_goes_back_and_the_other_follows(slots: Slots) -> None:
    front, back = Run(slots, "front"), Run(slots, "back")
    front.see(30, seconds=11.0)
    assert front.state == "trial"
    back.see(20, ms=500.0)
    assert back.restarts == 1
    front.see(1, seconds=2.0)
    assert (front.restarts, front.state) == (1, "rolled_back")


def test_both_of_two_daemons_prove_it(slots: Slots) -> None:
    front, back = Run(slots, "front"), Run(slots, "back")
    front.see(30, seconds=11.0)
    back.see(30, seconds=11.0)
    front.see(1, seconds=2.0)
    assert (front.state, back.state, slots.standing().state) == ("confirmed",) * 3


def test_a_run_beside_the_daemon_touches_nothing(slots: Slots) -> None:
    before = (slots.store.path / "trial.json").read_bytes()
    settings = Settings(bundles=slots.store.path)
    probation = Probation(settings, is_kept=False).watch(Health(), lambda: None)
    with pytest.raises(BundleError), probation.loading():
        raise BundleError("damaged")
    for _ in range(5):
        probation.tick()
    assert (slots.store.path / "trial.json").read_bytes() == before
    assert probation.described()["state"] == "trial"


@pytest.mark.parametrize(
    "settings", [Settings(), Settings(bundle=Path("x"), bundles=Path("y")), Settings(bundles=Path("none"))]
)
def test_without_installed_bundles_nothing_happens(settings: Settings) -> None:
    probation = Probation(settings)
    probation.tick()
    assert probation.described() == {
        "version": None,
        "state": "confirmed",
        "previous": None,
        "reason": "",
        "since": None,
    }


def test_a_second_start_tells_it_once_as_a_warning(slots: Slots, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    Run(slots)
    for expected in (logging.WARNING, logging.INFO):
        caplog.clear()
        assert Run(slots).state == "rolled_back"
        assert [record.levelno for record in caplog.records if "was rolled back to one" in record.message] == [expected]


def test_a_damaged_record_is_told(slots: Slots, caplog: pytest.LogCaptureFixture) -> None:
    (slots.store.path / "trial.json").write_bytes(b"{")
    assert Run(slots).state == "confirmed"
    assert "not JSON" in caplog.text
