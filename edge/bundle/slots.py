"""Which slot runs, and how it came to: switching, proving, going back. Every step survives a power cut between any two writes.

    switch    trial.json says `trial`        -> link `active` is turned
    prove     trial.json says `confirmed`    -> link `previous` is turned
    go back   trial.json says `rolling_back` -> link `active` is turned -> trial.json says `rolled_back`

The file is always the first to know, so that a start can tell what was cut: `enter` finishes or forgets it.

Several daemons may share the folder (one a camera). A trial is the folder's: each daemon that has begun it has to prove it
before it counts as proved, and the first that fails goes back for all; the others notice (`is_over`) and begin again.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

from edge.bundle import trial
from edge.bundle.store import OWN, BundleStore
from edge.bundle.trial import CONFIRMED, ON_TRIAL, ROLLED_BACK, ROLLING_BACK, SCHEMA, Begun, Mark, Record
from edge.errors import UsageError
from edge.timebase import wall_clock

DIED = "it was cut off, died or was restarted before it had proved itself"


@dataclass(frozen=True, slots=True)
class Standing:
    """How the folder stands."""

    active: str | None
    """Slot in use; None for the package's own bundle."""
    previous: str | None
    """Slot that a rollback goes to; None for the package's own."""
    state: str
    """trial, confirmed or rolled_back."""
    candidate: str | None = None
    """Slot that was switched to last."""
    version: int | None = None
    """Of the active one, where its signature told one."""
    reason: str = ""
    """Why it was rolled back."""
    since: float | None = None
    """Unix seconds."""
    problem: str = ""
    """What is wrong with trial.json."""

    @property
    def is_on_trial(self) -> bool:
        """Whether what is in use has yet to prove itself."""
        return self.state == ON_TRIAL


class Slots:
    """The steps. BundleError when the folder cannot be written."""

    def __init__(self, store: BundleStore, *, now: Callable[[], float] = wall_clock) -> None:
        self.store = store
        self._now = now

    def standing(self) -> Standing:
        """As it is; changes nothing and needs no lock."""
        record, problem = trial.read(self.store)
        active, previous = self.store.active_name(), self.store.previous_name()
        if record is not None and record.candidate == active and record.state in {ON_TRIAL, CONFIRMED}:
            return Standing(
                active, record.previous, record.state, record.candidate, record.version, "", record.since, problem
            )
        if record is not None and record.state in {ROLLED_BACK, ROLLING_BACK} and record.previous == active:
            return Standing(active, previous, ROLLED_BACK, record.candidate, None, record.reason, record.since, problem)
        return Standing(active, previous, CONFIRMED, problem=problem)

    def switch(self, name: str, *, version: int | None = None) -> str | None:
        """Let `name` run from the next start on, on trial; gives the slot that it goes back to. Nothing when it runs already."""
        folder = self.store.folder(name)
        with self.store.locked():
            self._settle()
            now = self.standing()
            if now.active == name:
                return now.previous
            # What has not proved itself is nothing to go back to, and nothing goes back to itself.
            ways = (now.previous if now.is_on_trial else now.active, self.store.previous_name())
            good = next((way for way in ways if way != name), None)
            trial.write(self.store, Record(SCHEMA, ON_TRIAL, folder.name, self._since(), good, version))
            self.store.activate(name)
            return good

    def enter(self, device: str, run: Mark) -> Standing:
        """A daemon starts: what was cut is finished, a trial is begun, and one that did not end well is rolled back."""
        with self.store.locked():
            self._settle()
            record, _ = trial.read(self.store)
            if record is None or record.state != ON_TRIAL or device in record.proved:
                return self.standing()
            mark = record.run_of(device)
            if mark is None:
                trial.write(self.store, dataclasses.replace(record, begun=(*record.begun, Begun(device, run))))
            elif not mark.is_another_alive():
                self._go_back(record, DIED)
            return self.standing()

    def prove(self, device: str) -> Standing:
        """It has run long enough on this device. Confirmed when that is so on every device that has begun the trial."""
        with self.store.locked():
            record, _ = trial.read(self.store)
            if record is None or record.state != ON_TRIAL or record.candidate != self.store.active_name():
                return self.standing()
            proved = tuple(sorted({*record.proved, device}))
            if record.is_proved_by(frozenset(proved)):
                good = dataclasses.replace(record, state=CONFIRMED, proved=proved, since=self._since())
                trial.write(self.store, good)
                self.store.keep_previous(record.previous)
            elif proved != record.proved:
                trial.write(self.store, dataclasses.replace(record, proved=proved))
            return self.standing()

    def fail(self, candidate: str | None, reason: str) -> Standing:
        """Roll back what is on trial, if that is still `candidate`."""
        with self.store.locked():
            self._settle()
            record, _ = trial.read(self.store)
            if record is not None and record.state == ON_TRIAL and record.candidate == candidate:
                self._go_back(record, reason)
            return self.standing()

    def target(self) -> str | None:
        """The slot that `roll_back` would go to, None for the package's own; UsageError when there is nothing to go back to."""
        now = self.standing()
        if now.active is None or now.active == now.previous:
            what = OWN if now.active is None else f"bundle {now.active!r}"
            hint = "`ostiary bundle activate NAME` switches to any other that is installed."
            raise UsageError(
                f"{what} is in use, and nothing before it is known", where=str(self.store.path),
                expected="a bundle to go back to", hint=hint,
            )  # fmt: skip
        return now.previous

    def roll_back(self, reason: str) -> Standing:
        """Somebody asks for it; UsageError when there is nothing to go back to."""
        with self.store.locked():
            self._settle()
            target, record = self.target(), trial.read(self.store)[0]
            active = self.store.active_name()
            is_known = record is not None and record.candidate == active and record.state in {ON_TRIAL, CONFIRMED}
            if record is None or not is_known:
                record = Record(SCHEMA, CONFIRMED, str(active), 0.0, target)
            self._go_back(record, reason)
            return self.standing()

    def needed(self) -> frozenset[str | None]:
        """Slots that are in use, or to go back to."""
        now = self.standing()
        return frozenset({now.active, now.previous, self.store.previous_name()})

    def remove(self, name: str) -> None:
        """Take a slot away; UsageError for one that is needed."""
        with self.store.locked():
            self._settle()
            if name in self.needed():
                hint = "What runs and what a rollback goes to are kept: activate another first."
                raise UsageError(
                    f"bundle {name!r} is in use", where=str(self.store.path), expected="another", hint=hint
                )
            self.store.remove(name)

    def _settle(self) -> None:
        """Finish what was cut between two writes."""
        record, _ = trial.read(self.store)
        if record is None:
            return
        is_active = record.candidate == self.store.active_name()
        if record.state == ON_TRIAL and not is_active:
            # Cut before the switch: nobody has ever run it.
            trial.forget(self.store)
        elif record.state == ROLLING_BACK:
            self._turn_back(record)
        elif record.state == CONFIRMED and is_active and self.store.previous_name() != record.previous:
            self.store.keep_previous(record.previous)

    def _go_back(self, record: Record, reason: str) -> None:
        back = dataclasses.replace(record, state=ROLLING_BACK, reason=reason, since=self._since())
        trial.write(self.store, back)
        self._turn_back(back)

    def _turn_back(self, record: Record) -> None:
        if self.store.active_name() == record.candidate:
            self.store.turn(record.previous)
        trial.write(self.store, dataclasses.replace(record, state=ROLLED_BACK))

    def _since(self) -> float:
        # A box without a clock may believe itself before 1970.
        return max(0.0, self._now())
