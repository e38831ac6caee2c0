"""Cuts a process at every system call that writes, while a bundle is installed, activated, proved, and rolled back.

    python -m tests.faults.cut_activation             every cut
    python -m tests.faults.cut_activation --only rename --every 4

A process that has everything imported is forked for each cut; strace attaches to the fork and kills it when it enters the Nth call of
one kind, before the kernel has done it. Then the folder of bundles is looked at as a start of the daemon would find it, the daemon's
rules are applied, and what was cut is done again. A kill leaves what was written in the kernel's memory, a power cut does not: what may
be lost then is judged by the order of fsync(2) and rename(2) in the log of a run that is not cut (`order_faults`).
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from edge.bundle import Bundle, load_bundle, trial
from edge.bundle.activation import Activation, roll_back
from edge.bundle.install import install
from edge.bundle.selftest import Report
from edge.bundle.slots import Slots, Standing
from edge.bundle.store import BundleStore
from edge.bundle.trial import Mark
from edge.config.settings import Settings
from tests.faults.traced import Call, order_faults, traced
from tests.support.bundles import make_bundle

OLD, NEW, DEVICE = "old", "new", "door"
DEAD = Mark("another boot", 1, 1)
"""A run of before, that did not end well."""


class Passed:
    """A self-test that is passed at once: what it computes writes nothing."""

    def __init__(self, settings: Settings, bundle: Bundle) -> None:
        pass

    def poll(self) -> Report | None:
        return self.wait()

    def wait(self) -> Report:
        return Report(1.0, 1.0, 0.0)

    def close(self) -> None:
        pass


@dataclass(frozen=True, slots=True)
class Box:
    """A folder of bundles, and where new ones come from."""

    folder: Path

    @property
    def settings(self) -> Settings:
        return Settings(bundles=self.folder / "bundles", gallery=self.folder / "gallery.sqlite")

    @property
    def slots(self) -> Slots:
        return Slots(BundleStore(self.folder / "bundles"))

    def install(self) -> None:
        install(self.settings, str(self.folder / "stick" / NEW))

    def activate(self) -> None:
        Activation(self.settings, NEW, start_test=Passed).wait()

    def start(self) -> Standing:
        return self.slots.enter(DEVICE, DEAD)

    def prove(self) -> Standing:
        return self.slots.prove(DEVICE)

    def roll_back(self) -> None:
        roll_back(self.settings)

    def fail(self) -> None:
        self.slots.fail(NEW, "it is slow")


Step = Callable[[Box], object]
UPDATE: tuple[Step, ...] = (Box.install, Box.activate, Box.start, Box.prove)


@dataclass(frozen=True, slots=True)
class Scenario:
    """`before` is done undisturbed, `steps` are cut. Slots: `old` is None for the package's own bundle."""

    name: str
    old: str | None
    before: tuple[Step, ...]
    steps: tuple[Step, ...]
    ends_with: str | None
    """What is active when all went well."""

    def prepared(self, folder: Path) -> Box:
        for name in (OLD, NEW):
            source = make_bundle(
                folder / "stick" / name,
                detector_file=Path(__file__),
                overrides={"bundle_id": name, "description": name},
            )
            if name == self.old:
                shutil.copytree(source, folder / "bundles" / name)
        (folder / "bundles").mkdir(exist_ok=True)
        box = Box(folder)
        if self.old is not None:
            box.slots.store.activate(self.old)
        for step in self.before:
            step(box)
        return box


SCENARIOS = (
    Scenario("first update", None, (), UPDATE, NEW),
    Scenario("update", OLD, (), UPDATE, NEW),
    Scenario("rollback", OLD, UPDATE, (Box.roll_back,), OLD),
    Scenario("rollback to the package's own", None, UPDATE, (Box.roll_back,), None),
    Scenario("rollback at a second start", OLD, UPDATE[:3], (Box.start,), OLD),
    Scenario("rollback of what is slow", OLD, UPDATE[:3], (Box.fail,), OLD),
)


def _run(box: Box, steps: Sequence[Step], *inject: str) -> tuple[int, list[Call], int]:
    return traced(box.folder / "strace.log", [lambda step=step: step(box) for step in steps], *inject)  # type: ignore[misc]


def judge(scenario: Scenario, box: Box, done: int) -> list[str]:
    """What is wrong with a folder as a cut has left it, `done` steps after the beginning."""
    faults, store = [], box.slots.store
    active = store.active_name()
    reached = [step.__name__ for step in scenario.steps[:done]]
    faults += [f"{name} is to be seen" for name in _visible(box) - {OLD, NEW, "active", "previous", "trial.json"}]
    for name in store.names():
        load_bundle(store.path / name)
    if active not in {scenario.old, NEW}:
        faults.append(f"{active} is active")
    if active == NEW and scenario.steps is UPDATE and "install" not in reached:
        faults.append("active before it is installed")
    if trial.read(store)[1]:
        faults.append("trial.json cannot be read")
    now = box.start()
    if now.active not in {scenario.old, NEW}:
        faults.append(f"{now.active} runs")
    if now.active == NEW and now.state == "confirmed" and scenario.steps is UPDATE and "start" not in reached:
        faults.append("confirmed without having run")
    if now.active == NEW and now.state == "trial" and now.previous != scenario.old:
        faults.append(f"on trial, and goes back to {now.previous}")
    if now.active == scenario.old and {"prove"} & set(reached):
        faults.append("rolled back although it was confirmed")
    if scenario.steps is not UPDATE and scenario.before == UPDATE[:3] and now.active == NEW:
        faults.append("a trial that had begun was begun again")
    return faults + _repeated(scenario, box)


def _repeated(scenario: Scenario, box: Box) -> list[str]:
    """The same once more, undisturbed."""
    if scenario.steps is UPDATE:
        for step in (Box.install, Box.activate, _fresh_start, Box.prove):
            step(box)
    elif box.slots.store.active_name() == NEW:
        box.roll_back()
    now = box.slots.standing()
    faults = []
    if now.active != scenario.ends_with or (scenario.steps is UPDATE and now.state != "confirmed"):
        faults.append(f"repeated, it ends with {now}")
    if scenario.steps is UPDATE and box.slots.store.previous_name() != scenario.old:
        faults.append(f"repeated, a rollback goes to {box.slots.store.previous_name()}")
    left = {path.name for path in box.slots.store.path.iterdir() if path.name.startswith(".")}
    return faults + [f"repeated, {name} is left" for name in left]


def _fresh_start(box: Box) -> Standing:
    """As another device that shares the folder: the first start on it."""
    record, _ = trial.read(box.slots.store)
    if record is not None:
        trial.write(box.slots.store, dataclasses.replace(record, begun=()))
    return box.start()


def _visible(box: Box) -> set[str]:
    return {path.name for path in box.slots.store.path.iterdir() if not path.name.startswith(".")}


def cuts_of(scenario: Scenario, scratch: Path) -> tuple[list[Call], list[str]]:
    """Every call at which to cut, and what is wrong with the order of a run that was not."""
    box = scenario.prepared(scratch)
    status, calls, done = _run(box, scenario.steps)
    if status != 0 or done != len(scenario.steps):
        raise RuntimeError(f"{scenario.name}: ends with {status} after {done} steps, without a cut")
    folder = box.folder / "bundles"
    faults = order_faults(calls, folder)
    if (active := box.slots.store.active_name()) != scenario.ends_with:
        faults.append(f"without a cut it ends with {active}")
    return [call for call in calls if call.changes(folder)], faults


def cut(scenario: Scenario, call: Call, scratch: Path) -> list[str]:
    """Kill it there, and look."""
    box = scenario.prepared(scratch)
    status, _, done = _run(box, scenario.steps, f"{call.name}:signal=KILL:when={call.number}")
    if not os.WIFSIGNALED(status):
        return [f"was not cut: ends with {status}"]
    return judge(scenario, box, done)


def campaign(every: int, only: str = "", scenarios: Sequence[Scenario] = SCENARIOS) -> tuple[Counter[str], list[str]]:
    """How often each call was cut, and all that was wrong. `only` names the calls that are cut by their beginning."""
    counts: Counter[str] = Counter()
    faults = []
    with tempfile.TemporaryDirectory(prefix="ostiary-cuts-") as name:
        folder = Path(name)
        # Whatever is imported late is imported now: the same calls then follow in every fork.
        for scenario in scenarios:
            box = scenario.prepared(folder / f"warm {scenario.name}")
            for step in scenario.steps:
                step(box)
        for scenario in scenarios:
            calls, wrong = cuts_of(scenario, folder / scenario.name)
            faults += [f"{scenario.name}: {fault}" for fault in wrong]
            for call in [call for call in calls if call.name.startswith(only)][::every]:
                scratch = folder / f"{scenario.name}, {call.name} {call.number}"
                found = cut(scenario, call, scratch)
                faults += [f"{scratch.name} ({call.text}): {one}" for one in found]
                shutil.rmtree(scratch)
                counts[call.name] += 1
    return counts, faults


def main() -> int:
    """Exit 1 when anything was wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--every", type=int, default=1, metavar="N", help="only each Nth cut (default: all)")
    parser.add_argument("--only", default="", metavar="CALL", help="only those whose name begins so: rename")
    args, started = parser.parse_args(), time.monotonic()
    counts, faults = campaign(args.every, args.only)
    cuts = ", ".join(f"{name} {count}" for name, count in counts.most_common())
    sys.stdout.write(f"{counts.total()} cuts in {time.monotonic() - started:.0f} s: {cuts}\n")
    sys.stdout.writelines(f"FAULT {fault}\n" for fault in faults)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
