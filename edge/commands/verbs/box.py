"""Verbs about the box itself."""

from __future__ import annotations

from edge.commands import arguments
from edge.commands.journal import UNLOCKING
from edge.commands.refusal import RefusedError
from edge.commands.request import Request
from edge.commands.work import Job, Result, Work
from edge.datatypes import Box
from edge.errors import OutboxError
from edge.loop import snapshot_jpeg
from edge.pipeline import FrameResult

SNAPSHOT_TIMEOUT_S = 5.0


def restart(work: Work, request: Request) -> Result:  # noqa: ARG001 - every verb is called alike
    """After this answer the daemon ends as it would at a signal, and begins again."""
    work.restart()
    return {"restarting": True}


def unlocking(work: Work, request: Request) -> Result:
    """Over a restart, too. What the disk does not take is not said to be done."""
    asked: arguments.Switch = request.arguments
    try:
        work.journal.set_switch(UNLOCKING, is_on=asked.on)
    except OutboxError as error:
        if not asked.on:
            # At least until the next start.
            work.publisher.set_enabled(is_on=False)
        raise RefusedError("unavailable", f"the journal of commands {error.problem}") from error
    work.publisher.set_enabled(is_on=asked.on)
    return {"on": asked.on}


def snapshot(work: Work, request: Request) -> Job:  # noqa: ARG001 - every verb is called alike
    """The next frame, whole, on `/snapshot`."""
    if not work.settings.publish.snapshot:
        raise RefusedError("unavailable", "publish.snapshot is off on this box")
    return _Snapshot(work)


class _Snapshot:
    def __init__(self, work: Work) -> None:
        self._work = work
        self._until_ns = work.clock.monotonic_ns() + int(SNAPSHOT_TIMEOUT_S * 1e9)

    def seen(self, result: FrameResult) -> Result | None:
        frame = result.frame
        whole = Box(0.0, 0.0, float(frame.width), float(frame.height))
        jpeg = snapshot_jpeg(frame.image, whole, self._work.settings.publish.snapshot_px)
        self._work.publisher.snapshot(jpeg)
        return {"bytes": len(jpeg)}

    def tick(self) -> Result | None:
        if self._work.clock.monotonic_ns() > self._until_ns:
            raise RefusedError("timeout", f"the camera gave no frame for {SNAPSHOT_TIMEOUT_S:g} s")
        return None
