"""`trial.json`: how the last switch to another bundle stands. Written whole and durably, read with suspicion."""

from __future__ import annotations

import dataclasses
import json
import os
from dataclasses import dataclass
from pathlib import Path

from edge.bundle.durable import replace_file, sync_folder
from edge.bundle.store import NAME, TRIAL, BundleStore
from edge.timebase import boot_id
from edge.validation import build, setting

SCHEMA = 1
MAX_BYTES = 65_536
MAX_REASON = 500

ON_TRIAL = "trial"
CONFIRMED = "confirmed"
ROLLING_BACK = "rolling_back"
"""Decided, and perhaps not done: the link is still to be turned, or to be looked at."""
ROLLED_BACK = "rolled_back"


@dataclass(frozen=True, slots=True)
class Mark:
    """A run of a daemon, told from every other: of this boot, this process."""

    boot_id: str = setting(doc="of the kernel", pattern=r".{1,64}")
    pid: int = setting(doc="of the process", minimum=1)
    started: int = setting(doc="when it began, in the kernel's ticks since the boot", minimum=0)

    def is_another_alive(self) -> bool:
        """Whether that run goes on in another process: two daemons of one name, and the first has not died."""
        return self.boot_id == boot_id() and self.pid != os.getpid() and _started(self.pid) == self.started


@dataclass(frozen=True, slots=True)
class Begun:
    """A trial that was begun on a device."""

    device: str = setting(doc="its name", pattern=r".{1,64}")
    run: Mark = setting(doc="the run that began it")


@dataclass(frozen=True, slots=True)
class Record:
    """The whole of trial.json."""

    schema: int = setting(doc="version of this format", choices=(SCHEMA,))
    state: str = setting(doc="how it stands", choices=(ON_TRIAL, CONFIRMED, ROLLING_BACK, ROLLED_BACK))
    candidate: str = setting(doc="slot that was switched to", pattern=NAME)
    since: float = setting(doc="when it came to stand so, Unix seconds", minimum=0)
    previous: str | None = setting(
        None,
        doc="what `active` named before, to go back to; none for the package's own bundle",
        pattern=r"[^\0]{1,4095}",
    )
    version: int | None = setting(None, doc="of the candidate, where its signature tells one", minimum=0)
    reason: str = setting("", doc="why it was rolled back")
    begun: tuple[Begun, ...] = setting((), doc="devices on which the trial has begun, each once")
    proved: tuple[str, ...] = setting((), doc="devices on which it has proved itself")

    def run_of(self, device: str) -> Mark | None:
        """The run that began the trial there."""
        return next((one.run for one in self.begun if one.device == device), None)

    def is_proved_by(self, devices: frozenset[str]) -> bool:
        """Whether these are all on which it has begun."""
        return {one.device for one in self.begun} <= devices


def this_run() -> Mark:
    """The mark of this process. It is kept when the program begins again in the same process (edge/again.py)."""
    return Mark(boot_id(), os.getpid(), _started(os.getpid()))


def read(store: BundleStore) -> tuple[Record | None, str]:
    """What is there, and what is wrong with it; none when there is none or it cannot be understood. Never raises."""
    path = store.path / TRIAL
    try:
        with path.open("rb") as handle:
            raw = handle.read(MAX_BYTES + 1)
    except FileNotFoundError:
        return None, ""
    except OSError as error:
        return None, f"{path}: cannot be read ({error.strerror}); what runs counts as proved"
    return _parsed(path, raw)


def write(store: BundleStore, record: Record) -> None:
    """Durably: on disk when this returns. BundleError when it cannot be written."""
    kept = dataclasses.replace(record, reason=record.reason[:MAX_REASON])
    text = json.dumps(dataclasses.asdict(kept), indent=1) + "\n"
    with store.writing():
        replace_file(store.path / TRIAL, text.encode())


def forget(store: BundleStore) -> None:
    """Likewise, that there is none."""
    with store.writing():
        (store.path / TRIAL).unlink(missing_ok=True)
        sync_folder(store.path)


def _parsed(path: Path, raw: bytes) -> tuple[Record | None, str]:
    told = "; expected how the last switch of bundles stands. What runs counts as proved"
    if len(raw) > MAX_BYTES:
        return None, f"{path}: more than {MAX_BYTES} bytes{told}"
    try:
        data = json.loads(raw)
    except (ValueError, RecursionError) as error:
        return None, f"{path}: not JSON ({type(error).__name__}){told}"
    if not isinstance(data, dict):
        return None, f"{path}: no object{told}"
    record, faults = build(Record, data)
    return record, "" if record is not None else f"{path}: {faults[0]}{told}"


def _started(pid: int) -> int:
    """Field 22 of /proc/PID/stat (proc(5)); 0 where there is no such process. The name before it may hold anything."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
        return int(text.rpartition(")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return 0
