"""Nobody without a key of the group enrols anybody in it; and who has kept old messages brings nothing back with them."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge.commands.signature import sign as sign_command
from edge.gallery.records import IdentityRecord
from edge.signing import PrivateKey, new_key
from edge.sync.content import content_of
from edge.sync.digest import shard_digest
from edge.sync.keys import publisher_key, signed_payload
from edge.sync.message import MAX_BYTES, SCHEMA, Head, Said, text_of
from edge.sync.names import GroupTopics, shard_of
from tests.edge.gallery.support import faces
from tests.edge.sync.support import GROUP, KEY, OTHER, TOPICS, Board, Box, Publisher, ring

MakeBox = Callable[..., Box]
LATE = 9_000_000
"""A revision newer than any in these tests."""


@pytest.fixture
def box(office: Publisher, make_box: MakeBox) -> Box:
    """Has everybody of the office, and hears what comes."""
    office.publish(is_new=True)
    made = make_box()
    made.run()
    assert len(made.ids) == 5
    return made


@pytest.fixture
def eve(tmp_path: Path, board: Board) -> tuple[IdentityRecord, Said]:
    """Somebody who wants to get in, as a publisher would say it."""
    gallery = Publisher(board, tmp_path / "eve.sqlite").gallery
    record = gallery.enrol("Eve", faces(1, seed=66))
    return record, Said(SCHEMA, record.id, LATE, content=content_of(record, gallery.faces(record.id)))


def payloads(said: Said, key: PrivateKey, topics: GroupTopics = TOPICS) -> dict[str, bytes]:
    """An identity, and a head that counts it and nobody else."""
    head = Head(
        SCHEMA, LATE + 1, 1, "2026-01-31T00:00:00Z", {shard_of(said.id): shard_digest([(said.id, said.revision)])}
    )
    return {
        topics.identity(said.id): signed_payload(key, topics.identity(said.id), text_of(said)),
        topics.head: signed_payload(key, topics.head, text_of(head)),
    }


def plant(board: Board, said: Said, key: PrivateKey, topics: GroupTopics = TOPICS) -> None:
    for topic, payload in payloads(said, key, topics).items():
        board.publish(topic, payload)


def assert_unmoved(box: Box, reason: str) -> None:
    revision = box.gallery.revision
    box.run(10)
    assert len(box.ids) == 5
    assert box.gallery.revision == revision
    assert box.count(reason) >= 2


def test_what_would_be_planted_is_taken_from_the_right_key(
    board: Board, make_box: MakeBox, eve: tuple[IdentityRecord, Said]
) -> None:
    """Else the attacks below might fail for another reason."""
    plant(board, eve[1], KEY)
    made = make_box()
    made.run()
    assert made.ids == {eve[0].id}


@pytest.mark.parametrize("key", [PrivateKey("eve", bytes(32)), PrivateKey(KEY.name, bytes(32)), new_key(KEY.name)])
def test_a_strangers_key(board: Board, box: Box, eve: tuple[IdentityRecord, Said], key: PrivateKey) -> None:
    plant(board, eve[1], key)
    assert_unmoved(box, "bad_signature")


def test_the_key_of_another_group(
    board: Board, make_box: MakeBox, office: Publisher, eve: tuple[IdentityRecord, Said]
) -> None:
    office.publish(is_new=True)
    keys = ring(publisher_key(KEY, [GROUP]), publisher_key(OTHER, ["guests"]))
    both = make_box(keys=keys, groups=(GROUP, "guests"))
    both.run()
    plant(board, eve[1], OTHER)
    assert_unmoved(both, "not_allowed")
    plant(board, eve[1], OTHER, GroupTopics("ostiary", "guests"))
    both.run()
    assert both.state("guests")["identities"] == 1


def test_somebody_of_another_group_cannot_be_taken_over(
    board: Board, make_box: MakeBox, office: Publisher, eve: tuple[IdentityRecord, Said]
) -> None:
    """The key of the guests names an id of the staff: nothing of the staff's is changed."""
    office.publish(is_new=True)
    keys = ring(publisher_key(KEY, [GROUP]), publisher_key(OTHER, ["guests"]))
    both = make_box(keys=keys, groups=(GROUP, "guests"))
    both.run()
    victim = office.gallery.list_identities()[0]
    for said in (
        Said(SCHEMA, victim.id, LATE, content=eve[1].content),
        Said(SCHEMA, victim.id, LATE + 5, removed=True),
    ):
        plant(board, said, OTHER, GroupTopics("ostiary", "guests"))
        both.run(10)
        assert both.gallery.get(victim.id).name == victim.name
        assert both.gallery.get(victim.id).origin == GROUP
    assert both.state("guests")["identities"] == 0


def test_a_key_of_commands_signs_nobody_in(board: Board, box: Box, eve: tuple[IdentityRecord, Said]) -> None:
    """Not even the very key of the publisher, used for a command on that topic."""
    topic = TOPICS.identity(eve[0].id)
    board.publish(topic, json.dumps(sign_command(KEY, topic, text_of(eve[1]))).encode())
    board.publish(TOPICS.head, json.dumps(sign_command(KEY, TOPICS.head, "{}")).encode())
    assert_unmoved(box, "bad_signature")


def test_nothing_is_believed_on_another_topic(board: Board, box: Box, eve: tuple[IdentityRecord, Said]) -> None:
    """Of another group, another base, another person; nor a head as an identity."""
    elsewhere = payloads(eve[1], KEY, GroupTopics("ostiary", "guests"))
    other_base = payloads(eve[1], KEY, GroupTopics("home", GROUP))
    for found in (elsewhere, other_base):
        for payload in found.values():
            board.publish(TOPICS.identity(eve[0].id), payload)
            board.publish(TOPICS.head, payload)
    somebody = next(topic for topic in board.identities() if eve[0].id not in topic)
    board.publish(somebody, payloads(eve[1], KEY)[TOPICS.identity(eve[0].id)])
    assert_unmoved(box, "bad_signature")


def test_a_text_of_another_than_its_topic(board: Board, box: Box, eve: tuple[IdentityRecord, Said]) -> None:
    somebody = next(iter(board.identities()))
    for _ in range(2):
        board.publish(somebody, signed_payload(KEY, somebody, text_of(eve[1])))
    assert_unmoved(box, "malformed")


def test_a_shard_that_is_not_its_own(board: Board, box: Box, eve: tuple[IdentityRecord, Said]) -> None:
    wrong = f"{TOPICS.root}/identity/{(int(shard_of(eve[0].id), 16) + 1) % 256:02x}/{eve[0].id}"
    for _ in range(2):
        board.publish(wrong, signed_payload(KEY, wrong, text_of(eve[1])))
    assert_unmoved(box, "unknown")


def test_the_whole_group_as_it_was_once(board: Board, box: Box, office: Publisher, make_box: MakeBox) -> None:
    before = dict(board.retained)
    gone, changed, *_ = office.gallery.list_identities()
    office.remove(gone.id)
    office.gallery.set_enabled(changed.id, enabled=False)
    office.publish([changed.id])
    box.run()
    for topic, payload in before.items():
        board.publish(topic, payload)
    box.run(10)
    assert gone.id not in box.ids
    assert not box.gallery.get(changed.id).enabled
    assert box.count("older") >= 3
    # Also after a restart, from what the gallery remembers.
    box.go_offline()
    again = Box(board, box.path)
    again.run(20)
    assert gone.id not in again.ids
    assert not again.gallery.get(changed.id).enabled
    assert again.state()["missing"] is None


def test_old_and_new_mixed(board: Board, office: Publisher, make_box: MakeBox) -> None:
    """An old word on somebody, in today's group: a box that never saw the newer one enrols nobody of that shard."""
    who = office.gallery.list_identities()[0]
    office.publish(is_new=True)
    old = board.retained[TOPICS.identity(who.id)]
    office.gallery.set_enabled(who.id, enabled=False)
    office.publish([who.id])
    board.retained[TOPICS.identity(who.id)] = old
    made = make_box()
    made.run(20)
    assert who.id not in made.ids
    assert made.state()["missing"] == 1


def test_a_message_of_a_newer_ostiary(board: Board, box: Box, eve: tuple[IdentityRecord, Said]) -> None:
    topic = TOPICS.identity(eve[0].id)
    text = text_of(eve[1]).replace('"schema":1', '"schema":2')
    assert text != text_of(eve[1])
    board.publish(topic, signed_payload(KEY, topic, text))
    board.publish(TOPICS.head, signed_payload(KEY, TOPICS.head, '{"schema": 7, "everything": "new"}'))
    assert_unmoved(box, "newer")


@pytest.mark.parametrize(
    "payload",
    [
        b"{", b"[]", b"null", b"\xff\xfe", b'{"signed": 1}', b'{"signed": "", "key": "office"}', b"[" * 100_000,
        b'{"signed": "{}", "key": "office", "signature": ""}', b'{"signed": "{}", "key": "of fice", "signature": ""}',
    ],
)  # fmt: skip
def test_what_is_no_message(board: Board, box: Box, payload: bytes) -> None:
    somebody = next(iter(board.identities()))
    refused = box.state()["refused"]
    board.publish(somebody, payload)
    board.publish(TOPICS.head, payload)
    box.run(3)
    assert box.state()["refused"] == refused + 2
    assert len(box.ids) == 5


def test_a_truncated_and_a_huge_one(board: Board, box: Box) -> None:
    topic, payload = next((one, board.retained[one]) for one in board.identities())
    for end in range(1, len(payload), 97):
        board.publish(topic, payload[:end])
    board.publish(topic, payload.ljust(MAX_BYTES + 1))
    refused = box.state()["refused"]
    box.run(3)
    assert box.state()["refused"] == refused + len(range(1, len(payload), 97))
    assert box.count("oversized") == 1
    assert len(box.ids) == 5


def test_a_bit_changed_anywhere(board: Board, box: Box) -> None:
    topic, payload = next((one, board.retained[one]) for one in board.identities())
    envelope: dict[str, Any] = json.loads(payload)
    signature = bytearray(base64.b64decode(envelope["signature"]))
    signature[40] ^= 1
    for change in (
        {"signed": envelope["signed"].replace("Person", "person")},
        {"signature": base64.b64encode(signature).decode()},
        {"key": "annexe"},
    ):
        board.publish(topic, json.dumps({**envelope, **change}).encode())
    assert_unmoved(box, "bad_signature")


def test_two_heads_of_one_revision(board: Board, box: Box, eve: tuple[IdentityRecord, Said]) -> None:
    revision = box.state()["head"]
    for shards in ({"00": "1." + "A" * 16}, {"01": "1." + "A" * 16}):
        head = Head(SCHEMA, revision, 1, "2026-01-31T00:00:00Z", shards)
        board.publish(TOPICS.head, signed_payload(KEY, TOPICS.head, text_of(head)))
    assert_unmoved(box, "clash")


def test_a_flood_is_bounded(board: Board, make_box: MakeBox, office: Publisher) -> None:
    office.publish(is_new=True)
    made = make_box(max_bytes=10_000)
    made.run(1)
    for number in range(200):
        board.publish(f"{TOPICS.root}/identity/00/{number}", bytes(1000))
    assert made.feed.counters()["sync_dropped"] > 150
    made.run(30)
    assert len(made.ids) == 5


def test_content_that_no_gallery_takes(board: Board, make_box: MakeBox, eve: tuple[IdentityRecord, Said]) -> None:
    """Signed, and yet wrong: counted, not enrolled, and the rest of the group is not held up."""
    made = make_box()
    text = text_of(eve[1])
    vector = base64.b64encode(bytes(64)).decode()
    for number, (old, new) in enumerate(
        [('"Eve"', '"E\\u0007ve"'), ('"quality":0.5', '"quality":0.5,"note":"x"'), ('"quality":0.5', '"quality":7')]
    ):
        topic = TOPICS.identity(eve[0].id)
        assert old in text
        board.publish(topic, signed_payload(KEY, topic, text.replace(old, new).replace(str(LATE), str(LATE + number))))
    found = json.loads(text)
    found["content"]["pictures"][0]["embeddings"] = {"test-1": vector}
    said = json.dumps(found).replace(str(LATE), str(LATE + 10))
    board.publish(TOPICS.identity(eve[0].id), signed_payload(KEY, TOPICS.identity(eve[0].id), said))
    shards = {shard_of(eve[0].id): shard_digest([(eve[0].id, LATE + 10)])}
    head = Head(SCHEMA, LATE + 20, 1, "2026-01-31T00:00:00Z", shards)
    board.publish(TOPICS.head, signed_payload(KEY, TOPICS.head, text_of(head)))
    made.run()
    assert made.ids == set()
    assert made.state()["not_taken"] == {"malformed": 1}
    assert made.state()["missing"] == 0
