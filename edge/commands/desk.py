"""Takes commands from the thread that hears them, and carries them out in the one to which the stages belong."""

from __future__ import annotations

import logging
import queue
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from edge.commands.arguments import VERBS
from edge.commands.gate import Gate, Order, Repeated
from edge.commands.journal import UNLOCKING
from edge.commands.refusal import RefusedError
from edge.commands.router import Commands, Handler, parse_switch
from edge.commands.verbs import RUN
from edge.commands.work import Job, Result, Work
from edge.errors import OstiaryError, OutboxError, UsageError
from edge.pipeline import FrameResult

MAX_WAITING = 16
"""Commands between the two threads; more are refused as `busy`."""
MAX_JOBS = 4
"""Commands in hand that take several frames."""

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Running:
    order: Order
    job: Job


class Desk:
    """An Attendant of the loop."""

    def __init__(self, work: Work, gate: Gate, router: Commands, *, reply_topic: Callable[[str], str]) -> None:
        """`reply_topic` gives the topic on which a verb is answered; `router` counts."""
        self._work = work
        self._gate = gate
        self._router = router
        self._reply_topic = reply_topic
        self._waiting: queue.Queue[Order] = queue.Queue(MAX_WAITING)
        self._running: list[_Running] = []
        self._is_closed = False

    # In the thread that hears commands.

    def handler(self, verb: str) -> Handler:
        """What the router calls."""
        return lambda payload: self._receive(verb, payload)

    def switch(self, payload: bytes) -> None:
        """`/enabled/set`. OFF is always obeyed, for it can open no door; ON as commands.unsigned has it."""
        is_on = parse_switch(payload)
        if is_on and UNLOCKING not in self._work.settings.commands.unsigned:
            raise RefusedError("unsigned", "ON needs a signed command (cmd/unlocking)")
        set_unlocking(self._work, is_on=is_on)
        self._router.count("obeyed")

    def _receive(self, verb: str, payload: bytes) -> None:
        try:
            admitted = self._gate.admit(verb, payload, is_full=self._is_closed or self._waiting.full())
        except RefusedError as refusal:
            if self._gate.may_answer():
                self._work.publisher.reply(self._reply_topic(verb), refusal.reply())
            raise
        if isinstance(admitted, Repeated):
            if self._gate.may_answer():
                self._work.publisher.reply(self._reply_topic(verb), admitted.reply)
            raise RefusedError("duplicate", "obeyed before; the first answer was told again")
        # There is room: only this thread puts anything in.
        self._waiting.put_nowait(admitted)

    # In the thread of the main loop.

    def seen(self, result: FrameResult) -> None:
        """See Attendant."""
        for running in list(self._running):
            self._advance(running, lambda job: job.seen(result))

    def tick(self) -> None:
        """See Attendant. One new command at a time, so that the camera does not wait for all of them."""
        for running in list(self._running):
            self._advance(running, lambda job: job.tick())
        try:
            order = self._waiting.get_nowait()
        except queue.Empty:
            return
        self._begin(order)

    def close(self) -> None:
        """The daemon ends: whoever still waits is told, and nobody is let in any more."""
        self._is_closed = True
        orders = [running.order for running in self._running]
        while not self._waiting.empty():
            orders.append(self._waiting.get_nowait())
        self._running.clear()
        for order in orders:
            self._refuse(order, RefusedError("interrupted", "this box is being stopped"))

    def _begin(self, order: Order) -> None:
        verb = order.request.verb
        made: Result | Job | None = None
        with _Outcome(self, order):
            waited_s = (self._work.clock.monotonic_ns() - order.accepted_ns) / 1e9
            if waited_s > self._work.settings.commands.freshness_s:
                raise RefusedError("stale", f"waited {waited_s:.0f} s for its turn")
            made = RUN[verb](self._work, order.request)
        if made is None:
            return
        if isinstance(made, Mapping):
            self._answer(order, made)
        elif len(self._running) >= MAX_JOBS or any(type(running.job) is type(made) for running in self._running):
            self._refuse(order, RefusedError("busy", f"another {verb} is being carried out; try again"))
        else:
            self._running.append(_Running(order, made))

    def _advance(self, running: _Running, step: Callable[[Job], Result | None]) -> None:
        if running not in self._running:
            return
        result: Result | None = None
        with _Outcome(self, running.order) as outcome:
            result = step(running.job)
        if result is not None:
            self._answer(running.order, result)
        if result is not None or outcome.has_failed:
            self._running.remove(running)

    def _answer(self, order: Order, result: Result) -> None:
        self._router.count("obeyed")
        signer = order.request.signer or "nobody's signature"
        log.info("command %s of %s (%s): done", order.request.verb, signer, order.request.request_id)
        self._tell(order, {"request_id": order.request.request_id, "ok": True, "result": dict(result)})

    def _refuse(self, order: Order, refusal: RefusedError) -> None:
        self._router.count(refusal.code)
        request = order.request
        log.warning("command %s (%s) refused: %s", request.verb, request.request_id, refusal.code)
        self._tell(order, refusal.about(request.request_id).reply())

    def _tell(self, order: Order, reply: dict[str, Any]) -> None:
        try:
            self._work.journal.answered(order.entry, reply)
        except OutboxError as error:
            # Told all the same; whoever asks again after a restart hears that it was interrupted.
            log.error("the reply is not kept: %s", error)  # noqa: TRY400 - the user needs no traceback
        self._work.publisher.reply(self._reply_topic(order.request.verb), reply)


class _Outcome:
    """Turns whatever a verb raises into its reply; a command must never end the daemon."""

    def __init__(self, desk: Desk, order: Order) -> None:
        self._desk = desk
        self._order = order
        self.has_failed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> bool:
        if error is None:
            return False
        if not isinstance(error, Exception):
            return False
        self.has_failed = True
        self._desk._refuse(self._order, refusal_of(error, self._order.request.verb))  # noqa: SLF001 - two halves of one thing
        return True


def refusal_of(error: Exception, verb: str) -> RefusedError:
    """What is told of an error; paths of this box stay here."""
    if isinstance(error, RefusedError):
        return error
    if isinstance(error, OstiaryError):
        told = f"{error.problem}; expected {error.expected}" if error.expected else error.problem
        return RefusedError("refused" if isinstance(error, UsageError) else "rejected", told)
    log.error("command %s failed", verb, exc_info=error)
    return RefusedError("failed", "failed for a reason that the log of this box tells")


def set_unlocking(work: Work, *, is_on: bool) -> None:
    """From now on and over a restart. What the disk does not take holds until the daemon ends."""
    try:
        work.journal.set_switch(UNLOCKING, is_on=is_on)
    except OutboxError as error:
        log.error("unlocking is %s until the next start only: %s", "on" if is_on else "off", error)  # noqa: TRY400
    work.publisher.set_enabled(is_on=is_on)


def listen(desk: Desk, router: Commands, topic_of: Callable[[str], str], enabled_set: str) -> None:
    """Let the router bring everything to the desk."""
    for verb, form in VERBS.items():
        router.on(topic_of(verb), desk.handler(verb), max_bytes=form.max_bytes)
    router.on(enabled_set, desk.switch)
