"""Somebody who was erased is in no waiting event, and in no byte of the file; and events sealed with a key."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from edge.datatypes import Identity
from edge.errors import OutboxError
from edge.gallery.encryption.sealing import Sealer
from edge.outbox import Outbox
from edge.outbox.record import ERASED
from tests.edge.outbox.support import Box, seqs
from tests.support.events import ADA, make_event

BOB = Identity("01J00000000000000000000BOB", "Bob Beamon-Unmistakable")
KEYS = (bytes(range(32)), bytes(range(100, 132)))


def bytes_beside(path: Path) -> bytes:
    """Of the file and of everything that SQLite keeps beside it."""
    return b"".join(one.read_bytes() for one in path.parent.glob(f"{path.name}*"))


def test_forgetting_leaves_events_and_numbers_and_no_trace_of_the_name(tmp_path: Path) -> None:
    path = tmp_path / "o.sqlite"
    with Box().outbox(path) as outbox:
        for index in range(30):
            outbox.append(make_event(identity=(BOB, ADA, None)[index % 3]))
        # Some of his have gone before.
        outbox.acknowledge(1, 4)
        assert outbox.identities() == {BOB.id, ADA.id}
        assert BOB.name.encode() in bytes_beside(path)
        assert outbox.forget(BOB.id) == 8
        # While it is open, not only afterwards: the daemon runs for months.
        assert BOB.name.encode() not in bytes_beside(path)
        assert BOB.id.encode() not in bytes_beside(path)
        assert ADA.name.encode() in bytes_beside(path)
        assert outbox.identities() == {ADA.id, ERASED.id}
        assert outbox.forget(BOB.id) == 0
        assert seqs(outbox) == [seq for seq in range(1, 31) if seq not in (1, 4)]
        bobs = [one.event for one in outbox.pending() if one.seq % 3 == 1]
        assert {one.decision.identity for one in bobs} == {ERASED}
        assert {one.decision.event_type for one in bobs} == {"recognized"}
        assert outbox.state()["bytes"] == sum(len(row[1]) for row in outbox._table.page(0, 100))  # type: ignore[union-attr]
    with Box().outbox(path) as outbox:
        assert outbox.append(make_event()).seq == 31


def test_what_has_left_the_outbox_is_not_in_its_file(tmp_path: Path) -> None:
    path = tmp_path / "o.sqlite"
    with Box().outbox(path) as outbox:
        outbox.append(make_event(identity=BOB))
        outbox.append(make_event(identity=ADA))
        outbox.acknowledge(1)
    assert BOB.name.encode() not in bytes_beside(path)
    assert ADA.name.encode() in bytes_beside(path)


def test_with_a_key_nothing_readable_lies_on_disk(tmp_path: Path) -> None:
    path = tmp_path / "o.sqlite"
    with Box().outbox(path, sealer=Sealer(KEYS[:1])) as outbox:
        stored = [outbox.append(make_event(identity=BOB)) for _ in range(3)]
        found = bytes_beside(path)
        for text in (BOB.name, BOB.id, "recognized", stored[0].event_id):
            assert text.encode() not in found
        assert outbox.forget(BOB.id) == 3
    # A new key before the old one opens both.
    with Box().outbox(path, sealer=Sealer((KEYS[1], KEYS[0]))) as outbox:
        assert outbox.append(make_event(identity=ADA)).seq == 4
        assert [one.event.decision.identity for one in outbox.pending()] == [ERASED] * 3 + [ADA]


def test_events_from_before_there_was_a_key_are_still_sent(tmp_path: Path) -> None:
    path = tmp_path / "o.sqlite"
    with Box().outbox(path) as outbox:
        event = outbox.append(make_event())
    with Box().outbox(path, sealer=Sealer(KEYS)) as outbox:
        assert [one.event for one in outbox.pending()] == [event]


@pytest.mark.parametrize("keys", [(), KEYS[1:]])
def test_without_the_key_events_stay_and_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, keys: tuple[bytes, ...]
) -> None:
    path = tmp_path / "o.sqlite"
    with Box().outbox(path, sealer=Sealer(KEYS[:1])) as outbox:
        outbox.append(make_event())
    with caplog.at_level(logging.ERROR), Box().outbox(path, sealer=Sealer(keys) if keys else None) as outbox:
        assert outbox.pending() == []
        assert (outbox.depth, outbox.unreadable) == (1, 1)
        assert outbox.append(make_event()).seq == 2
        assert caplog.text.count("event 1 cannot be read") == 1


def test_a_sealed_event_does_not_open_in_the_place_of_another(tmp_path: Path) -> None:
    path = tmp_path / "o.sqlite"
    with Box().outbox(path, sealer=Sealer(KEYS)) as outbox:
        outbox.append(make_event(identity=BOB))
        outbox.append(make_event(identity=ADA))
        table = outbox._table
        assert table is not None
        with table.transaction():
            table.rewrite(2, table.page(0, 1)[0][1])
        assert seqs(outbox) == [1]


def test_a_disk_that_does_not_take_the_change_is_told(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "o.sqlite")
    outbox.append(make_event(identity=BOB))
    table = outbox._table
    assert table is not None
    table._db.execute("PRAGMA query_only = ON")
    with pytest.raises(OutboxError, match="cannot be used"):
        outbox.forget(BOB.id)
    table._db.execute("PRAGMA query_only = OFF")
    assert outbox.forget(BOB.id) == 1
    outbox.close()


def test_erased_is_what_the_contract_allows() -> None:
    event = make_event(identity=ERASED)
    assert json.loads(json.dumps(event.payload(age_ms=1.0)))["identity"] == {"id": "erased", "name": "erased"}
