from __future__ import annotations

from dataclasses import dataclass, field, replace

from edge.config.settings import Policy
from edge.datatypes import Access, Box, Decision, Identity
from edge.policy.doorkeeper import Doorkeeper, Signals

ADA, BOB = Identity("1", "Ada"), Identity("2", "Bob")
MADE = Decision("recognized", 1, ADA, 0.9, 0.5, "fmr-1e-4", 3, 0.8, Box(0, 0, 1, 1), 1, 1000.0)


@dataclass
class Entrance:
    is_on: bool = True
    is_synced: bool = True
    limits: dict[str, Access] = field(default_factory=lambda: {"1": Access(), "2": Access()})

    def __post_init__(self) -> None:
        signals = Signals(lambda: self.is_on, lambda: self.is_synced)
        self.keeper = Doorkeeper(Policy(timezone="UTC"), self.limits.get, signals)


def test_what_is_no_recognition_opens_nothing() -> None:
    keeper = Entrance().keeper
    for decision, reason in (
        (replace(MADE, event_type="spoof_suspected"), "spoof"),
        (replace(MADE, event_type="spoof_suspected", identity=None), "spoof"),
        (replace(MADE, event_type="unknown", identity=None), "not_recognized"),
    ):
        verdict = keeper.verdict(decision, "none")
        assert (verdict.allowed, verdict.reason) == (False, reason)
    assert not keeper.has_refused(ADA)


def test_the_switch_and_the_clock_are_asked_every_time() -> None:
    entrance = Entrance(limits={"1": Access(valid_until=2000.0)})
    assert entrance.keeper.verdict(MADE, "none").reason == "allowed"
    entrance.is_synced = False
    assert entrance.keeper.verdict(MADE, "none").reason == "clock_unsynced"
    entrance.is_on = False
    assert entrance.keeper.verdict(MADE, "none").reason == "unlocking_disabled"
    entrance.is_on = entrance.is_synced = True
    assert entrance.keeper.verdict(replace(MADE, captured_at=2000.0), "none").reason == "expired"
    entrance.limits["1"] = Access()
    assert entrance.keeper.verdict(replace(MADE, captured_at=2000.0), "none").reason == "allowed"
    del entrance.limits["1"]
    assert entrance.keeper.verdict(MADE, "none").reason == "not_recognized"


def test_whom_it_has_turned_away_it_remembers_until_it_lets_them_in() -> None:
    keeper = Entrance().keeper
    assert not keeper.has_refused(ADA)
    keeper.verdict(MADE, "stranger_in_front")
    assert (keeper.has_refused(ADA), keeper.has_refused(BOB)) == (True, False)
    assert not keeper.would_allow(ADA, 1000.0, "stranger_in_front")
    assert keeper.would_allow(ADA, 1000.0, "none")
    assert keeper.has_refused(ADA), "asking changes nothing"
    keeper.verdict(MADE, "none")
    assert not keeper.has_refused(ADA)


def test_for_whom_it_vouches() -> None:
    entrance = Entrance(limits={"1": Access(valid_until=2000.0)})
    assert entrance.keeper.vouches_for(ADA, 1999.0)
    assert not entrance.keeper.vouches_for(ADA, 2000.0)
    assert not entrance.keeper.vouches_for(BOB, 1000.0)
    assert not entrance.keeper.vouches_for(None, 1000.0)
