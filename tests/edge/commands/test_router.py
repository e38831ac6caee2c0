from __future__ import annotations

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.commands import MAX_COMMAND_BYTES, Commands, parse_switch


@pytest.mark.parametrize(
    ("topic", "payload", "retained", "expected"),
    [
        ("d/enabled/set", b"ON", False, [True]),
        ("d/enabled/set", b"OFF", False, [False]),
        ("d/enabled/set", b"ON", True, []),
        ("d/enabled/set", b"on", False, []),
        ("d/enabled/set", b"", False, []),
        ("d/enabled/set", b"\xff\xfe\x00", False, []),
        ("d/enabled/set", b"ON" * MAX_COMMAND_BYTES, False, []),
        ("d/other/set", b"ON", False, []),
    ],
)
def test_only_a_fresh_and_well_formed_command_is_obeyed(
    topic: str,
    payload: bytes,
    retained: bool,  # noqa: FBT001 - a column of the table
    expected: list[bool],
) -> None:
    heard: list[bool] = []
    commands = Commands()
    commands.on("d/enabled/set", lambda raw: heard.append(parse_switch(raw)))
    assert commands.dispatch(topic, payload, retained=retained) is bool(expected)
    assert heard == expected
    assert commands.ignored == 1 - len(expected)


def test_a_handler_that_fails_is_logged_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    def fail(_: bytes) -> None:
        raise RuntimeError("boom")

    commands = Commands()
    commands.on("d/cmd/fail", fail)
    with caplog.at_level(logging.ERROR):
        assert not commands.dispatch("d/cmd/fail", b"{}", retained=False)
    assert commands.ignored == 1
    assert "boom" in caplog.text
    assert commands.topics == ("d/cmd/fail",)


@given(st.binary(max_size=40))
def test_a_switch_is_on_off_or_refused(payload: bytes) -> None:
    if payload in (b"ON", b"OFF"):
        assert parse_switch(payload) is (payload == b"ON")
    else:
        with pytest.raises(ValueError, match="expected ON or OFF"):
            parse_switch(payload)
