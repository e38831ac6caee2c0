"""The steps of a build: told as they go, each with its time."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

Log = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Step:
    """One step that ended well."""

    name: str
    seconds: float


@dataclass(slots=True)
class Steps:
    """Tells `log` of each step when it begins and when it ends."""

    log: Log
    done: list[Step] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    """What could not be made and need not be -> why."""

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[None]:
        """A step; one that fails is not among those done."""
        self.log(f"{len(self.done) + 1:>2}  {name} ...")
        started = time.monotonic()
        yield
        took = time.monotonic() - started
        self.done.append(Step(name, round(took, 2)))
        self.log(f"    {took:6.1f} s")

    def note(self, text: str) -> None:
        """A line about the step that is under way."""
        self.log(f"    {text}")

    def leave_out(self, what: str, why: str) -> None:
        """Something that cannot be made and need not be."""
        self.left_out[what] = why
        self.note(f"left out, {what}: {why}")
