"""`ostiary command` before a broker, with a box that says what the test wants."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge.cli.command import packed
from edge.commands.arguments import MAX_PICTURE_COMMAND_BYTES
from edge.commands.asking import Command as CommandToSend
from edge.commands.asking import _Conversation
from edge.commands.request import Envelope
from edge.commands.signature import KeyRing, new_key, public_key
from edge.errors import UsageError
from edge.publish.client import Received
from edge.publish.topics import Topics
from tests.edge.cli.conftest import Command
from tests.support.mosquitto import HOST, Mosquitto, Subscriber, free_port, mosquitto, subscriber

KEY = new_key("owner")
Answer = Callable[[dict[str, Any]], dict[str, Any]]


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    with mosquitto(tmp_path / "broker") as running:
        yield running


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "owner.key"
    path.write_text(KEY.line() + "\n", encoding="utf-8")
    return path


@contextmanager
def box(port: int, answer: Answer, *, chatter: tuple[bytes, ...] = ()) -> Iterator[Subscriber]:
    """Answers each command on `ostiary/door/cmd/...`; `chatter` comes on the topic of replies first."""
    with subscriber(port, "ostiary/door/cmd/+", is_checking=False) as listening:

        def heard(client: Any, _userdata: Any, message: Any) -> None:
            found = json.loads(message.payload)
            body = json.loads(found["signed"]) if "signed" in found else found
            for text in chatter:
                client.publish(f"{message.topic}/reply", text, 1)
            client.publish(f"{message.topic}/reply", json.dumps({"request_id": body["request_id"], **answer(body)}), 1)
            listening.heard.append(message)

        listening.client.on_message = heard
        yield listening


def at(broker: Mosquitto) -> tuple[object, ...]:
    return ("--host", HOST, "--port", broker.port)


def test_a_signed_command_and_its_answer(ostiary: Command, broker: Mosquitto, key_file: Path) -> None:
    identity = {
        "id": "01X",
        "name": "Ada\x1b[31m",
        "enabled": False,
        "embeddings": 2,
        "groups": ["staff"],
        "schedule": "mon 08:00-09:00",
    }
    noise = (b"{", b'{"request_id": "other", "ok": true}', b'{"ok": true}', b"\xff", b"[]")
    with box(
        broker.port, lambda _: {"ok": True, "result": {"id": "01X", "identity": identity, "revision": 3}}, chatter=noise
    ) as listening:
        made = ostiary(
            "command", "access", "who=Ada", "--key", key_file, "groups=staff,night", *at(broker), "schedule="
        )
    assert (made.code, made.err) == (0, "")
    assert made.out == (
        "access: done, id 01X, revision 3\n"
        "01X  Ada\\x1b[31m  2 embeddings, disabled, groups staff; schedule mon 08:00-09:00\n"
    )
    [message] = listening.heard
    found = json.loads(message.payload)
    envelope = Envelope(found["signed"].encode(), found["key"], found["signature"])
    assert KeyRing([public_key(KEY)]).verify("ostiary/door/cmd/access", envelope).name == "owner"
    body = json.loads(found["signed"])
    assert (body["who"], body["groups"], body["schedule"]) == ("Ada", ["staff", "night"], "")


def test_a_refusal_is_told_and_is_exit_code_1(ostiary: Command, broker: Mosquitto) -> None:
    with box(broker.port, lambda _: {"ok": False, "error": {"code": "stale", "message": "issued\n45 s ago"}}):
        made = ostiary("command", "restart", *at(broker))
        as_json = ostiary("command", "restart", "--json", *at(broker))
    assert (made.code, made.out, made.err) == (1, "", "restart refused [stale]: issued\\n45 s ago\n")
    assert as_json.code == 1
    assert as_json.rows[0]["error"]["code"] == "stale"


@pytest.mark.parametrize(
    "answer",
    [
        {"ok": True, "result": [1]},
        {"ok": True},
        {"ok": True, "result": {"identities": 1, "accepted": [1], "identity": []}},
        {"ok": False, "error": 1},
    ],
)
def test_an_answer_may_hold_anything(ostiary: Command, broker: Mosquitto, answer: dict[str, Any]) -> None:
    with box(broker.port, lambda _: answer):
        made = ostiary("command", "snapshot", *at(broker))
    assert made.code == (0 if answer["ok"] else 1)
    assert "Traceback" not in made.err


def test_no_answer(ostiary: Command, broker: Mosquitto) -> None:
    made = ostiary("command", "snapshot", "--timeout", 0.2, *at(broker))
    assert made.code == 3
    assert "ostiary/door/cmd/snapshot: no answer within 0.2 s" in made.err


@pytest.mark.parametrize(
    ("status", "hint"), [(None, "no such device"), (b"offline", "offline"), (b"online", "The device is online")]
)
def test_why_there_may_be_no_answer(status: bytes | None, hint: str) -> None:
    talk = _Conversation(Topics("ostiary", "door"), CommandToSend("snapshot", "a", b""))
    if status is not None:
        talk.heard(Received("ostiary/door/status", status, retained=True))
    assert hint in talk.hint()


def test_no_broker(ostiary: Command) -> None:
    made = ostiary("command", "snapshot", "--host", HOST, "--port", free_port())
    assert made.code == 3
    assert "Traceback" not in made.err


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("lst",), "Did you mean list?"),
        (("remove", "who=Ada"), "remove needs a signature; expected --key FILE"),
        (("list", "limit=0", "more=1"), "2 faults in the arguments of list"),
        (("list", "limit=many"), "limit: text 'many'"),
        (("unlocking", "on=maybe"), "on: text 'maybe'"),
        (("unlocking",), "on: missing"),
        (("unlocking", "on"), "argument 'on'; expected NAME=VALUE with on"),
        (("unlocking", "on=true", "on=false"), "each name once"),
        (("snapshot", "x"), "expected no arguments"),
        (("enrol", "--key", "nix.key", "name=Ada"), "nix.key: cannot be read"),
        (("enrol", "--key", "nix.key", "name=Ada", "--kye"), "unrecognized arguments: name=Ada --kye"),
        (("enrol", "name=Ada", "--key", "nix.key", "Ada"), "unrecognized arguments: Ada"),
        (("enrol", "name=Ada", "--key", "nix.key"), "nix.key: cannot be read"),
        (("enrol-picture", "name=Ada", "--picture", "nix.jpg"), "nix.jpg: cannot be read"),
        (("enrol-picture", "name=Ada"), "0 pictures"),
        (("snapshot", "--timeout", "0"), "expected seconds"),
    ],
)
def test_mistakes_are_found_before_anything_is_sent(ostiary: Command, words: tuple[str, ...], expected: str) -> None:
    made = ostiary("command", *words, "--host", HOST, "--port", free_port())
    assert made.code in (1, 2)
    assert expected in made.err


def test_switches_have_words(ostiary: Command, broker: Mosquitto) -> None:
    seen: list[Any] = []

    def answer(body: dict[str, Any]) -> dict[str, Any]:
        seen.append(body["on"])
        return {"ok": True, "result": {"on": body["on"]}}

    with box(broker.port, answer):
        for word in ("on", "false", "YES"):
            assert ostiary("command", "unlocking", f"on={word}", *at(broker)).code == 0
    assert seen == [True, False, True]


@pytest.mark.parametrize("count", [1, 10])
def test_pictures_are_made_to_fit_and_carry_nothing_else(tmp_path: Path, count: int) -> None:
    rng = np.random.default_rng(1)
    path = tmp_path / "noise.jpg"
    assert cv2.imwrite(str(path), rng.integers(0, 256, (900, 1400, 3), np.uint8))
    data = path.read_bytes()
    path.write_bytes(data[:2] + b"\xff\xe1\x00\x10Exif\0\0secret!!" + data[2:])
    made = packed([path] * count)
    assert len(made) == count
    assert sum(len(base64.b64encode(one)) for one in made) < MAX_PICTURE_COMMAND_BYTES
    assert not any(b"secret" in one for one in made)
    image = cv2.imdecode(np.frombuffer(made[0], np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    assert max(image.shape) >= 320


def test_more_pictures_than_one_command_holds(tmp_path: Path) -> None:
    path = tmp_path / "noise.png"
    assert cv2.imwrite(str(path), np.random.default_rng(1).integers(0, 256, (600, 600, 3), np.uint8))
    with pytest.raises(UsageError, match="too many pictures"):
        packed([path] * 60)
