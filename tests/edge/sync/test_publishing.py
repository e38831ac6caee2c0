"""The publisher: what is new, what the broker has, and when it must not go on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from edge.errors import BrokerError, GalleryError, UsageError
from edge.gallery.replica import Replica, leave
from edge.sync.keys import publisher_key
from edge.sync.link import Link, SignedHead
from edge.sync.message import Head, parse_head
from edge.sync.publishing import Job, Publishing
from tests.edge.gallery.support import faces
from tests.edge.sync.support import GROUP, KEY, OTHER, SECRET, TOPICS, Board, Box, Publisher, ring

MakeBox = Callable[..., Box]


def head_of(board: Board) -> Head:
    _, text = ring(publisher_key(KEY, [GROUP]), publisher_key(OTHER, [GROUP])).verify(
        GROUP, TOPICS.head, board.retained[TOPICS.head]
    )
    return parse_head(text)


def test_what_is_unchanged_is_not_sent_again(office: Publisher, board: Board) -> None:
    first = office.publish(is_new=True)
    before = dict(board.retained)
    again = office.publish()
    assert (again.published, len(again.unchanged), again.count) == ([], 5, 5)
    assert {topic: board.retained[topic] for topic in board.identities()} == {
        topic: payload for topic, payload in before.items() if "/identity/" in topic
    }
    # The head is signed anew: its publisher is still there.
    assert again.revision > first.revision
    assert len(office.publish(is_forced=True).published) == 5
    assert len(office.publish(secret=SECRET).published) == 5
    assert len(office.publish(secret=SECRET).unchanged) == 5
    assert len(office.publish().published) == 5


def test_revisions_count_and_follow_the_clock(office: Publisher, board: Board) -> None:
    office.publish(is_new=True)
    assert head_of(board).revision == 1_000_005
    office.remove(office.gallery.list_identities()[0].id)
    assert (head_of(board).revision, head_of(board).count) == (1_000_006, 4)
    office.now = 2_000_000.0
    assert office.publish([]).revision == 2_000_000
    # A clock that is set back changes nothing.
    office.now = 5.0
    assert office.publish([]).revision == 2_000_001


def test_a_group_must_be_begun(office: Publisher, board: Board) -> None:
    with pytest.raises(UsageError, match="knows no group 'staff'"):
        office.publish()
    assert board.retained == {}
    assert office.publish([], is_new=True).count == 0


def test_a_dry_run_says_what_it_would_do_and_does_nothing(office: Publisher, board: Board) -> None:
    report = office.publish(is_new=True, dry_run=True)
    assert (len(report.published), report.count) == (5, 5)
    assert board.retained == {}


def test_a_publisher_that_lost_its_disk_goes_on(
    office: Publisher, board: Board, tmp_path: Path, make_box: MakeBox
) -> None:
    office.publish(is_new=True)
    box = make_box()
    box.run()
    fresh = Publisher(board, tmp_path / "fresh.sqlite")
    new = fresh.gallery.enrol("Somebody new", faces(1, seed=80))
    assert fresh.publish().count == 6
    box.run()
    assert new.id in box.ids
    assert len(box.ids) == 6


def test_somebody_who_is_in_no_gallery_any_more_is_removed_by_id(office: Publisher, board: Board) -> None:
    office.publish(is_new=True)
    who = office.gallery.list_identities()[0].id
    office.gallery.remove(who)
    report = office.remove(who, "01M7WGM9RGC2J1J93DX7P2EV0C")
    assert (report.removed, report.not_there, report.count) == ([who], ["01M7WGM9RGC2J1J93DX7P2EV0C"], 4)
    assert len(board.retained[TOPICS.identity(who)]) < 400


def test_a_broker_with_an_older_group_is_found_out(office: Publisher, board: Board) -> None:
    """A publisher that signed what follows from it would bring back whoever was removed since."""
    office.publish(is_new=True)
    before = dict(board.retained)
    office.remove(office.gallery.list_identities()[0].id)
    board.retained = before
    with pytest.raises(GalleryError, match=r"older than \d+ which was there before"):
        office.publish()
    assert board.retained == before


@pytest.mark.parametrize("change", ["lost", "old"])
def test_a_shard_that_is_not_as_its_head_says(office: Publisher, board: Board, change: str) -> None:
    office.publish(is_new=True)
    who = office.gallery.list_identities()[0]
    topic = TOPICS.identity(who.id)
    old = board.retained[topic]
    office.gallery.set_enabled(who.id, enabled=False)
    office.publish([who.id])
    if change == "lost":
        del board.retained[topic]
    else:
        board.retained[topic] = old
    with pytest.raises(GalleryError, match="not what the head of the group says"):
        office.publish([who.id])
    assert office.publish(is_new=True).count == 5


def test_a_head_of_a_stranger_is_no_head(office: Publisher, board: Board, tmp_path: Path) -> None:
    Publisher(board, tmp_path / "annexe.sqlite", OTHER).publish([], is_new=True)
    with pytest.raises(GalleryError, match="cannot be believed"):
        office.publish()
    office.ring = ring(publisher_key(KEY, [GROUP]), publisher_key(OTHER, [GROUP]))
    assert office.publish().count == 5


class Meddling(Link):
    """Between reading and writing, somebody else publishes."""

    others: list[Callable[[], object]]

    def publish_head(self, payload: bytes, after: SignedHead | None) -> bool:
        if self.others:
            self.others.pop()()
            self._connection.step(0.1)
        return super().publish_head(payload, after)


def test_two_publishers_at_once_do_not_lose_each_others_people(
    office: Publisher, board: Board, tmp_path: Path, make_box: MakeBox
) -> None:
    both = ring(publisher_key(KEY, [GROUP]), publisher_key(OTHER, [GROUP]))
    office.ring = both
    annexe = Publisher(board, tmp_path / "annexe.sqlite", OTHER, both)
    annexe.gallery.enrol("Of the annexe", faces(1, seed=90))
    office.publish([], is_new=True)
    box = make_box(keys=both)
    box.run(1)
    with office.link(kind=Meddling) as link:
        link.others = [annexe.publish]  # type: ignore[attr-defined]
        report = Publishing(link, office.job()).run(lambda items, _: items)
    assert report.count == 6
    box.run(20)
    assert (len(box.ids), box.state()["missing"]) == (6, 0)
    with office.link(kind=Meddling) as link:
        link.others = [lambda: annexe.publish([])] * 10  # type: ignore[attr-defined]
        publishing = Publishing(link, office.job(is_forced=True))
        with pytest.raises(BrokerError, match="another publisher writes"):
            publishing.run(lambda items, _: items)


class CutOff(Link):
    """The publisher loses its power before the head."""

    def publish_head(self, payload: bytes, after: SignedHead | None) -> bool:
        raise BrokerError(f"cut off before {len(payload)} bytes, after {after is not None}")


def cut_off(office: Publisher, job: Job) -> None:
    with office.link(kind=CutOff) as link:
        publishing = Publishing(link, job)
        with pytest.raises(BrokerError, match="cut off"):
            publishing.run(lambda items, _: items)


def test_a_publisher_that_was_cut_off(office: Publisher, board: Board, make_box: MakeBox, tmp_path: Path) -> None:
    office.publish(is_new=True)
    box = make_box()
    box.run()
    changed = office.gallery.list_identities()[0]
    new = office.gallery.enrol("Half published", faces(1, seed=91))
    office.gallery.rename(changed.id, "Renamed")
    cut_off(office, office.job([new.id, changed.id]))
    # Nothing of it counts yet, and nobody misses anything; a box that comes now lacks whom it cannot have any more.
    box.run(20)
    assert (len(box.ids), box.gallery.get(changed.id).name, box.state()["missing"]) == (5, changed.name, 0)
    fresh = make_box()
    fresh.run(20)
    assert len(fresh.ids) == 4
    assert fresh.state()["identities"] == 4
    # Somebody else is published, then the same again: all counts.
    other = office.gallery.enrol("Other", faces(1, seed=92))
    office.publish([other.id])
    report = office.publish()
    assert report.count == 7
    for one in (box, fresh):
        one.run(20)
        assert (len(one.ids), one.state()["missing"]) == (7, 0)
        assert one.gallery.get(changed.id).name == "Renamed"


def test_a_removal_that_was_cut_off_is_obeyed_at_once(office: Publisher, make_box: MakeBox) -> None:
    office.publish(is_new=True)
    box = make_box()
    box.run()
    who = office.gallery.list_identities()[0].id
    cut_off(office, office.job([], removals=[who]))
    box.run(20)
    fresh = make_box()
    fresh.run(20)
    for one in (box, fresh):
        assert who not in one.ids
        assert len(one.ids) == 4
    office.publish([])
    for one in (box, fresh):
        one.run(60)
        assert len(one.ids) == 4


def test_somebody_with_too_much_is_refused_before_anything_is_said(office: Publisher, board: Board) -> None:
    office.publish([], is_new=True)
    before = dict(board.retained)
    many = office.gallery.enrol("Many", faces(65, seed=3))
    with pytest.raises(UsageError, match="65 pictures"):
        office.publish([many.id])
    assert board.retained == before


def test_leaving_a_group_erases_its_people_and_no_older_head_counts_later(
    office: Publisher, board: Board, make_box: MakeBox
) -> None:
    office.publish(is_new=True)
    old = board.retained[TOPICS.head]
    box = make_box(groups=(GROUP, "guests"))
    local = box.gallery.enrol("Local", faces(1, seed=60))
    box.run()
    office.publish([])
    box.run()
    assert leave(box.gallery, [GROUP]).erased == 0
    assert leave(box.gallery, ["guests"]).erased == 5
    assert leave(box.gallery, ["guests"]).erased == 0
    assert [one.id for one in box.gallery.list_identities()] == [local.id]
    words = Replica(box.gallery, GROUP).words()
    assert (words.known, words.head) == ({}, head_of(board).revision)
    box.go_offline()
    again = Box(board, box.path)
    again.run()
    assert len(again.ids) == 5
    board.publish(TOPICS.head, old)
    again.run()
    assert again.count("older") == 1
