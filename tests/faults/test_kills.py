"""A short campaign of kills, and the judge that decides about the long one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ulid import ULID

from tests.faults.kills import Plan, campaign
from tests.faults.record import PATIENT_S, Absence, Note, Stored, judge, openers_faults

START = 1.8e9


def notes(*seqs: int, **fields: Any) -> list[Note]:
    """Live events, one a second, each heard at once."""
    ids = {seq: str(ULID.from_timestamp(START + seq)) for seq in range(20)}
    # The random part would differ each time.
    plain = {seq: text[:10] + f"{seq:016d}" for seq, text in ids.items()}
    made = [Note("front", "event", plain[seq], seq, 0.1, is_replay=False, is_retained=False) for seq in seqs]
    return [replace(note, **fields) for note in made]


def stored(last_seq: int, **fields: Any) -> dict[str, Stored]:
    return {"front": replace(Stored(last_seq, frozenset(), 0, ttl_s=2.0), **fields)}


def test_all_heard_some_twice_is_as_it_should_be() -> None:
    late = notes(3, topic="history", is_replay=True, age_s=500.0)
    verdict = judge(notes(1, 2, 4) + late + notes(2), stored(4))
    assert verdict.faults == ()
    assert (verdict.durable, verdict.heard, verdict.lost, verdict.duplicates) == (4, 4, 0, 1)
    assert (verdict.live, verdict.history) == (4, 1)


@pytest.mark.parametrize(
    ("heard", "device", "fault"),
    [
        (notes(1, 2, 4), stored(4), "never heard: [3]"),
        (notes(1, 2), stored(4), "never heard: [3, 4]"),
        (notes(1, 2, 3), stored(2), "never durable"),
        (notes(1) + notes(2, seq=1), stored(1), "seq 1 means"),
        (notes(1, 2) + notes(2, seq=3), stored(3), "2 numbers for one event"),
        (notes(1, age_s=7.5), stored(1), "OLD"),
        (notes(1, is_replay=True), stored(1), "OLD"),
        (notes(1, topic="history"), stored(1), "says that it is not"),
        (notes(1, is_retained=True), stored(1), "was retained"),
        (notes(1), stored(1, depth=1), "never left the outbox"),
        (notes(1), stored(1, ledger=frozenset({"x"})), "noted as published and never heard"),
        (notes(1, device="back"), stored(0), "no known device"),
    ],
)
def test_whatever_must_not_be_is_found(heard: list[Note], device: dict[str, Stored], fault: str) -> None:
    assert any(fault in text for text in judge(heard, device).faults)


def test_an_old_event_whose_expiry_the_broker_lost_is_the_brokers() -> None:
    verdict = judge(notes(1, age_s=9.0, has_expiry=False) + notes(2, age_s=0.1, has_expiry=False), stored(2))
    assert (verdict.revived, verdict.faults) == (1, ())
    assert judge(notes(1, is_replay=True, has_expiry=False), stored(1)).faults
    # With a clean session nothing excuses it.
    assert len(openers_faults(notes(1, 2, age_s=9.0, has_expiry=False), {"front": 2.0})) == 2
    assert openers_faults(notes(1, 2, age_s=6.9), {"front": 2.0}) == []
    assert openers_faults(notes(1, is_retained=True), {"front": 2.0})


@pytest.mark.parametrize(
    ("absence", "ttl_s", "expired"),
    [
        (Absence(START + 2.5, START + 9), 2.0, 1),
        # A device whose events do not expire has no excuse.
        (Absence(START + 2.5, START + 9), PATIENT_S, 0),
        # Somebody listened all the time that the event may have been live.
        (Absence(START + 9, START + 12), 2.0, 0),
        (Absence(START, START + 1.5), 2.0, 0),
    ],
)
def test_only_an_absence_excuses_what_expired(absence: Absence, ttl_s: float, expired: int) -> None:
    verdict = judge(notes(1, 2, 4), stored(4, ttl_s=ttl_s), [absence])
    assert (verdict.expired, verdict.lost) == (expired, 1 - expired)
    assert bool(verdict.faults) is not bool(expired)


def test_fifteen_kills_lose_nothing(tmp_path: Path) -> None:
    plan = Plan(15, seed=5, publishers=1, has_daemon=False, rate=25.0, pause_s=(0.0, 0.3), long_outages=0.0)
    verdict, counts = campaign(plan, tmp_path)
    assert verdict.faults == ()
    assert verdict.lost == verdict.expired == 0
    assert counts["broker"] + counts["broker and publisher"] >= 5
    assert verdict.heard == verdict.durable > 0
