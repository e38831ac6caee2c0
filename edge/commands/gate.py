"""What a command must pass before anything is done, in the thread that receives it.

The order is chosen so that a stranger can use up nothing of an owner's: who signed is found out before anything is
counted against a rate, every key has a rate of its own, and ids of requests belong to their signer.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from edge.commands.arguments import VERBS
from edge.commands.bucket import Bucket
from edge.commands.journal import Before, Entry, Journal
from edge.commands.refusal import RefusedError
from edge.commands.request import Envelope, Request, parse_request, read_envelope, read_object, request_id_of
from edge.commands.signature import KeyRing
from edge.config.settings import Commands
from edge.errors import OutboxError
from edge.timebase import Clock, clock_synced, rfc3339


@dataclass(frozen=True, slots=True)
class Order:
    """A command that is to be obeyed."""

    request: Request
    entry: Entry
    accepted_ns: int


@dataclass(frozen=True, slots=True)
class Repeated:
    """A command that was obeyed before, and what was answered then."""

    reply: Mapping[str, Any]


class Gate:
    """One for all verbs; used by one thread. `topic_of` gives the topic of a verb."""

    def __init__(
        self,
        settings: Commands,
        keys: KeyRing,
        journal: Journal,
        *,
        topic_of: Callable[[str], str],
        clock: Clock | None = None,
        is_synced: Callable[[], bool] = clock_synced,
    ) -> None:
        self._settings = settings
        self._keys = keys
        self._journal = journal
        self._topic_of = topic_of
        self._clock = clock or Clock()
        self._is_synced = is_synced
        rate = settings.per_minute
        # Nobody but these can come past the signature, so that there is a bucket for everybody.
        self._buckets = {name: Bucket(rate, self._clock.monotonic_ns) for name in ("", *keys.names)}
        self._answers = Bucket(rate, self._clock.monotonic_ns)

    def may_answer(self) -> bool:
        """Whether a refusal is still told, or only counted: answers to strangers have a rate, too."""
        return self._answers.take()

    def admit(self, verb: str, payload: bytes, *, is_full: bool = False) -> Order | Repeated:
        """Written into the journal as begun when this returns an Order. RefusedError."""
        envelope = read_envelope(payload)
        try:
            signer = self._signer(verb, envelope)
        except RefusedError as refusal:
            # Only for the answer: nothing else of an unproven text is looked at.
            with contextlib.suppress(RefusedError):
                refusal = refusal.about(request_id_of(read_object(envelope.text)))
            raise refusal from None
        body = read_object(envelope.text)
        try:
            return self._admit(verb, envelope, body, signer, is_full=is_full)
        except RefusedError as refusal:
            raise refusal.about(request_id_of(body)) from None

    def _admit(
        self, verb: str, envelope: Envelope, body: Mapping[str, Any], signer: str, *, is_full: bool
    ) -> Order | Repeated:
        request = parse_request(verb, body, VERBS[verb].arguments, signer)
        self._check_fresh(request)
        digest = hashlib.sha256(verb.encode() + b"\0" + envelope.text).digest()
        entry = Entry(signer, request.request_id, request.issued_at, digest)
        before = self._asked(lambda: self._journal.before(entry))
        if before is not None:
            return _again(before)
        if not self._buckets[signer].take():
            raise RefusedError("rate_limited", f"expected at most {self._settings.per_minute} commands a minute")
        if is_full:
            raise RefusedError("busy", "too many commands wait; try again")
        forget_before = self._clock.unix_s() - self._settings.freshness_s
        self._asked(lambda: self._journal.remember(entry, forget_before=forget_before))
        return Order(request, entry, self._clock.monotonic_ns())

    def _signer(self, verb: str, envelope: Envelope) -> str:
        if not envelope.key:
            if VERBS[verb].wants_key or verb not in self._settings.unsigned:
                raise RefusedError("unsigned", f"{verb} needs a signature of a key in commands.keys_file")
            return ""
        key = self._keys.verify(self._topic_of(verb), envelope)
        if key.verbs is not None and verb not in key.verbs:
            raise RefusedError("not_allowed", f"the key {key.name} may not sign {verb}")
        return key.name

    def _check_fresh(self, request: Request) -> None:
        now, window = self._clock.unix_s(), self._settings.freshness_s
        age_s = now - request.issued_at
        if not -window <= age_s <= window:
            when = f"{age_s:.0f} s ago" if age_s > 0 else f"{-age_s:.0f} s in the future"
            raise RefusedError(
                "stale", f"issued {when} by the clock of this box; expected within {window:g} s{self._told()}"
            )
        floor = self._asked(lambda: self._journal.floor(request.signer)) if request.signer else float("-inf")
        if request.issued_at <= floor:
            raise RefusedError(
                "stale", f"issued before {_shown(floor)}, of which this box keeps no record{self._told()}"
            )

    def _told(self) -> str:
        trust = "" if self._is_synced() else ", and nobody keeps that clock right"
        return f" (it shows {_shown(self._clock.unix_s())}{trust})"

    @staticmethod
    def _asked(question: Callable[[], Any]) -> Any:
        """What cannot be remembered is not obeyed: it could be obeyed twice."""
        try:
            return question()
        except OutboxError as error:
            raise RefusedError("unavailable", f"the journal of commands {error.problem}") from error


def _again(before: Before) -> Repeated:
    if not before.is_same:
        raise RefusedError("duplicate", "this request_id was used for another request; expected a new one")
    if before.reply is not None:
        return Repeated(before.reply)
    if before.is_running:
        raise RefusedError("duplicate", "being carried out; the answer will come")
    raise RefusedError(
        "interrupted", "begun, but this box was stopped before it had answered; look before you try again"
    )


def _shown(unix_s: float) -> str:
    try:
        return rfc3339(unix_s)
    except (ValueError, OverflowError, OSError):
        return "no time at all"
