"""Switching, proving, going back: the rules one by one, and any sequence of them against a model."""

from __future__ import annotations

import json
import os
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from edge.bundle import MANIFEST_NAME, trial
from edge.bundle.slots import DIED, Slots
from edge.bundle.store import BundleStore
from edge.bundle.trial import Mark, this_run
from edge.errors import BundleError, UsageError

DEAD = Mark("another boot", 1, 1)
NAMES = ("one", "two", "three")


def made_slots(folder: Path) -> Slots:
    for name in NAMES:
        (folder / name).mkdir(parents=True)
        (folder / name / MANIFEST_NAME).write_text("{}", encoding="utf-8")
    return Slots(BundleStore(folder), now=lambda: 1000.0)


@pytest.fixture
def slots(tmp_path: Path) -> Slots:
    return made_slots(tmp_path / "bundles")


def confirmed(slots: Slots, name: str) -> None:
    slots.switch(name)
    slots.enter("door", this_run())
    assert slots.prove("door").state == "confirmed"


def test_a_first_update_is_tried_proved_and_gone_back_from(slots: Slots) -> None:
    assert slots.standing().active is None
    assert slots.switch("one", version=3) is None
    assert slots.enter("door", this_run()).is_on_trial
    now = slots.prove("door")
    assert (now.active, now.state, now.version, now.since) == ("one", "confirmed", 3, 1000.0)
    now = slots.roll_back("asked")
    assert (now.active, now.state, now.candidate, now.reason) == (None, "rolled_back", "one", "asked")
    assert not (slots.store.path / "active").is_symlink()
    with pytest.raises(UsageError, match="nothing before it is known"):
        slots.roll_back("asked")


def test_a_second_start_goes_back(slots: Slots) -> None:
    confirmed(slots, "one")
    slots.switch("two")
    assert slots.enter("door", DEAD).is_on_trial
    now = slots.enter("door", this_run())
    assert (now.active, now.state, now.reason) == ("one", "rolled_back", DIED)
    assert slots.enter("door", this_run()) == now
    # Where a rollback goes is as it was before all this.
    assert slots.store.previous_name() is None


def test_the_longest_name_of_a_device_is_known_again(slots: Slots) -> None:
    slots.switch("two")
    slots.enter("d" * 63, DEAD)
    assert slots.enter("d" * 63, this_run()).state == "rolled_back"


def test_the_same_process_that_begins_again_has_died_once(slots: Slots) -> None:
    slots.switch("two")
    slots.enter("door", this_run())
    assert slots.enter("door", this_run()).state == "rolled_back"


def test_a_second_daemon_of_one_name_does_not_roll_back_the_first(slots: Slots) -> None:
    parent = os.getppid()
    alive = Mark(this_run().boot_id, parent, trial._started(parent))
    slots.switch("two")
    assert slots.enter("door", alive).is_on_trial
    assert slots.enter("door", this_run()).is_on_trial
    gone = Mark(alive.boot_id, parent, alive.started + 1)
    assert not gone.is_another_alive()


def test_each_daemon_has_to_prove_it_and_one_that_fails_goes_back_for_all(slots: Slots) -> None:
    confirmed(slots, "one")
    slots.switch("two")
    for device in ("front", "back"):
        assert slots.enter(device, this_run()).is_on_trial
    assert slots.prove("front").is_on_trial
    # Its work is done: that it starts again is no fault of the bundle.
    assert slots.enter("front", this_run()).is_on_trial
    now = slots.fail("two", "it is slow")
    assert (now.active, now.reason) == ("one", "it is slow")
    slots.switch("two")
    for device in ("front", "back"):
        slots.enter(device, this_run())
    slots.prove("back")
    assert slots.prove("front").state == "confirmed"


def test_only_what_is_on_trial_fails(slots: Slots) -> None:
    confirmed(slots, "one")
    assert slots.fail("one", "late").active == "one"
    slots.switch("two")
    assert slots.fail("one", "of another").active == "two"


def test_what_has_not_proved_itself_is_nothing_to_go_back_to(slots: Slots) -> None:
    confirmed(slots, "one")
    slots.switch("two")
    assert slots.switch("three") == "one"
    assert slots.switch("one") is None
    assert slots.standing().previous is None


def test_switching_to_what_runs_changes_nothing(slots: Slots) -> None:
    confirmed(slots, "one")
    before = (slots.store.path / "trial.json").read_bytes()
    slots.switch("one")
    assert (slots.store.path / "trial.json").read_bytes() == before


def test_a_link_made_by_hand_is_obeyed(slots: Slots) -> None:
    confirmed(slots, "one")
    slots.switch("two")
    slots.fail("two", "it is slow")
    slots.store.activate("two")
    assert slots.enter("door", this_run()).active == "two"
    slots.store.activate("three")
    assert (slots.standing().active, slots.standing().state) == ("three", "confirmed")


def test_a_link_out_of_the_folder_can_be_gone_back_to(slots: Slots, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    (slots.store.path / "active").symlink_to(elsewhere)
    slots.switch("one")
    slots.enter("door", DEAD)
    assert slots.enter("door", this_run()).active == str(elsewhere)
    assert (slots.store.path / "active").readlink() == elsewhere


def test_needed_slots_stay(slots: Slots) -> None:
    confirmed(slots, "one")
    confirmed(slots, "two")
    slots.switch("three")
    assert slots.needed() >= {"one", "two", "three"}
    for name in NAMES:
        with pytest.raises(UsageError, match="is in use"):
            slots.remove(name)
    slots.enter("door", this_run())
    slots.prove("door")
    slots.remove("one")
    assert slots.store.names() == ["three", "two"]
    assert [path.name for path in slots.store.path.iterdir() if path.name.startswith(".")] == []


def test_a_removal_that_was_cut_is_finished(slots: Slots) -> None:
    (slots.store.path / ".removed-x" / "deep").mkdir(parents=True)
    slots.remove("one")
    assert not (slots.store.path / ".removed-x").exists()


def test_a_folder_that_cannot_be_locked(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="cannot be changed"):
        Slots(BundleStore(tmp_path / "none")).enter("door", this_run())


RECORD = {"schema": 1, "state": "trial", "candidate": "one", "since": 1.0}
RUN = {"boot_id": "b", "pid": 1, "started": 1}


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "not JSON"), (b"\xff\xfe", "not JSON"), (b"{", "not JSON"), (b"[" * 60_000, "not JSON"), (b"[]", "no object"), (b"null", "no object"),
        (b"1" * 5000, "not JSON"), (b" " * 70_000, "more than"), (b"{}", "schema"), (json.dumps({**RECORD, "schema": 2}).encode(), "schema"),
        *(
            (json.dumps({**RECORD, **change}).encode(), next(iter(change)))
            for change in (
                {"state": "other"}, {"candidate": "../x"}, {"candidate": None}, {"since": -1}, {"since": float("nan")},
                {"previous": ""}, {"previous": "a\0b"}, {"version": -1}, {"begun": {}}, {"begun": [{"device": "door"}]}, {"begun": [{"device": "door", "run": {**RUN, "pid": 0}}]},
                {"proved": "door"}, {"other": 1},
            )
        ),
    ],
)  # fmt: skip
def test_a_record_that_cannot_be_understood_counts_as_none(slots: Slots, content: bytes, problem: str) -> None:
    slots.store.activate("one")
    (slots.store.path / "trial.json").write_bytes(content)
    now = slots.enter("door", this_run())
    assert (now.active, now.state) == ("one", "confirmed")
    assert problem in now.problem
    slots.switch("two")
    assert slots.standing().problem == ""


@pytest.mark.parametrize("cut", range(0, 120, 17))
def test_a_truncated_record(slots: Slots, cut: int) -> None:
    slots.switch("one")
    path = slots.store.path / "trial.json"
    path.write_bytes(path.read_bytes()[:cut])
    assert slots.enter("door", this_run()).active == "one"


def test_the_record_can_be_read_by_the_service_whoever_wrote_it(slots: Slots) -> None:
    before = os.umask(0o077)
    try:
        slots.switch("one")
    finally:
        os.umask(before)
    assert stat.S_IMODE((slots.store.path / "trial.json").stat().st_mode) == 0o644


def test_a_reason_is_kept_short(slots: Slots) -> None:
    slots.switch("one")
    slots.fail("one", "x" * 100_000)
    assert len(slots.standing().reason) == trial.MAX_REASON


@dataclass
class Model:
    """What should be: told in words, not in files."""

    active: str | None = None
    previous: str | None = None
    trial_back: str | None = None
    is_on_trial: bool = False
    has_begun: bool = False


class Life(RuleBasedStateMachine):
    """Any sequence of switching, starting, proving, failing, rolling back and of a clock that jumps."""

    def __init__(self) -> None:
        super().__init__()
        self.scratch = tempfile.TemporaryDirectory()
        self.slots = made_slots(Path(self.scratch.name) / "bundles")
        self.model = Model()

    def teardown(self) -> None:
        self.scratch.cleanup()

    @rule(name=st.sampled_from(NAMES))
    def switch(self, name: str) -> None:
        self.slots.switch(name)
        model = self.model
        if name == model.active:
            return
        back = model.trial_back if model.is_on_trial else model.active
        if back == name:
            back = model.previous if model.previous != name else None
        self.model = Model(name, model.previous, back, is_on_trial=True)

    @rule()
    def start(self) -> None:
        now = self.slots.enter("door", DEAD)
        model = self.model
        if model.is_on_trial and model.has_begun:
            self.model = Model(model.trial_back, model.previous)
            assert now.state == "rolled_back"
        elif model.is_on_trial:
            model.has_begun = True
            assert now.is_on_trial
        else:
            assert not now.is_on_trial

    @precondition(lambda self: not self.model.is_on_trial or self.model.has_begun)
    @rule()
    def prove(self) -> None:
        self.slots.prove("door")
        model = self.model
        if model.is_on_trial:
            self.model = Model(model.active, model.trial_back)

    @rule()
    def fail(self) -> None:
        self.slots.fail(self.model.active, "it is slow")
        if self.model.is_on_trial:
            self.model = Model(self.model.trial_back, self.model.previous)

    @rule()
    def roll_back(self) -> None:
        model = self.model
        target = model.trial_back if model.is_on_trial else model.previous
        if model.active is None or target == model.active:
            with pytest.raises(UsageError):
                self.slots.roll_back("asked")
            return
        self.slots.roll_back("asked")
        self.model = Model(target, model.previous)

    @rule(name=st.sampled_from(NAMES))
    def half_switch(self, name: str) -> None:
        """Cut between the record and the link: the next step knows nothing of it."""
        if name == self.model.active or self.model.is_on_trial:
            return
        trial.write(self.slots.store, trial.Record(1, "trial", name, 0.0, self.model.active))
        assert self.slots.standing().active == self.model.active

    @invariant()
    def what_runs_is_what_should(self) -> None:
        now = self.slots.standing()
        assert (now.active, now.is_on_trial) == (self.model.active, self.model.is_on_trial)
        assert now.active in (None, *NAMES)
        assert {path.name for path in self.slots.store.path.iterdir()} <= {*NAMES, "active", "previous", "trial.json"}


Life.TestCase.settings = hypothesis_settings(max_examples=8, stateful_step_count=12, deadline=None)
TestLife = Life.TestCase
