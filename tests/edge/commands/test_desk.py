"""What commands do, on a real gallery, with cameras and networks made of paint."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import cv2
import pytest

from edge.bundle.store import BundleStore
from edge.config import settings as config
from edge.gallery import Gallery
from edge.gallery.records import IdentityRecord
from tests.edge.commands.support import NOW, OWNER, TOPICS, Bench, Make
from tests.support.fakes import BLUE, GREEN, RED, face, make_frame


def people(desk: Bench) -> dict[str, IdentityRecord]:
    with desk.gallery() as gallery:
        return {record.name: record for record in gallery.list_identities()}


def picture(colour: tuple[int, int, int]) -> str:
    done, data = cv2.imencode(".png", make_frame(0, {colour: face(50, 50)}).image)
    assert done
    return base64.b64encode(data.tobytes()).decode()


def test_rename_disable_enable_remove(desk: Bench) -> None:
    identity_id = desk.enrol("Ada Byron", 1, 0, 0)
    made = desk.order("rename", who="ada byron", name="Ada Lovelace")["result"]
    assert (made["id"], made["identity"]["name"], made["revision"]) == (identity_id, "Ada Lovelace", 2)
    assert desk.order("disable", who=identity_id)["result"]["identity"]["enabled"] is False
    assert not people(desk)["Ada Lovelace"].enabled
    assert desk.order("enable", who=identity_id)["result"]["identity"]["enabled"] is True
    removed = desk.order("remove", who=identity_id)["result"]
    assert {**removed, "is_scrubbed": True} == {
        "id": identity_id, "name": "Ada Lovelace", "embeddings": 1, "faces": 0, "is_scrubbed": True, "revision": 5,
    }  # fmt: skip
    assert people(desk) == {}


def test_the_audit_log_says_which_key_and_which_request(desk: Bench) -> None:
    identity_id = desk.enrol("Ada", 1, 0, 0)
    reply = desk.order("disable", who=identity_id)
    with desk.gallery() as gallery:
        newest = gallery.audit()[0]
    assert (newest.action, newest.identity_id) == ("disabled", identity_id)
    assert (newest.actor.kind, newest.actor.name, newest.actor.request_id) == ("mqtt", "owner", reply["request_id"])


def test_access(desk: Bench) -> None:
    identity_id = desk.enrol("Ada", 1, 0, 0)
    until = "2027-02-01T00:00:00+01:00"
    made = desk.order("access", who="Ada", groups=["staff"], schedule="mon-fri 08:00-18:00", valid_until=until)
    assert made["result"]["identity"] == {
        "id": identity_id, "name": "Ada", "enabled": True, "valid_from": None, "valid_until": "2027-01-31T23:00:00.000Z",
        "groups": ["staff"], "zones": [], "schedule": "mon-fri 08:00-18:00", "embeddings": 1, "faces": 0,
    }  # fmt: skip
    later = desk.order("access", who="Ada", groups=[], valid_until="")["result"]["identity"]
    assert (later["groups"], later["valid_until"], later["schedule"]) == ([], None, "mon-fri 08:00-18:00")
    for wrong in (
        {}, {"groups": ["stuff"]}, {"schedule": "whenever"}, {"valid_from": "2027-13-01"},
        {"valid_from": "2028-01-01", "valid_until": "2027-01-01"},
    ):  # fmt: skip
        assert desk.code("access", who="Ada", **wrong) == "refused"
    assert desk.order("list")["result"]["identities"] == [later]


@pytest.mark.parametrize("verb", ["rename", "disable", "enable", "access", "remove"])
def test_nobody_of_that_name(desk: Bench, verb: str) -> None:
    desk.enrol("Ada", 1, 0, 0)
    more = {"rename": {"name": "Eve"}, "access": {"groups": []}}.get(verb, {})
    reply = desk.order(verb, who="Adele", **more)
    assert reply["error"]["code"] == "refused"
    assert "nobody called 'Adele'" in reply["error"]["message"]
    # Where the gallery lies is nobody's business on a broker.
    assert str(desk.folder) not in reply["error"]["message"]
    assert people(desk).keys() == {"Ada"}


def test_two_of_one_name_are_told_apart_by_id(desk: Bench) -> None:
    with desk.gallery() as gallery:
        first, second = gallery.add_identity("Ada"), gallery.add_identity("Ada")
    assert "2 people are called" in desk.order("remove", who="Ada")["error"]["message"]
    assert desk.order("remove", who=first.id)["ok"]
    assert people(desk)["Ada"].id == second.id


def test_list_gives_a_page(desk: Bench) -> None:
    for name in ("c", "a", "b"):
        desk.enrol(name, 1, 0, 0)
    result = desk.order("list", offset=1, limit=1)["result"]
    assert (result["total"], result["revision"], [row["name"] for row in result["identities"]]) == (3, 3, ["b"])
    assert "note" not in result["identities"][0]


def test_from_pictures(desk: Bench) -> None:
    desk.detector.script = [[face(50, 50)], [], [face(50, 50)], [face(50, 50, 20)]]
    made = desk.order(
        "enrol-picture", name="Ada", note="door 2", consent="signed", groups=["staff"], schedule="mon 08:00-09:00",
        pictures=[picture(RED), picture(RED), picture(RED), picture(RED), "AAAA"],
    )["result"]  # fmt: skip
    assert [row["picture"] for row in made["accepted"]] == [1]
    assert [(row["picture"], row["reason"]) for row in made["refused"]] == [
        (2, "no_face"), (3, "duplicate"), (4, "too_small"), (5, "unreadable"),
    ]  # fmt: skip
    record = people(desk)["Ada"]
    assert (record.note, record.consent, record.groups, record.embeddings) == ("door 2", "signed", ("staff",), 1)
    assert made["identity"]["id"] == made["id"] == record.id


def test_nothing_is_written_when_nothing_is_taken(desk: Bench) -> None:
    reply = desk.order("enrol-picture", name="Ada", groups=["staff"], pictures=[picture(RED)])
    assert (reply["ok"], reply["error"]["code"]) == (False, "nobody_enrolled")
    assert reply["result"]["refused"][0]["reason"] == "no_face"
    assert people(desk) == {}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "Ada", "groups": ["stuff"]}, "no group 'stuff'"),
        ({"name": "Ada", "valid_from": "2028-01-01", "valid_until": "2027-01-01"}, "valid_from is not before"),
        ({"id": "0" * 26}, "nobody called"),
    ],
)
def test_an_enrolment_that_would_fail_at_the_end_fails_at_once(desk: Bench, arguments: Any, message: str) -> None:
    reply = desk.order("enrol", **arguments)
    assert reply["error"]["code"] == "refused"
    assert message in reply["error"]["message"]


def test_consent_is_asked_for_before_anybody_stands_before_the_camera(desk: Bench) -> None:
    def strict() -> Gallery:
        gallery = plain()
        gallery.require_consent = True
        return gallery

    plain = desk.work.gallery
    object.__setattr__(desk.work, "gallery", strict)
    assert "no note of consent" in desk.order("enrol", name="Ada")["error"]["message"]


def test_too_large_a_picture_is_not_decoded(desk: Bench) -> None:
    import struct
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 5000, 5000, 8, 2, 0, 0, 0))
    bomb += chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b"")
    reply = desk.order("enrol-picture", name="Ada", pictures=[base64.b64encode(bomb).decode()])
    assert "PNG picture of 5000x5000" in reply["result"]["refused"][0]["message"]


def ask_for(desk: Bench, **arguments: Any) -> None:
    assert desk.send("enrol", desk.payload("enrol", **arguments))
    desk.desk.tick()
    assert desk.publisher.replies == []


def shown(desk: Bench, number: int, colour: tuple[int, int, int], turn: float = 0.0) -> None:
    """Half a second later somebody is there; turned faces are aligned differently, and so no duplicates."""
    desk.time.pass_(0.6)
    there = face(50, 50, turn=turn)
    desk.detector.script = [[there]]
    desk.see(make_frame(number, {colour: there}, at_s=desk.time.monotonic_s))


def test_from_the_camera_whoever_comes_first(desk: Bench) -> None:
    ask_for(desk, name="Ada", count=2)
    desk.see(make_frame(0, at_s=1000.0), people=0)
    assert desk.detector.seen == []
    shown(desk, 1, (30, 40, 220))
    # Somebody else looks over her shoulder, more than once: not a face of hers, then or later.
    shown(desk, 2, BLUE)
    shown(desk, 3, BLUE)
    assert desk.publisher.replies == []
    shown(desk, 4, (60, 10, 200))
    made = desk.last("enrol")["result"]
    assert [row["reason"] for row in made["refused"]] == ["unlike", "unlike"]
    assert [row["picture"] for row in made["accepted"]] == [1, 4]
    assert people(desk)["Ada"].embeddings == 2
    assert desk.count("obeyed") == 1


def test_frames_that_follow_each_other_closely_are_passed_over(desk: Bench) -> None:
    ask_for(desk, name="Ada", count=5)
    for number in range(10):
        desk.see(make_frame(number, at_s=1000.0 + number * 0.04))
    assert len(desk.detector.seen) == 1


@pytest.mark.parametrize("is_seen", [True, False])
def test_when_the_time_is_up_what_was_taken_counts(desk: Bench, is_seen: bool) -> None:  # noqa: FBT001
    ask_for(desk, name="Ada", count=3, timeout_s=5)
    if is_seen:
        shown(desk, 1, RED)
    desk.time.pass_(5.1)
    desk.desk.tick()
    reply = desk.last("enrol")
    assert reply["ok"] is is_seen
    assert reply.get("error", {}).get("code") == (None if is_seen else "nobody_enrolled")
    desk.desk.tick()
    assert len(desk.publisher.replies) == 1


def test_one_enrolment_at_a_time_and_other_orders_meanwhile(desk: Bench) -> None:
    ask_for(desk, name="Ada")
    assert desk.code("enrol", name="Eve") == "busy"
    assert desk.order("list")["ok"]


def test_who_waits_when_the_daemon_ends_is_told(desk: Bench) -> None:
    ask_for(desk, name="Ada")
    assert desk.send("list", desk.payload("list"))
    desk.desk.close()
    assert {topic: reply["error"]["code"] for topic, reply in desk.publisher.replies} == {
        TOPICS.command_reply("enrol"): "interrupted", TOPICS.command_reply("list"): "interrupted",
    }  # fmt: skip
    assert desk.code("list") == "busy"
    desk.desk.tick()
    assert desk.count("obeyed") == 0


def test_a_snapshot_is_the_whole_frame_now(make: Make) -> None:
    desk = make(publish=config.Publish(snapshot=True, snapshot_px=320))
    assert desk.send("snapshot", desk.payload("snapshot", None))
    desk.desk.tick()
    desk.see(make_frame(0, {GREEN: face(50, 50)}), people=0)
    assert desk.last("snapshot")["result"] == {"bytes": len(desk.publisher.snapshots[0])}
    import numpy as np

    image = cv2.imdecode(np.frombuffer(desk.publisher.snapshots[0], np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    assert image.shape == (240, 320, 3)


def test_no_snapshot_without_leave_or_without_a_camera(make: Make) -> None:
    desk = make(publish=config.Publish(snapshot=True))
    desk.send("snapshot", desk.payload("snapshot", None))
    desk.desk.tick()
    desk.time.pass_(5.1)
    desk.desk.tick()
    assert desk.last("snapshot")["error"]["code"] == "timeout"
    object.__setattr__(desk.work, "settings", config.Settings())
    assert desk.code("snapshot", None) == "unavailable"
    assert desk.publisher.snapshots == []


def test_unlocking_is_switched_and_kept(desk: Bench) -> None:
    assert desk.order("unlocking", None, on=False)["result"] == {"on": False}
    assert (desk.publisher.is_enabled, desk.journal.is_on("unlocking")) == (False, False)
    assert desk.order("unlocking", OWNER, on=True)["result"] == {"on": True}
    assert (desk.publisher.is_enabled, desk.journal.is_on("unlocking")) == (True, True)


@pytest.mark.parametrize(
    ("unsigned", "payload", "retained", "expected"),
    [
        (("unlocking",), b"OFF", False, False), (("unlocking",), b"ON", False, True), ((), b"OFF", False, False),
        ((), b"ON", False, None), (("unlocking",), b"OFF", True, None), (("unlocking",), b"off", False, None),
        (("unlocking",), b"", False, None), (("unlocking",), b"ON\n", False, None), (("unlocking",), b'{"on":false}', False, None),
    ],
)  # fmt: skip
@pytest.mark.parametrize("before", [True, False])
def test_the_plain_switch(  # noqa: PLR0917 - columns
    make: Make, unsigned: Any, payload: bytes, retained: bool, expected: bool | None, before: bool  # noqa: FBT001
) -> None:  # fmt: skip
    desk = make(commands=config.Commands(unsigned=unsigned))
    desk.journal.set_switch("unlocking", is_on=before)
    desk.publisher.set_enabled(is_on=before)
    assert desk.router.dispatch(TOPICS.enabled_set, payload, retained=retained) is (expected is not None)
    after = before if expected is None else expected
    assert (desk.publisher.is_enabled, desk.journal.is_on("unlocking")) == (after, after)


def test_off_is_obeyed_even_when_the_disk_takes_nothing(desk: Bench, caplog: pytest.LogCaptureFixture) -> None:
    desk.journal._db.execute("PRAGMA query_only = ON")
    assert desk.router.dispatch(TOPICS.enabled_set, b"OFF", retained=False)
    assert not desk.publisher.is_enabled
    assert "until the next start only" in caplog.text


def test_restart_is_answered_first(desk: Bench) -> None:
    assert desk.order("restart", None)["result"] == {"restarting": True}
    assert desk.restarts == ["restart"]


def test_a_command_that_waited_too_long_is_not_carried_out(desk: Bench) -> None:
    assert desk.send("restart", desk.payload("restart"))
    desk.time.pass_(31)
    desk.desk.tick()
    assert desk.last("restart")["error"]["code"] == "stale"
    assert desk.restarts == []


def test_a_fault_of_our_own_is_told_and_ends_nothing(desk: Bench, caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> Gallery:
        raise RuntimeError("boom")

    object.__setattr__(desk.work, "gallery", broken)
    reply = desk.order("list")
    assert (reply["error"]["code"], desk.count("failed")) == ("failed", 1)
    assert "boom" not in reply["error"]["message"]
    assert "boom" in caplog.text


def test_a_gallery_that_cannot_be_read_is_told(desk: Bench) -> None:
    (desk.folder / "gallery.sqlite").write_bytes(b"no gallery" * 100)
    assert desk.code("list") == "rejected"


def test_no_bundle_where_none_is_foreseen(make: Make, tmp_path: Path) -> None:
    assert make().code("bundle", bundle="two") == "unavailable"
    assert BundleStore(tmp_path).active() is None


def test_the_door_knows_of_a_change_before_its_answer_is_told(desk: Bench) -> None:
    desk.enrol("Ada", 1, 0, 0)
    seen: list[int] = []
    object.__setattr__(desk.work, "refresh", lambda: seen.append(len(desk.publisher.replies)))
    desk.order("remove", who="Ada")
    assert seen == [0]


def test_the_time_of_the_journal_is_the_requests(desk: Bench) -> None:
    desk.order("list")
    assert desk.journal._db.execute("SELECT issued_at FROM requests").fetchall() == [(NOW,)]
