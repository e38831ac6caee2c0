from __future__ import annotations

import json
import math
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.commands import RefusedError
from edge.commands.arguments import VERBS, Enrol, EnrolPicture, List
from edge.commands.request import parse_moment, parse_request, read_envelope, read_object, request_id_of


@pytest.mark.parametrize(
    "data",
    [
        b"", b"null", b"[]", b'"x"', b"1", b"{", b"{}x", b'{"a": NaN}', b'{"a": Infinity}', b'{"a": -Infinity}',
        b'{"a": 1, "a": 1}', b'{"b": {"a": 1, "a": 2}}', b'{"a": 1e999}', b'{"a": ' + b"9" * 5000 + b"}",
        b'{"a": 123456789012345678901}', b"\xff{}", b'{"a": "\xc3"}', b'{"a": "\\ud800"}', b'{"\\udfff": 1}',
        b'{"a": ["\\ud800"]}', b"[" * 60_000, b'{"a":' * 10_000, "{}".encode("utf-16"), b"\xef\xbb\xbf{}", b'{"a": "\n"}',
    ],
)  # fmt: skip
def test_what_is_no_strict_json_object_is_refused(data: bytes) -> None:
    with pytest.raises(RefusedError, match="expected a JSON object") as caught:
        read_object(data)
    assert caught.value.code == "malformed"


@settings(max_examples=25)
@given(
    st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"])),
        st.recursive(
            st.none() | st.booleans() | st.integers(-(10**18), 10**18) | st.floats(allow_nan=False, allow_infinity=False)
            | st.text(st.characters(exclude_categories=["Cs"])),
            st.lists,
        ),
    ),
    st.booleans(),
)  # fmt: skip
def test_every_other_object_is_read_as_pythons_own_reader_does(found: dict[str, Any], ascii_only: bool) -> None:  # noqa: FBT001
    data = json.dumps(found, ensure_ascii=ascii_only).encode()
    assert read_object(data) == json.loads(data)


def test_half_of_an_escape_that_is_whole_with_the_other_half_is_text() -> None:
    assert read_object(b'{"a": "\\ud83d\\ude00"}') == {"a": "\U0001f600"}


@pytest.mark.parametrize(
    "envelope",
    [
        {"signed": "{}"}, {"signed": "{}", "key": "a"}, {"signed": {}, "key": "a", "signature": ""},
        {"signed": "{}", "key": "", "signature": ""}, {"signed": "{}", "key": "a b", "signature": ""},
        {"signed": "{}", "key": "a", "signature": "", "more": ""}, {"signed": "{}", "key": "a", "signature": None},
        {"signed": "{}", "key": "x" * 65, "signature": ""},
    ],
)  # fmt: skip
def test_an_envelope_is_whole_or_none(envelope: dict[str, Any]) -> None:
    with pytest.raises(RefusedError) as caught:
        read_envelope(json.dumps(envelope).encode())
    assert caught.value.code == "malformed"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-01-31T23:59:59Z", datetime(2026, 1, 31, 23, 59, 59, tzinfo=UTC)),
        ("2026-01-31t23:59:59.5z", datetime(2026, 1, 31, 23, 59, 59, 500_000, tzinfo=UTC)),
        ("2026-01-31T23:59:59.123456789Z", datetime(2026, 1, 31, 23, 59, 59, 123_456, tzinfo=UTC)),
        ("2026-02-01T00:59:59+01:00", datetime(2026, 1, 31, 23, 59, 59, tzinfo=UTC)),
        ("2026-01-31T18:29:59-05:30", datetime(2026, 1, 31, 23, 59, 59, tzinfo=UTC)),
    ],
)
def test_moments(text: str, expected: datetime) -> None:
    assert parse_moment(text) == expected.timestamp()


@pytest.mark.parametrize(
    "text",
    [
        "2026-01-31", "2026-01-31T23:59:59", "2026-01-31 23:59:59Z", "20260131T235959Z", "2026-13-31T23:59:59Z",
        "2026-01-31T23:59:60Z", "2026-01-31T24:00:00Z", "0000-01-01T00:00:00Z", "2026-01-31T23:59:59+25:00", "now", "",
        "٢٠٢٦-01-31T23:59:59Z", "2026-01-31T23:59:59Z\n", None, 1_800_000_000, 1.5, True, [],
    ],
)  # fmt: skip
def test_what_is_no_moment(text: object) -> None:
    with pytest.raises(RefusedError, match="issued_at"):
        parse_moment(text)


@given(st.text(max_size=40) | st.from_regex(r"\A\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\Z", alphabet="0123456789-T:Z"))
def test_a_moment_is_finite_or_refused(text: str) -> None:
    with suppress(RefusedError):
        assert math.isfinite(parse_moment(text))


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"request_id": "a"}, "a"), ({"request_id": "x" * 64}, "x" * 64), ({"request_id": "ha-17.5:ab_c"}, "ha-17.5:ab_c"),
        ({"request_id": "x" * 65}, None), ({"request_id": ""}, None), ({"request_id": "-a"}, None), ({}, None),
        ({"request_id": "a/b"}, None), ({"request_id": "a\n"}, None), ({"request_id": 1}, None), ({"request_id": "é"}, None),
    ],
)  # fmt: skip
def test_ids_of_requests(body: dict[str, Any], expected: str | None) -> None:
    assert request_id_of(body) == expected


BODY = {"request_id": "a", "issued_at": "2026-01-31T23:59:59Z"}


@pytest.mark.parametrize(
    ("verb", "arguments", "expected"),
    [
        ("list", {"limit": 0}, "limit"), ("list", {"limit": True}, "limit"), ("list", {"limit": "1"}, "limit"),
        ("list", {"limit": 1.0}, "limit"), ("list", {"limt": 1}, "unknown key"), ("snapshot", {"on": True}, "unknown key"),
        ("unlocking", {}, "on: missing"), ("unlocking", {"on": "ON"}, "true or false"), ("unlocking", {"on": 1}, "on"),
        ("remove", {}, "who: missing"), ("remove", {"who": ""}, "who"), ("remove", {"who": "x" * 201}, "who"),
        ("remove", {"who": None}, "who"), ("remove", {"who": ["x"]}, "who"), ("remove", {"who": "\0"}, "who"),
        ("enrol", {}, "name and id"), ("enrol", {"name": "a", "id": "0" * 26}, "name and id"),
        ("enrol", {"name": "a", "count": 21}, "count"), ("enrol", {"name": "a", "timeout_s": 0}, "timeout_s"),
        ("enrol", {"id": "short"}, "id"), ("enrol-picture", {"name": "a"}, "0 pictures"),
        ("enrol-picture", {"name": "a", "pictures": ["!"]}, "pictures"), ("enrol-picture", {"name": "a", "pictures": "x"}, "a list"),
        ("enrol-picture", {"name": "a", "pictures": ["AAAA"] * 11}, "11 pictures"),
        ("access", {"who": "a", "groups": "staff"}, "a list"), ("access", {"who": "a", "groups": ["a b"]}, "groups"),
        ("bundle", {"bundle": "../etc"}, "bundle"), ("bundle", {"bundle": ".active-1"}, "bundle"), ("bundle", {"bundle": "a/b"}, "bundle"),
    ],
)  # fmt: skip
def test_arguments_that_cannot_be_meant_are_refused(verb: str, arguments: dict[str, Any], expected: str) -> None:
    with pytest.raises(RefusedError, match=expected) as caught:
        parse_request(verb, {**BODY, **arguments}, VERBS[verb].arguments)
    assert caught.value.code == "malformed"


def test_a_request_as_it_is_meant() -> None:
    made = parse_request("list", {**BODY, "limit": 7}, List, "owner")
    assert (made.verb, made.request_id, made.signer, made.arguments) == ("list", "a", "owner", List(limit=7))
    enrol = parse_request("enrol", {**BODY, "name": "Ada", "groups": ["staff"]}, Enrol).arguments
    assert (enrol.who, enrol.groups, enrol.zones, enrol.count) == ("Ada", ("staff",), None, 5)
    assert (
        parse_request("enrol-picture", {**BODY, "id": "0" * 26, "pictures": ["AAAA"]}, EnrolPicture).arguments.who
        == "0" * 26
    )


def test_many_faults_make_one_short_message() -> None:
    with pytest.raises(RefusedError, match="and 45 more") as caught:
        parse_request("list", {**BODY, **{f"k{number}": 1 for number in range(50)}}, List)
    assert len(caught.value.message) < 1000
