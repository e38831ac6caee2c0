from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.validation import Fault, Limits, build, expected_of, setting

NAN, INF = float("nan"), float("inf")


@dataclass(frozen=True, slots=True)
class Inner:
    size: int = setting(3, doc="size", minimum=1, maximum=9)
    low: float = setting(0.0, doc="low")
    high: float = setting(1.0, doc="high")

    def __post_init__(self) -> None:
        if self.low > self.high:
            raise ValueError(f"low {self.low:g} is above high {self.high:g}; expected low at most high")


@dataclass(frozen=True, slots=True)
class Outer:
    name: str = setting(doc="a name", pattern=r"[a-z]+", example="door")
    inner: Inner = setting(Inner(), doc="a section")
    flag: bool = setting(default=False, doc="yes or no")
    ratio: float | None = setting(None, doc="a share", minimum=0, maximum=1)
    corners: tuple[float, float] = setting((0.0, 1.0), doc="two numbers", minimum=0)
    several: tuple[int, ...] = setting((), doc="numbers")
    kind: str = setting("a", doc="kind", choices=("a", "b"))
    file: Path | None = setting(None, doc="a file")
    parts: dict[str, Inner] = setting({}, doc="sections by name")
    anything: dict[str, Any] = setting({}, doc="for people")


def faults_of(data: object) -> list[str]:
    made, faults = build(Outer, data)
    assert (made is None) == bool(faults)
    return [f"{fault.path}: {fault.found}; expected {fault.expected}" for fault in faults]


GOOD: list[tuple[dict[str, Any], str, object]] = [
    ({"inner": None}, "inner", Inner()),
    ({"inner": {"size": 9}}, "inner", Inner(size=9)),
    ({"ratio": 1}, "ratio", 1.0),
    ({"ratio": None}, "ratio", None),
    ({"corners": [0, 2]}, "corners", (0.0, 2.0)),
    ({"several": [1, 2, 3]}, "several", (1, 2, 3)),
    ({"several": []}, "several", ()),
    ({"file": "/a/b"}, "file", Path("/a/b")),
    ({"parts": {"left": {"size": 2}}}, "parts", {"left": Inner(size=2)}),
    ({"anything": {"deep": [{"x": None}]}}, "anything", {"deep": [{"x": None}]}),
]


@pytest.mark.parametrize(("data", "name", "value"), GOOD)
def test_a_value_that_fits_is_converted(data: dict[str, Any], name: str, value: object) -> None:
    made, faults = build(Outer, {"name": "door", **data})
    assert not faults
    assert getattr(made, name) == value
    assert type(getattr(made, name)) is type(value)


BAD: list[tuple[object, str]] = [
    ({"name": 7}, "name: whole number 7; expected text like 'door'"),
    ({"name": "Door"}, "name: text 'Door'; expected text like 'door'"),
    ({"name": "door\n"}, "name: text 'door\\n'; expected text like 'door'"),
    ({"inner": {"size": 0}}, "inner.size: whole number 0; expected a whole number from 1 to 9"),
    ({"inner": {"size": 10}}, "inner.size: whole number 10; expected a whole number from 1 to 9"),
    ({"inner": {"size": 3.5}}, "inner.size: number 3.5; expected a whole number from 1 to 9"),
    ({"inner": {"size": True}}, "inner.size: boolean True; expected a whole number from 1 to 9"),
    ({"inner": {"size": None}}, "inner.size: nothing None; expected a whole number from 1 to 9"),
    ({"inner": {"sise": 3}}, "inner.sise: unknown key; expected 'size'?"),
    ({"inner": {"qqq": 3}}, "inner.qqq: unknown key; expected one of size, low, high"),
    ({"inner": {"low": 2}}, "inner: low 2 is above high 1; expected low at most high"),
    ({"inner": [1]}, "inner: list [1]; expected a mapping of keys to values"),
    ({"flag": 1}, "flag: whole number 1; expected true or false"),
    ({"flag": "yes"}, "flag: text 'yes'; expected true or false"),
    ({"ratio": NAN}, "ratio: number nan; expected a number from 0 to 1"),
    ({"ratio": INF}, "ratio: number inf; expected a number from 0 to 1"),
    ({"ratio": True}, "ratio: boolean True; expected a number from 0 to 1"),
    ({"corners": [1]}, "corners: a list of 1; expected a list of 2"),
    ({"corners": "ab"}, "corners: text 'ab'; expected a list"),
    ({"corners": [0, -1]}, "corners[1]: whole number -1; expected a number of at least 0"),
    ({"several": ["x"]}, "several[0]: text 'x'; expected a whole number"),
    ({"kind": "c"}, "kind: text 'c'; expected one of a, b"),
    ({"file": ""}, "file: text ''; expected a path"),
    ({"file": "a\0b"}, "file: text 'a\\x00b'; expected a path"),
    ({"parts": {"left": {"size": 99}}}, "parts.left.size: whole number 99; expected a whole number from 1 to 9"),
    ({"parts": []}, "parts: list []; expected a mapping"),
]


@pytest.mark.parametrize(("data", "expected"), BAD)
def test_a_value_that_does_not_fit_is_one_fault(data: dict[str, Any], expected: str) -> None:
    assert faults_of({"name": "door", **data}) == [expected]


def test_every_fault_is_reported_at_once() -> None:
    found = faults_of({"inner": {"size": 0, "nme": 1}, "flag": "x", "several": ["a", "b"], "other": 1})
    paths = [line.partition(":")[0] for line in found]
    assert sorted(paths) == ["flag", "inner.nme", "inner.size", "name", "other", "several[0]", "several[1]"]
    assert "name: missing; expected a name" in found


@pytest.mark.parametrize("data", [[], "text", 7, 1.5, True])
def test_what_is_no_mapping_is_refused(data: object) -> None:
    assert "expected a mapping" in faults_of(data)[0]


@pytest.mark.parametrize("number", [10**400, -(10**400), int("9" * 4000)])
def test_a_number_beyond_floating_point_is_a_fault(number: int) -> None:
    assert len(faults_of({"name": "door", "ratio": number, "inner": {"low": number, "size": number}})) == 3


def test_what_python_cannot_write_out_is_a_fault() -> None:
    # More than 4300 digits: repr() raises ValueError.
    number = 1 << 20_000
    found = faults_of({"name": number, number: 1, "parts": {number: 3}})
    assert [line.partition(":")[0] for line in found] == ["(too long to show)", "name", "parts.(too long to show)"]
    nested: list[Any] = []
    for _ in range(50_000):
        nested = [nested]
    assert faults_of({"name": nested}) == ["name: list too long to show; expected text like 'door'"]


def test_a_key_is_shown_on_one_short_line() -> None:
    found = faults_of({"name": "door", "x" * 1000: 1, "a\nb\x1b[2J": 2})
    assert [line.partition(": ")[0] for line in found] == ["x" * 57 + "...", "a\\nb\\x1b[2J"]


def test_a_fault_at_the_top_says_so() -> None:
    assert str(Fault("", "text 'x'", "a mapping")) == "(top level): text 'x'; expected a mapping"


@pytest.mark.parametrize(
    ("hint", "limits", "words"),
    [
        (int, {"minimum": 1, "maximum": 5}, "a whole number from 1 to 5"),
        (float, {"minimum": 0.5}, "a number of at least 0.5"),
        (float, {"maximum": 2}, "a number of at most 2"),
        (bool, {}, "true or false"),
        (str, {"choices": ("a", "b")}, "one of a, b"),
        (str, {"pattern": "x", "example": "xyz"}, "text like 'xyz'"),
        (Path, {}, "a path"),
    ],
)
def test_what_was_expected_in_words(hint: Any, limits: dict[str, Any], words: str) -> None:
    assert expected_of(hint, Limits(doc="", **limits)) == words


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.binary(max_size=4),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8) | st.integers(), inner, max_size=4),
    max_leaves=12,
)
KEYS = st.sampled_from(["name", "inner", "flag", "ratio", "corners", "several", "kind", "file", "parts", "anything"])


@given(PLAIN | st.dictionaries(KEYS, PLAIN, max_size=6))
def test_any_data_gives_an_object_or_faults(data: object) -> None:
    faults_of(data)
