from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.config.settings import Mqtt
from edge.datatypes import Identity
from edge.errors import BrokerError
from edge.publish.client import Received
from edge.watch import Line, read_message, render_json, render_plain, render_rich, safe, watch
from tests.support.events import make_event
from tests.support.mosquitto import HOST, PATIENCE_S, free_port, mosquitto, subscriber

AT = 1_700_000_000.0


def read(topic: str, payload: bytes | dict[str, Any], *, retained: bool = False) -> Line:
    raw = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return read_message("ostiary", Received(topic, raw, retained), AT)


def event(**changes: Any) -> dict[str, Any]:
    return {**make_event().payload(age_ms=183.0), **changes}


@pytest.mark.parametrize(
    ("topic", "payload", "kind", "parts"),
    [
        ("ostiary/front/event", event(), "event", ["front/porch", "recognized", "Ada", "0.61", "0.20", "183 ms"]),
        ("ostiary/front/event", event(allowed=True, reason="allowed"), "event", ["Ada  allowed  similarity"]),
        (
            "ostiary/front/event",
            event(allowed=False, reason="schedule"),
            "event",
            ["Ada  refused: schedule  similarity"],
        ),
        ("ostiary/front/event", event(allowed=False, reason="\x1b[2J"), "event", ["refused: \\u001b[2J"]),
        (
            "ostiary/front/event",
            event(identity=None, event_type="unknown"),
            "event",
            ["unknown", "somebody unknown  sim"],
        ),
        ("ostiary/front/event", event(event_type="spoof_suspected"), "event", ["spoof_suspected"]),
        ("ostiary/front/history", event(replayed=True, age_ms=7.2e6), "history", ["replayed", "Ada", "120 min"]),
        ("ostiary/front/history", event(age_ms=45_000), "history", ["45 s"]),
        ("ostiary/front/presence", b"ON", "presence", ["front", "presence", "ON"]),
        ("ostiary/front/status", b"offline", "status", ["front", "status", "offline"]),
        ("ostiary/front/camera/porch/status", b"online", "camera", ["front/porch", "camera", "online"]),
    ],
)
def test_a_message_becomes_one_readable_line(topic: str, payload: Any, kind: str, parts: list[str]) -> None:
    line = read(topic, payload)
    assert line.kind == kind
    for shown in (render_plain(line), render_rich(line).plain):
        assert "\n" not in shown
        for part in parts:
            assert part in shown


@pytest.mark.parametrize(
    ("topic", "payload", "problem"),
    [
        ("ostiary/front/event", b"", "Expecting value"),
        ("ostiary/front/event", b"\xff\xfe", "decode"),
        ("ostiary/front/event", b"[" * 50_000, "recursion"),
        ("ostiary/front/event", b"9" * 50_000, "digits"),
        ("ostiary/front/event", b"[]", "not an object"),
        ("ostiary/front/event", b"{}", "no event_type"),
        ("ostiary/front/event", event(event_type="opened"), "unknown event_type"),
        ("ostiary/front/event", event(event_type=7), "event_type is no text"),
        ("ostiary/front/event", event(similarity="high"), "similarity is no number"),
        ("ostiary/front/event", event(allowed=1), "allowed is no boolean"),
        ("ostiary/front/event", event(allowed=False, reason=None), "reason is no text"),
        ("ostiary/front/event", event(margin=True), "margin is no number"),
        ("ostiary/front/event", event(age_ms=10**400), "too large"),
        ("ostiary/front/event", event(identity="Ada"), "identity is no object"),
        ("ostiary/front/event", event(identity={"id": "x"}), "no name"),
        ("ostiary/front/event", b'{"similarity": NaN}', "NaN is not JSON"),
        ("ostiary/front/event", b" " * 70_000, "70000 bytes"),
        ("ostiary/front/presence", b"on", "expected ON or OFF"),
        ("ostiary/front/status", b"", "expected online or offline"),
        ("ostiary/front/else", b"x", "not a topic of the contract"),
        ("ostiary", b"x", "not a topic of the contract"),
    ],
)
def test_what_breaks_the_contract_is_shown_as_such(topic: str, payload: Any, problem: str) -> None:
    line = read(topic, payload)
    assert line.kind == "malformed"
    assert problem in line.text
    assert problem in render_plain(line)
    assert json.loads(render_json(line)).keys() == {"topic", "error"}


@given(st.text(st.characters(exclude_categories=("Cs",))), st.binary(max_size=200))
def test_no_message_can_crash_it_or_reach_the_terminal(topic: str, payload: bytes) -> None:
    line = read("ostiary/" + topic, payload)
    assert render_plain(line).isprintable()
    assert render_rich(line).plain.isprintable()
    assert render_json(line).isascii()


@given(st.text())
def test_names_cannot_write_to_the_terminal(name: str) -> None:
    shown = safe(name)
    assert shown.isprintable()
    assert len(shown) <= 80


def test_escape_sequences_markup_and_direction_marks_are_spelt_out() -> None:
    name = "\x1b]0;owned\x07\x1b[2J[bold red]Ada[/]\u202egnp\r\n"
    payload = make_event(identity=Identity("x", name)).payload(age_ms=1)
    line = read("ostiary/front/event", payload)
    assert "\\u001b]0;owned\\u0007\\u001b[2J[bold red]Ada[/]\\u202egnp\\u000d\\u000a" in render_plain(line)
    assert "[bold red]Ada[/]" in render_rich(line).plain


def test_json_lines_are_the_events_themselves() -> None:
    payload = event()
    assert json.loads(render_json(read("ostiary/front/event", payload))) == payload
    shown = json.loads(render_json(read("ostiary/front/presence", b"ON")))
    assert shown == {"topic": "ostiary/front/presence", "payload": "ON"}


@pytest.mark.parametrize(("allowed", "style"), [(True, "bold green"), (False, "bold yellow")])
def test_who_was_refused_is_not_shown_in_green(allowed: bool, style: str) -> None:  # noqa: FBT001
    line = read("ostiary/front/event", event(allowed=allowed, reason="schedule"))
    shown = render_rich(line)
    assert [span.style for span in shown.spans if "recognized" in shown.plain[span.start : span.end]] == [style]


def test_boxes_of_old_do_not_say_whom_they_let_in() -> None:
    old = event()
    del old["allowed"], old["reason"]
    assert "Ada  similarity" in read("ostiary/front/event", old).text


def test_a_retained_message_is_marked() -> None:
    assert "(retained)" in render_plain(read("ostiary/front/presence", b"ON", retained=True))


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_it_follows_a_broker_through_a_restart(tmp_path: Path, protocol: str) -> None:
    with mosquitto(tmp_path) as broker:
        lines: list[Line] = []

        deadline = time.monotonic() + PATIENCE_S

        def is_over() -> bool:
            assert time.monotonic() < deadline, render_all(lines)
            return sum(line.kind == "event" for line in lines) == 2

        for line in watch(Mqtt(host=HOST, port=broker.port, protocol=protocol), is_stopping=is_over):
            lines.append(line)
            if line.text == "connected":
                tell(broker.port)
            if line.kind == "event" and not is_over():
                broker.stop()
                broker.start()
    assert [line.text for line in lines if line.kind == "connection"] == ["connected", "connection lost", "connected"]
    assert [line.kind for line in lines].count("status") == 2


def render_all(lines: list[Line]) -> str:
    return "\n".join(render_plain(line) for line in lines)


def tell(port: int) -> None:
    """An event for everybody who subscribed, and a retained status for those who come later."""
    with subscriber(port) as client:
        client.client.publish("ostiary/front/status", b"online", 1, retain=True).wait_for_publish(10)
        payload = json.dumps(make_event().payload(age_ms=1) | {"seq": 1, "latency_ms": {"publish": 0}})
        client.client.publish("ostiary/front/event", payload, 1).wait_for_publish(10)


def test_a_broker_that_is_not_there_is_an_error_at_once() -> None:
    with pytest.raises(BrokerError, match="nothing listens there"):
        list(watch(Mqtt(host=HOST, port=free_port())))
