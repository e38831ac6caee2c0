"""The self-test of a bundle before it is switched to: on this very box, in a process of its own, with a face that is drawn."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge.bundle.folder import Bundle
from edge.config.settings import Settings
from edge.errors import BundleError

PROGRAM = ("-P", "-m", "edge.bundle.selftest_process")
START_S = 60.0
"""For Python, OpenCV and a runtime to be loaded from a slow card; frames have the budget on top of it."""
FRAMES = 12
SAME = 0.6
"""Least similarity of the drawn face to itself, mirrored and in half the size. Sound embedders give 0.89 and more."""
APART = 0.2
"""It is at least so much more like itself than noise is. Sound embedders give 0.75 and more; a network that answers always the same, 0."""
OVERLAP = 0.4
"""Least intersection over union of the box found with the one drawn; detectors disagree about foreheads."""
MAX_ANSWER_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class Report:
    """A self-test that was passed."""

    frame_ms: float
    """Median time of a frame with one face."""
    similarity: float
    noise_similarity: float


class SelfTest:
    """One that runs. `poll` it, or `wait`; `close` ends it at any time."""

    def __init__(
        self, settings: Settings, bundle: Bundle, *, program: Sequence[str] = PROGRAM, start_s: float = START_S
    ) -> None:
        """Starts it; `bundle` has been read, so its digests are right. `program` is what is run behind Python's name."""
        self._folder = str(bundle.folder)
        self._budget_ms = settings.updates.budget_ms
        self._limit_s = start_s + FRAMES * self._budget_ms / 1e3
        self._until_s = time.monotonic() + self._limit_s
        # Files, not pipes: whatever a library prints, nobody has to read along.
        self._told = tempfile.TemporaryFile()  # noqa: SIM115 - `close` does
        with tempfile.TemporaryFile() as asked:
            asked.write(json.dumps(_order(settings, bundle)).encode())
            asked.seek(0)
            self._process = subprocess.Popen(  # noqa: S603 - a program of our own
                [sys.executable, *program],
                stdin=asked, stdout=self._told, stderr=subprocess.DEVNULL, env=_environment(),
            )  # fmt: skip

    def poll(self) -> Report | None:
        """None while it runs; BundleError when it was not passed."""
        if self._process.poll() is None:
            if time.monotonic() < self._until_s:
                return None
            self.close()
            raise self._fault(f"gives no answer within {self._limit_s:.0f} s", "a result")
        return self._judged()

    def wait(self) -> Report:
        """Until there is a result."""
        while True:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(max(0.0, self._until_s - time.monotonic()))
            if (report := self.poll()) is not None:
                return report

    def close(self) -> None:
        """End it, when it still runs."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self._told.close()

    def _judged(self) -> Report:
        code = self._process.returncode
        if code < 0:
            name = signal.Signals(-code).name if -code in set(signal.Signals) else str(-code)
            raise self._fault(f"crashes this box's runtime ({name})", "files that it can load and run")
        self._told.seek(max(0, self._told.seek(0, os.SEEK_END) - MAX_ANSWER_BYTES))
        try:
            answer = json.loads(self._told.read().strip().rpartition(b"\n")[2])
        except ValueError:
            raise self._fault(f"ends with exit code {code}", "a result") from None
        if "error" in answer:
            raise BundleError(**answer["error"])
        return judge(answer, self._budget_ms, self._folder)

    def _fault(self, problem: str, expected: str) -> BundleError:
        return _not_passed(problem, expected, self._folder)


def _order(settings: Settings, bundle: Bundle) -> dict[str, Any]:
    order: dict[str, Any] = {"folder": str(bundle.folder.resolve())}
    for name in ("detect", "decide", "runtime"):
        order[name] = dataclasses.asdict(getattr(settings, name))
    return order


def self_test(settings: Settings, bundle: Bundle) -> Report:
    """Run it to its end. BundleError when the bundle does not pass."""
    running = SelfTest(settings, bundle)
    try:
        return running.wait()
    finally:
        running.close()


def judge(found: Mapping[str, Any], budget_ms: float, where: str) -> Report:
    """What the process has measured, against what it must be."""
    for name in ("faces", "faces_smaller"):
        if found.get(name) != 1:
            raise _not_passed(f"finds {found.get(name)} faces in a picture of one", "1", where)
    rows = (
        ("overlap", OVERLAP, "finds the face elsewhere (overlap {:.2f})"),
        ("similarity", SAME, "finds a face unlike itself (similarity {:.2f} in half the size, mirrored)"),
    )
    for name, least, problem in rows:
        value = float(found.get(name, math.nan))
        if not value >= least:
            raise _not_passed(problem.format(value), f"at least {least}", where)
    same, noise = float(found["similarity"]), float(found.get("noise_similarity", math.nan))
    if not same - noise >= APART:
        problem = f"tells a face from noise badly (similarity {same:.2f} and {noise:.2f})"
        raise _not_passed(problem, f"{APART} between them", where)
    frame_ms = float(found.get("frame_ms", math.nan))
    if not frame_ms <= budget_ms:
        raise _not_passed(f"takes {frame_ms:.0f} ms for a frame", f"at most updates.budget_ms, {budget_ms:g}", where)
    return Report(frame_ms, same, noise)


def _not_passed(problem: str, expected: str, where: str) -> BundleError:
    hint = "Nothing was switched. Was the bundle proved by `ostiary-convert` for this box's runtime? `ostiary check` names it."
    return BundleError(f"self-test: {problem}", where=where, expected=expected, hint=hint)


def _environment() -> dict[str, str]:
    """The same package in the child, from wherever this one was imported."""
    root = str(Path(__file__).resolve().parents[2])
    paths = [root, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
