"""The loop of every training: seeded by its step, checkpointed, resumed by the same command, and told as it goes."""

from __future__ import annotations

import json
import os
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from convert.train.torch_network import import_torch
from edge.errors import ModelError, UsageError

CHECKPOINT = "checkpoint.pt"
LOG = "log.jsonl"

Figures = Mapping[str, float]
Tell = Callable[[str], None]


class Task(Protocol):
    """What is trained. A step's chance comes from the seed and the step's number alone, so that a resumed run is the same run."""

    @property
    def settings(self) -> Mapping[str, Any]:
        """JSON-ready: what makes this run this run; a checkpoint of other settings is refused."""

    @property
    def steps(self) -> int:
        """How many there are."""

    def step(self, number: int) -> Figures:
        """Learn from one batch; losses and the like, and `pictures`, how many it saw."""

    def judge(self, number: int) -> Figures:
        """Figures on held-out pictures after so many steps, for the log; may be empty."""

    def state(self) -> Mapping[str, Any]:
        """Tensors, numbers and texts, all that `restore` needs."""

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from there."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How often a run speaks and saves."""

    tell_every: int = 50
    """Steps between two lines of the log, each the mean of the steps since the last."""
    judge_every: int = 1000
    checkpoint_every_s: float = 120.0


def run(task: Task, folder: Path, pace: Pace | None = None, *, tell: Tell | None = None) -> None:
    """Train from the checkpoint in `folder`, or from the beginning, to the last step.

    Interrupted, it loses what came after the last checkpoint and no more. UsageError where the checkpoint is of another run,
    ModelError where it is damaged.
    """
    pace, tell = pace or Pace(), tell or _told
    folder.mkdir(parents=True, exist_ok=True)
    done = _resumed(task, folder)
    log = _Log(folder / LOG, done, tell, task.steps)
    if done:
        tell(f"going on from step {done} of {task.steps}")
    saved = time.monotonic()
    for number in range(done, task.steps):
        log.add(task.step(number))
        after, last = number + 1, number + 1 == task.steps
        if after % pace.tell_every == 0 or last:
            log.write(after)
        if after % pace.judge_every == 0 or last:
            log.judged(after, task.judge(after))
        if last or time.monotonic() - saved > pace.checkpoint_every_s:
            _save(task, folder, after)
            saved = time.monotonic()


def read_log(folder: Path) -> list[dict[str, float]]:
    """The lines of a run's log, oldest first. UsageError where there is none, ModelError where it is damaged."""
    path = folder / LOG
    try:
        return [json.loads(line) for line in path.read_text().splitlines()]
    except OSError as error:
        raise UsageError("no log of a training", where=str(folder), hint="Give the folder of a run.") from error
    except ValueError as error:
        raise ModelError(f"a damaged log ({error})", where=str(path), expected="a JSON object a line") from error


@dataclass(slots=True)
class _Log:
    """Means since the last line, to a file and to whoever listens."""

    path: Path
    step: int
    tell: Tell
    steps: int
    sums: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    count: int = 0
    since: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        """Drop lines later than the checkpoint: those steps are taken again."""
        if self.path.exists():
            kept = [line for line in read_log(self.path.parent) if line["step"] <= self.step]
            self.path.write_text("".join(json.dumps(line) + "\n" for line in kept))

    def add(self, figures: Figures) -> None:
        for name, value in figures.items():
            self.sums[name] += float(value)
        self.count += 1

    def write(self, step: int) -> None:
        pictures, seconds = self.sums.pop("pictures", 0.0), time.monotonic() - self.since
        means = {name: value / self.count for name, value in self.sums.items()}
        speed = pictures / max(seconds, 1e-9)
        self._append({"step": step, "seconds": round(seconds, 2), "pictures_per_s": round(speed, 1), **means})
        self.sums.clear()
        self.count, self.since = 0, time.monotonic()

    def judged(self, step: int, figures: Figures) -> None:
        if figures:
            self._append({"step": step, **{name: float(value) for name, value in figures.items()}})
        self.since = time.monotonic()

    def _append(self, line: dict[str, float]) -> None:
        with self.path.open("a") as file:
            file.write(json.dumps({name: _short(value) for name, value in line.items()}) + "\n")
        shown = "  ".join(f"{name} {value:.4g}" for name, value in line.items() if name not in {"step", "seconds"})
        self.tell(f"{line['step']:>7.0f} of {self.steps}  {shown}")


def _short(value: float) -> float:
    return float(f"{value:.6g}")


def _save(task: Task, folder: Path, step: int) -> None:
    """All or nothing: a reader, or a run cut short, finds the old checkpoint or the new one."""
    torch = import_torch()
    new = folder / f".{CHECKPOINT}.new"
    with new.open("wb") as file:
        torch.save(
            {"settings": json.dumps(dict(task.settings), sort_keys=True), "step": step, "state": task.state()}, file
        )
        file.flush()
        os.fsync(file.fileno())
    new.replace(folder / CHECKPOINT)


def read_checkpoint(folder: Path) -> tuple[dict[str, Any], int, Mapping[str, Any]] | None:
    """(settings, steps done, state) of a run; None where it has not begun. ModelError where the file is damaged."""
    torch = import_torch()
    path = folder / CHECKPOINT
    if not path.exists():
        return None
    try:
        # Tensors and plain values only: nothing in the file is executed.
        found = torch.load(path, weights_only=True, map_location="cpu")
        return dict(json.loads(found["settings"])), int(found["step"]), found["state"]
    # A damaged archive fails in as many ways as it has parts.
    except Exception as error:
        hint = "Remove it to begin anew, or take it from a backup."
        raise ModelError(f"a damaged checkpoint ({error})", where=str(path), hint=hint) from error


def _resumed(task: Task, folder: Path) -> int:
    found = read_checkpoint(folder)
    if found is None:
        return 0
    settings, step, state = found
    wanted = json.loads(json.dumps(dict(task.settings)))
    differing = sorted(name for name in settings.keys() | wanted.keys() if settings.get(name) != wanted.get(name))
    if differing:
        was = ", ".join(f"{name} {settings.get(name)!r} (now {wanted.get(name)!r})" for name in differing)
        hint = "Give another folder, or the settings that it was begun with."
        raise UsageError(f"a training begun with {was}", where=str(folder), hint=hint)
    task.restore(state)
    return step


def _told(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()
