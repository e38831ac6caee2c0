"""Cuts an update of trusted metadata at every system call that writes.

    python -m tests.faults.cut_trust             every cut
    python -m tests.faults.cut_trust --every 9   each ninth

Traced and killed by tests.faults.traced. Whatever is cut when, the box can say of its bundle that it may run, an older
state of the repository stays refused once the newer was seen whole, and the same update succeeds afterwards. For a power cut, which
also takes what only the kernel's memory had, a log is looked through: what `current` names must be on disk before it is named.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edge.bundle.trust import Trust
from edge.errors import BundleError, OstiaryError
from tests.faults.traced import Call, traced
from tests.support.repositories import Owner, copied, tiny_bundle

OLD, NEW = "door-1", "door-2"


@dataclass(frozen=True, slots=True)
class Box:
    """Trusts OLD; a repository offers NEW, under new keys of every role."""

    folder: Path

    @property
    def trust(self) -> Trust:
        return Trust(self.folder / "trust", device="front", state=self.state)

    @property
    def state(self) -> Path:
        return self.folder / "state"

    def prepare(self, owner: Owner, *, is_first: bool) -> None:
        owner.add(tiny_bundle(self.folder / OLD, OLD), version=1)
        owner.publish(self.folder / "repository")
        owner.trust(self.folder / "trust")
        if not is_first:
            self.update()
        copied(self.folder / "repository", self.folder / "before")
        owner.add(tiny_bundle(self.folder / NEW, NEW), version=2)
        owner.rotate("root", "targets")
        owner.publish(self.folder / "repository")

    def update(self) -> None:
        self.trust.offers(str(self.folder / "repository"))


def prepared(folder: Path, *, is_first: bool) -> Box:
    """A box before the update."""
    box = Box(folder)
    folder.mkdir(parents=True)
    box.prepare(Owner(), is_first=is_first)
    return box


def listed(box: Box) -> list[str]:
    """Bundles in force, newest first; none before the first update."""
    try:
        found = [one.bundle_id for one in box.trust.offers()]
    except BundleError as error:
        if error.problem != "no signed list of bundles yet":
            raise
        return []
    for name in found:
        box.trust.check(box.folder / name)
    return found


def judge(box: Box, *, is_first: bool) -> list[str]:
    """What is wrong after a cut."""
    faults = []
    try:
        found = listed(box)
        if found not in ([] if is_first else [OLD], [NEW, OLD]):
            faults.append(f"in force: {found}")
        if found == [NEW, OLD]:
            faults += _rolled_back(box)
        box.update()
        if listed(box) != [NEW, OLD]:
            faults.append(f"repeated, in force: {listed(box)}")
    except OstiaryError as error:
        faults.append(str(error))
    left = {path.name for path in box.state.iterdir()} - {"lock", "current"}
    if len(left) > 2:
        faults.append(f"left: {sorted(left)}")
    return faults


def _rolled_back(box: Box) -> list[str]:
    try:
        box.trust.offers(str(box.folder / "before"))
    except BundleError:
        return []
    return ["an older state was taken"]


def unsynced(calls: Sequence[Call], state: Path) -> list[str]:
    """Paths of the new generation that were not on disk when `current` came to name it, and what never was."""
    dirty: set[Path] = set()
    faults: list[str] = []
    turned = False
    for call in calls:
        if not call.changes(state):
            continue
        first, last = (Path(path) for path in (call.paths[0], call.paths[-1]))
        if call.name == "fsync":
            dirty.discard(first)
        elif call.name in {"write", "sendfile"}:
            dirty.add(first)
        elif call.name == "rename":
            if last == state / "current":
                faults += [
                    f"{path} is not on disk" for path in sorted(dirty) if path.is_relative_to(state) and path.exists()
                ]
                turned = True
            dirty = {last if path == first else path for path in dirty} | {first.parent, last.parent}
        elif call.name in {"unlink", "rmdir", "unlinkat"}:
            # What goes may stay: it is nobody's then.
            dirty.discard(last)
        elif call.name in {"mkdir", "symlink", "openat"}:
            # A name that is hidden is nobody's until it is renamed.
            dirty |= set() if last.name.startswith(".") else {last.parent}
    if not turned:
        faults.append("current never came to name it")
    return faults + [f"{path} is never on disk" for path in sorted(dirty) if path == state]


def campaign(every: int) -> tuple[Counter[str], list[str]]:
    """How often each call was cut, and all that was wrong."""
    counts: Counter[str] = Counter()
    faults: list[str] = []
    with tempfile.TemporaryDirectory(prefix="ostiary-cuts-") as name:
        folder = Path(name)
        for is_first in (True, False):
            warm = prepared(folder / f"warm {is_first}", is_first=is_first)
            warm.update()
            plain = prepared(folder / f"plain {is_first}", is_first=is_first)
            status, calls, _ = traced(plain.folder / "strace.log", [plain.update])
            faults += [f"order: {one}" for one in [*unsynced(calls, plain.state), *([] if status == 0 else ["fails"])]]
            changing = [call for call in calls if call.changes(plain.state)]
            for position, call in enumerate(changing):
                if position % every == 0:
                    faults += _cut(call, folder / f"{is_first} {position}", is_first=is_first)
                    counts[call.name] += 1
    return counts, faults


def _cut(call: Call, folder: Path, *, is_first: bool) -> list[str]:
    box = prepared(folder, is_first=is_first)
    status, _, _ = traced(box.folder / "strace.log", [box.update], f"{call.name}:signal=KILL:when={call.number}")
    found = judge(box, is_first=is_first) if os.WIFSIGNALED(status) else [f"was not cut: ends with {status}"]
    shutil.rmtree(folder)
    return [f"{call.name} {call.number} ({call.text}): {one}" for one in found]


def main() -> int:
    """Exit 1 when anything was wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--every", type=int, default=1, metavar="N", help="only each Nth cut (default: all)")
    started = time.monotonic()
    counts, faults = campaign(parser.parse_args().every)
    took_s = time.monotonic() - started
    summary = f"{counts.total()} cuts in {took_s:.0f} s: " + ", ".join(f"{n} {c}" for n, c in counts.most_common())
    sys.stdout.write("\n".join([summary, *(f"FAULT {fault}" for fault in faults)]) + "\n")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
