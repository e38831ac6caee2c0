"""People published once are enrolled on every box of their group, changed and erased; whatever went missing is asked for."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from edge.datatypes import Embedding
from edge.gallery.opening import open_gallery
from edge.gallery.records import EnrolledFace
from tests.edge.gallery.support import EMBEDDER, faces, vectors
from tests.edge.sync.support import SECRET, TOPICS, Board, Box, Publisher

MakeBox = Callable[..., Box]


def test_everybody_comes_as_he_was_enrolled(office: Publisher, make_box: MakeBox) -> None:
    ada = office.gallery.enrol("Ada Lovelace", faces(3, seed=9), note="first", consent="in writing")
    office.gallery.set_access(ada.id, groups=["night"], zones=["lab"], schedule="mon-fri 08:00-18:00")
    office.gallery.set_validity(ada.id, valid_from=1000.0, valid_until=4e9)
    report = office.publish(is_new=True)
    box = make_box()
    box.run()
    assert len(report.published) == report.count == 6
    got = box.gallery.get(ada.id)
    assert (got.name, got.note, got.groups, got.zones, got.schedule) == (
        "Ada Lovelace", "first", ("night",), ("lab",), "mon-fri 08:00-18:00",
    )  # fmt: skip
    assert (got.valid_from, got.valid_until, got.origin, got.embeddings) == (1000.0, 4e9, "staff", 3)
    # That there was a word of consent is told, but not the word.
    assert got.consent
    assert "writing" not in got.consent
    sent = [face.embedding.vector for face in office.gallery.faces(ada.id)]
    assert np.array_equal(sent, [face.embedding.vector for face in box.gallery.faces(ada.id)])
    assert [row.actor.kind for row in box.gallery.audit(who=ada.id)] == ["sync"]
    assert box.gallery.audit(who=ada.id)[0].actor.name == "office"
    assert box.state() == {
        "revision": report.revision, "head": report.revision, "issued_at": "1970-01-12T13:46:40.000Z", "identities": 6,
        "waiting": 0, "missing": 0, "not_taken": {}, "refused": 0,
    }  # fmt: skip


@pytest.mark.parametrize("is_v5", [True, False])
def test_changes_reach_who_is_there_and_who_was_away(office: Publisher, make_box: MakeBox, *, is_v5: bool) -> None:
    office.publish(is_new=True)
    there, away = make_box(is_v5=is_v5), make_box(is_v5=is_v5)
    for box in (there, away):
        box.run()
    away.go_offline()
    first, second, third, *_ = office.gallery.list_identities()
    office.gallery.rename(first.id, "Renamed")
    new = office.gallery.enrol("Somebody new", faces(1, seed=50))
    office.publish()
    office.remove(second.id)
    office.gallery.set_enabled(third.id, enabled=False)
    report = office.publish([third.id])
    there.run()
    away.come_back()
    away.run()
    for box in (there, away):
        assert box.gallery.get(first.id).name == "Renamed"
        assert new.id in box.ids
        assert second.id not in box.ids
        assert not box.gallery.get(third.id).enabled
        assert box.state()["revision"] == report.revision
        assert box.state()["missing"] == 0
        assert box.count("erasures_verified") == 1


def test_after_a_while_away_only_what_changed_is_sent(office: Publisher, make_box: MakeBox, board: Board) -> None:
    for number in range(60):
        office.gallery.enrol(f"More {number}", faces(1, seed=100 + number))
    office.publish(is_new=True)
    box = make_box()
    box.run()
    box.go_offline()
    one = office.gallery.list_identities()[0]
    office.gallery.set_note(one.id, "another desk")
    office.publish([one.id])
    board.sent = 0
    box.come_back()
    box.run()
    assert box.gallery.get(one.id).note == "another desk"
    # The head, and the shard of that person.
    assert board.sent < 6


def test_nothing_is_sent_twice_to_a_box_that_restarts(office: Publisher, make_box: MakeBox, board: Board) -> None:
    office.publish(is_new=True)
    box = make_box()
    box.run()
    box.go_offline()
    revision = box.gallery.revision
    board.sent = 0
    again = Box(board, box.path)
    again.run()
    assert (board.sent, again.state()["missing"], again.gallery.revision) == (1, 0, revision)


def test_a_removal_is_verified_and_stays(office: Publisher, make_box: MakeBox, board: Board) -> None:
    office.publish(is_new=True)
    box = make_box()
    box.run()
    who = office.gallery.list_identities()[0]
    before = board.retained[TOPICS.identity(who.id)]
    office.remove(who.id)
    box.run()
    assert who.id not in box.ids
    assert box.count("erasures_verified") == 1
    assert [row.action for row in box.gallery.audit(who=who.id)] == ["unsynced", "synced"]
    # Whoever has kept the identity brings it back in vain: here, and on a box that never saw the removal.
    board.publish(TOPICS.identity(who.id), before)
    fresh = make_box()
    for one in (box, fresh):
        one.run(20)
        assert who.id not in one.ids
    assert box.count("older") >= 1
    assert fresh.state()["missing"] >= 1 or fresh.state()["identities"] == 4


def test_who_was_removed_may_come_again(office: Publisher, make_box: MakeBox) -> None:
    office.publish(is_new=True)
    box = make_box()
    box.run()
    who = office.gallery.list_identities()[0].id
    office.remove(who)
    box.run()
    office.publish([who])
    box.run()
    assert who in box.ids
    assert box.state()["missing"] == 0


def test_what_found_no_room_is_asked_for_again(office: Publisher, make_box: MakeBox) -> None:
    for number in range(60):
        office.gallery.enrol(f"More {number}", faces(1, seed=100 + number))
    box = make_box(max_waiting=7)
    box.run(1)
    office.publish(is_new=True)
    box.run(60)
    assert box.count("dropped") > 0
    assert (len(box.ids), box.state()["missing"]) == (65, 0)


def test_a_message_that_was_lost_at_the_broker_is_missed(office: Publisher, make_box: MakeBox, board: Board) -> None:
    office.publish(is_new=True)
    who = office.gallery.list_identities()[0].id
    kept = board.retained.pop(TOPICS.identity(who))
    box = make_box()
    box.run(10)
    assert box.state()["missing"] == 1
    assert len(box.ids) == 4
    sent = board.sent
    box.run(60)
    # It is not asked for without end.
    assert board.sent - sent < 10
    board.retained[TOPICS.identity(who)] = kept
    box.run(60)
    assert (len(box.ids), box.state()["missing"]) == (5, 0)


def test_a_removal_that_was_lost_is_obeyed_all_the_same(office: Publisher, make_box: MakeBox, board: Board) -> None:
    office.publish(is_new=True)
    box = make_box()
    box.run()
    box.go_offline()
    who = office.gallery.list_identities()[0].id
    office.remove(who)
    del board.retained[TOPICS.identity(who)]
    box.come_back()
    box.run(20)
    assert who not in box.ids
    assert box.state()["missing"] == 0


def test_a_sealed_group_needs_the_secret(office: Publisher, make_box: MakeBox, board: Board) -> None:
    office.publish(is_new=True, secret=SECRET)
    vector = office.gallery.faces(office.gallery.list_identities()[0].id)[0].embedding.vector
    assert not any(vector.tobytes()[:12] in payload or b"Person" in payload for payload in board.retained.values())
    knows, lacks, wrong = (make_box(secrets=one) for one in ({"staff": SECRET}, {}, {"staff": SECRET[::-1]}))
    for box in (knows, lacks, wrong):
        box.run()
    assert len(knows.ids) == 5
    for box in (lacks, wrong):
        assert (box.ids, box.state()["not_taken"], box.state()["missing"]) == (set(), {"no_secret": 5}, 0)
        box.go_offline()
    # It is given the secret, and begins again.
    again = Box(board, lacks.path, secrets={"staff": SECRET})
    again.run()
    assert len(again.ids) == 5


def test_who_can_be_read_no_more_is_let_in_no_more(office: Publisher, make_box: MakeBox) -> None:
    office.publish(is_new=True)
    box = make_box()
    box.run()
    who = office.gallery.list_identities()[0].id
    office.publish([who], secret=SECRET)
    box.run()
    assert not box.gallery.get(who).enabled
    assert box.state()["not_taken"] == {"no_secret": 1}


def test_local_people_are_never_touched(office: Publisher, make_box: MakeBox) -> None:
    box = make_box()
    who = office.gallery.list_identities()[0]
    with box.gallery.change() as connection:
        box.gallery.identities.insert(connection, who)
        box.gallery.note(connection, "imported", who.id)
    office.publish(is_new=True)
    box.run()
    assert box.gallery.get(who.id).origin == ""
    assert len(box.ids) == 4
    assert box.state()["not_taken"] == {"conflict": 1}
    office.remove(who.id)
    box.run()
    assert box.gallery.get(who.id).name == who.name


def test_who_was_erased_here_stays_away_until_readmitted(office: Publisher, make_box: MakeBox) -> None:
    office.publish(is_new=True)
    box = make_box()
    box.run()
    who = office.gallery.list_identities()[0].id
    box.gallery.remove(who)
    box.run(20)
    office.gallery.set_note(who, "changed")
    office.publish([who])
    box.run(20)
    assert who not in box.ids
    assert box.state()["not_taken"] == {"refused_here": 1}
    assert box.state()["missing"] == 0
    box.gallery.readmit(who)
    box.run(20)
    assert box.gallery.get(who).note == "changed"


def test_consent_where_it_is_required(office: Publisher, make_box: MakeBox) -> None:
    ada = office.gallery.enrol("Ada", faces(1, seed=9), consent="yes")
    office.publish(is_new=True)
    box = make_box()
    box.require_consent = True
    box.run()
    assert box.ids == {ada.id}
    assert box.state()["not_taken"] == {"no_consent": 5}


def test_a_group_that_begins_anew_erases_who_is_in_it_no_more(
    office: Publisher, make_box: MakeBox, board: Board
) -> None:
    office.publish(is_new=True)
    box = make_box()
    box.run()
    keep = [record.id for record in office.gallery.list_identities()[:2]]
    report = office.publish(keep, is_new=True)
    box.run(20)
    assert box.ids == set(keep)
    assert (report.cleared, len(board.identities())) == (3, 2)
    assert box.state()["missing"] == 0


def test_a_broker_that_lost_everything(office: Publisher, make_box: MakeBox, board: Board) -> None:
    office.publish(is_new=True)
    box = make_box()
    box.run()
    board.retained.clear()
    office.publish(is_new=True)
    box.run(20)
    assert (len(box.ids), box.state()["missing"], box.state()["refused"]) == (5, 0, 0)


def test_an_embedder_that_is_not_in_use_waits(office: Publisher, make_box: MakeBox) -> None:
    one, two = (Embedding(vector, name) for vector, name in zip(vectors(2), (EMBEDDER, "next-1"), strict=True))
    who = office.gallery.enrol("Both", [EnrolledFace(one, 0.5, others=(two,))])
    office.publish([who.id], is_new=True)
    box = make_box()
    box.run()
    assert box.state()["waiting"] == 0
    with open_gallery(box.path, embedder_id="next-1", embedding_length=16) as switched:
        assert len(switched.load_index()) == 1
    new = office.gallery.enrol("Old only", faces(1, seed=70))
    office.publish([new.id])
    box.run()
    with open_gallery(box.path, embedder_id="next-1", embedding_length=16) as switched:
        assert len(switched.load_index()) == 1
        assert switched.get(new.id).is_lacking
