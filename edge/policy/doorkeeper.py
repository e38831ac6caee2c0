"""Gives every decision its verdict, and remembers whom it has turned away, so that nobody waits for nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from edge.config.settings import Policy
from edge.datatypes import Access, Decision, Identity, Verdict
from edge.policy.verdict import Circumstances, Company, Rules
from edge.timebase import clock_synced


@dataclass(frozen=True, slots=True)
class Signals:
    """What is asked anew for every verdict."""

    is_unlocking_on: Callable[[], bool] = lambda: True
    is_clock_synced: Callable[[], bool] = clock_synced


class Doorkeeper:
    """One door's. Not thread-safe: the thread of the stages asks it."""

    def __init__(self, policy: Policy, access: Callable[[str], Access | None], signals: Signals) -> None:
        """`access` says what limits an identity, None for one that is not enrolled."""
        self._rules = Rules(policy)
        self._access = access
        self._signals = signals
        self._refused: set[str] = set()

    def vouches_for(self, identity: Identity | None, unix_s: float) -> bool:
        """Whether somebody recognized as that is no stranger."""
        return identity is not None and self._rules.vouches_for(self._access(identity.id), self._now(unix_s, "none"))

    def verdict(self, decision: Decision, company: Company) -> Verdict:
        """Of a decision that is about to be told."""
        if decision.event_type == "spoof_suspected":
            return Verdict(allowed=False, reason="spoof")
        if decision.identity is None:
            return Verdict(allowed=False, reason="not_recognized")
        verdict = self._verdict_on(decision.identity, decision.captured_at, company)
        if verdict.allowed:
            self._refused.discard(decision.identity.id)
        else:
            self._refused.add(decision.identity.id)
        return verdict

    def has_refused(self, identity: Identity) -> bool:
        """Whether the last verdict on somebody was a refusal."""
        return identity.id in self._refused

    def would_allow(self, identity: Identity, unix_s: float, company: Company) -> bool:
        """Whether a verdict now would let somebody recognized in."""
        return self._verdict_on(identity, unix_s, company).allowed

    def _verdict_on(self, identity: Identity, unix_s: float, company: Company) -> Verdict:
        return self._rules.verdict(self._access(identity.id), self._now(unix_s, company))

    def _now(self, unix_s: float, company: Company) -> Circumstances:
        return Circumstances(unix_s, self._signals.is_clock_synced(), self._signals.is_unlocking_on(), company)
