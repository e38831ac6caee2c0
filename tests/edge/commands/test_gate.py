"""What is refused before anything is done, and that refusing costs an owner nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest

from edge.commands.desk import MAX_WAITING
from edge.commands.journal import Journal
from edge.config import settings as config
from tests.edge.commands.support import GUEST, NOW, OWNER, STRANGER, TOPICS, Bench, Make


def test_a_signed_command_is_obeyed(desk: Bench) -> None:
    assert desk.order("list") == {
        "request_id": desk.last("list")["request_id"], "ok": True,
        "result": {"total": 0, "offset": 0, "identities": [], "revision": 0},
    }  # fmt: skip
    assert (desk.count("obeyed"), desk.count("ignored")) == (1, 0)


@pytest.mark.parametrize(
    ("verb", "key", "age_s", "arguments", "code"),
    [
        ("list", None, 0, {}, "unsigned"),
        ("remove", None, 0, {"who": "Ada"}, "unsigned"),
        ("bundle", None, 0, {"bundle": "a"}, "unsigned"),
        ("list", STRANGER, 0, {}, "bad_signature"),
        ("snapshot", STRANGER, 0, {}, "bad_signature"),
        ("remove", GUEST, 0, {"who": "Ada"}, "not_allowed"),
        ("list", OWNER, 31, {}, "stale"),
        ("list", OWNER, -31, {}, "stale"),
        ("restart", None, 31, {}, "stale"),
        ("restart", None, 1e8, {}, "stale"),
        ("list", OWNER, 0, {"limit": 0}, "malformed"),
        ("list", OWNER, 0, {"more": 1}, "malformed"),
    ],
)
def test_what_does_not_pass(  # noqa: PLR0917 - columns
    desk: Bench, verb: str, key: Any, age_s: float, arguments: Any, code: str
) -> None:
    assert not desk.send(verb, desk.payload(verb, key, age_s=age_s, **arguments))
    reply = desk.last(verb)
    assert (reply["ok"], reply["error"]["code"]) == (False, code)
    assert (desk.count(code), desk.count("ignored"), desk.count("obeyed")) == (1, 1, 0)
    desk.desk.tick()
    assert len(desk.publisher.replies) == 1


@pytest.mark.parametrize("age_s", [29.9, -29.9])
def test_clocks_may_differ_a_little(desk: Bench, age_s: float) -> None:
    assert desk.send("list", desk.payload("list", age_s=age_s))


def test_a_stale_command_is_told_what_the_clock_shows_and_whether_it_is_right(desk: Bench) -> None:
    desk.send("list", desk.payload("list", age_s=45))
    assert "issued 45 s ago" in desk.last("list")["error"]["message"]
    assert "2027-01-15T08:00:00.000Z" in desk.last("list")["error"]["message"]
    assert "nobody" not in desk.last("list")["error"]["message"]
    desk.desk._gate._is_synced = lambda: False
    desk.send("list", desk.payload("list", age_s=-45))
    assert "45 s in the future" in desk.last("list")["error"]["message"]
    assert "nobody keeps that clock right" in desk.last("list")["error"]["message"]


@pytest.mark.parametrize("verb", ["snapshot", "restart", "unlocking"])
def test_what_may_be_unsigned_is_the_configurations_choice(make: Make, verb: str) -> None:
    desk = make(commands=config.Commands(unsigned=()))
    arguments = {"on": False} if verb == "unlocking" else {}
    assert desk.code(verb, None, **arguments) == "unsigned"
    assert desk.publisher.is_enabled
    assert desk.restarts == []


def test_a_signature_is_worth_nothing_elsewhere(desk: Bench) -> None:
    payload = desk.payload("disable", who="Ada")
    assert not desk.send("enable", payload)
    other = json.loads(desk.payload("list"))
    assert TOPICS.command("list") == "ostiary/front/cmd/list"
    from edge.commands.signature import sign

    back = sign(OWNER, "ostiary/back/cmd/list", other["signed"])
    assert not desk.send("list", json.dumps(back).encode())
    assert desk.count("bad_signature") == 2


def test_each_request_is_obeyed_once(desk: Bench) -> None:
    payload = desk.payload("unlocking", on=False)
    assert desk.send("unlocking", payload)
    assert not desk.send("unlocking", payload)
    assert desk.last("unlocking")["error"]["code"] == "duplicate"
    desk.desk.tick()
    first = desk.last("unlocking")
    desk.publisher.set_enabled(is_on=True)
    assert not desk.send("unlocking", payload)
    assert desk.last("unlocking") == first
    desk.desk.tick()
    assert desk.publisher.is_enabled
    assert (desk.count("duplicate"), desk.count("obeyed")) == (2, 1)


def test_an_id_that_says_something_else_is_no_repetition(desk: Bench) -> None:
    payload = desk.payload("unlocking", None, on=False)
    desk.send("unlocking", payload)
    desk.desk.tick()
    assert not desk.send("unlocking", payload.replace(b"false", b"true"))
    assert "another request" in desk.last("unlocking")["error"]["message"]
    desk.desk.tick()
    assert not desk.publisher.is_enabled


def test_nobody_uses_up_an_owners_ids(desk: Bench) -> None:
    body = json.loads(desk.payload("snapshot", None))
    from edge.commands.signature import sign

    text = json.dumps(body)
    assert desk.send("snapshot", text.encode())
    assert desk.send("snapshot", json.dumps(sign(OWNER, TOPICS.command("snapshot"), text)).encode())


def test_a_clock_that_is_set_back_brings_no_command_to_life(desk: Bench) -> None:
    payload = desk.payload("unlocking", on=False)
    desk.send("unlocking", payload)
    desk.desk.tick()
    desk.time.unix_s += 3600
    assert desk.order("list")["ok"]
    desk.publisher.set_enabled(is_on=True)
    desk.time.unix_s -= 3600
    assert not desk.send("unlocking", payload)
    assert "keeps no record" in desk.last("unlocking")["error"]["message"]
    desk.desk.tick()
    assert desk.publisher.is_enabled


def test_strangers_use_up_nothing_of_an_owners_rate(make: Make) -> None:
    desk = make(commands=config.Commands(per_minute=3))
    for _ in range(20):
        desk.send("list", desk.payload("list", STRANGER))
        desk.send("list", desk.payload("list", None))
        desk.send("list", b"{")
    # Told a few times, counted always.
    assert len(desk.publisher.replies) == 3
    assert (desk.count("bad_signature"), desk.count("unsigned"), desk.count("malformed")) == (20, 20, 20)
    for _ in range(5):
        desk.send("unlocking", desk.payload("unlocking", None, on=True))
        desk.desk.tick()
    assert (desk.count("rate_limited"), desk.count("obeyed")) == (2, 3)
    for _ in range(3):
        assert desk.order("list")["ok"]
        assert desk.order("list", GUEST)["ok"]
    assert not desk.send("list", desk.payload("list"))
    assert desk.count("rate_limited") == 3
    desk.time.pass_(20)
    assert desk.order("list")["ok"]
    assert not desk.send("list", desk.payload("list"))


def test_repeating_what_an_owner_said_uses_up_nothing_either(make: Make) -> None:
    desk = make(commands=config.Commands(per_minute=2))
    payload = desk.payload("list")
    desk.send("list", payload)
    desk.desk.tick()
    for _ in range(10):
        desk.send("list", payload)
    assert desk.order("list")["ok"]


def test_retained_and_oversized_commands_are_not_even_answered(desk: Bench) -> None:
    assert not desk.send("list", desk.payload("list"), retained=True)
    assert not desk.send("list", b" " * 65_537)
    assert not desk.send("coffee", b"{}")
    assert desk.publisher.replies == []
    assert [desk.count(code) for code in ("retained", "oversized", "unknown", "ignored")] == [1, 1, 1, 3]


def test_pictures_have_more_room(desk: Bench) -> None:
    desk.send("enrol-picture", desk.payload("enrol-picture", STRANGER, name="a", pictures=["A" * 300_000]))
    assert desk.count("bad_signature") == 1
    desk.send("enrol-picture", b" " * 1_048_577)
    assert desk.count("oversized") == 1


def test_more_than_can_wait_are_told_so_and_may_come_again(desk: Bench) -> None:
    for _ in range(MAX_WAITING):
        assert desk.send("list", desk.payload("list"))
    payload = desk.payload("list")
    assert not desk.send("list", payload)
    assert desk.last("list")["error"]["code"] == "busy"
    for _ in range(MAX_WAITING):
        desk.desk.tick()
    assert desk.count("obeyed") == MAX_WAITING
    assert desk.send("list", payload)


def test_a_command_during_which_the_box_died_is_not_begun_again(desk: Bench) -> None:
    payload = desk.payload("restart")
    assert desk.send("restart", payload)
    desk.journal.close()
    again = Journal(desk.journal.path, clock=desk.time.clock)
    desk.desk._gate._journal = again
    assert not desk.send("restart", payload)
    assert desk.last("restart")["error"]["code"] == "interrupted"
    again.close()


def test_what_cannot_be_remembered_is_not_obeyed(desk: Bench) -> None:
    desk.journal._db.execute("PRAGMA query_only = ON")
    assert desk.code("restart") == "unavailable"
    assert desk.restarts == []


def test_a_signed_command_without_any_keys(make: Make) -> None:
    desk = make()
    desk.desk._gate._keys = type(desk.desk._gate._keys)()
    assert desk.code("list") == "bad_signature"


def test_the_time_of_the_tests_is_the_one_in_the_message() -> None:
    from edge.timebase import rfc3339

    assert rfc3339(NOW) == "2027-01-15T08:00:00.000Z"
