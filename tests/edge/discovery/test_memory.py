"""What was announced, remembered; and what has to be taken back."""

from __future__ import annotations

import json
import logging
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.config.settings import Camera, Device, HomeAssistant, Mqtt, Publish, Settings
from edge.discovery import Announced, Box, plan
from edge.discovery.memory import MAX_ENTRIES, forget, memory_file, remember, remembered

DOOR = Settings(device=Device(name="front"), camera=Camera(name="porch"), publish=Publish(snapshot=True))
NOW = Announced.of(Box(DOOR))


def test_it_comes_back_as_it_was_and_is_the_owners_only(tmp_path: Path) -> None:
    path = memory_file(tmp_path / "new" / "outbox.sqlite")
    assert path.name == "outbox-announced.json"
    assert remembered(path) == ()
    silent = Announced.of(Box(replace(DOOR, home_assistant=HomeAssistant(discovery=False))))
    remember(path, [silent, NOW])
    assert remembered(path) == (silent, NOW)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [one.name for one in path.parent.iterdir()] == [path.name]


def test_it_stays_small(tmp_path: Path) -> None:
    path = tmp_path / "memory.json"
    many = [replace(NOW, device=f"door-{number}") for number in range(40)]
    remember(path, many)
    assert remembered(path) == tuple(many[-MAX_ENTRIES:])


def test_a_retired_box_is_forgotten(tmp_path: Path) -> None:
    path = tmp_path / "memory.json"
    other = replace(NOW, device="back")
    remember(path, [other, NOW])
    forget(path, base="ostiary", device="back")
    assert remembered(path) == (NOW,)
    forget(tmp_path / "none.json", base="ostiary", device="back")
    assert not (tmp_path / "none.json").exists()


def entry(**changes: Any) -> dict[str, Any]:
    return {
        "base": "ostiary",
        "device": "front",
        "camera": "porch",
        "prefix": "homeassistant",
        "components": [["a", "b"]],
        **changes,
    }


def test_the_entry_of_the_next_tests_is_a_good_one(tmp_path: Path) -> None:
    path = tmp_path / "memory.json"
    path.write_text(json.dumps({"version": 1, "announced": [entry()]}), encoding="utf-8")
    assert remembered(path) == (Announced("ostiary", "front", "porch", "homeassistant", (("a", "b"),)),)


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "[]", "null", "[" * 30_000, '{"version": 2, "announced": []}', '{"version": 1}', '{"version": 1, "announced": 5}',
        "x" * 70_000, "\ud800".encode("utf-8", "surrogatepass").decode("latin-1"),
        *(json.dumps({"version": 1, "announced": [entry(**changes)]}) for changes in (
            {"device": "#"}, {"base": "a/+"}, {"camera": 5}, {"prefix": ""}, {"device": "x" * 200}, {"components": [["a"]]},
            {"components": [["a", None]]}, {"components": "ab"}, {"device": "a\0"},
        )),
    ],
    ids=lambda text: text[:40],
)  # fmt: skip
def test_a_damaged_file_counts_as_none_and_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str) -> None:
    path = tmp_path / "memory.json"
    path.write_text(text, encoding="utf-8")
    with caplog.at_level(logging.WARNING):
        assert remembered(path) == ()
    assert "is not known" in caplog.text
    remember(path, [NOW])
    assert remembered(path) == (NOW,)


@given(st.binary(max_size=300))
def test_no_bytes_break_it(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any-memory.json"
    path.write_bytes(data)
    assert remembered(path) == ()


def test_a_folder_that_cannot_be_written_is_told_and_costs_nothing_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("", encoding="utf-8")
    remember(blocked / "memory.json", [NOW])
    assert "cannot be written" in caplog.text


STATES = {"status", "camera/porch/status", "presence", "health", "enabled"}


@pytest.mark.parametrize(
    ("changes", "gone"),
    [
        ({}, set()),
        ({"device": Device(name="back")}, {"homeassistant/device/ostiary-front/config", *(f"ostiary/front/{end}" for end in STATES)}),
        ({"camera": Camera(name="gate")}, {"ostiary/front/camera/porch/status"}),
        ({"mqtt": Mqtt(base_topic="home")}, {f"ostiary/front/{end}" for end in STATES}),
        ({"home_assistant": HomeAssistant(prefix="ha")}, {"homeassistant/device/ostiary-front/config"}),
        ({"home_assistant": HomeAssistant(discovery=False)}, {"homeassistant/device/ostiary-front/config"}),
    ],
)  # fmt: skip
def test_what_a_change_takes_back(changes: dict[str, Any], gone: set[str]) -> None:
    box = Box(replace(DOOR, **changes))
    messages = plan(box, [NOW])
    assert {one.topic for one in messages if not one.payload} == gone
    assert all(one.retain and one.qos == 1 for one in messages)
    own = Announced.of(box)
    told = [one.topic for one in messages if one.payload]
    assert told == ([] if own.discovery is None else [own.discovery])
    assert not gone & set(own.retained)


def test_a_component_that_is_gone_is_removed_by_its_platform_alone() -> None:
    [told] = plan(Box(replace(DOOR, publish=Publish())), [NOW])
    made = json.loads(told.payload)["components"]
    assert {key: one for key, one in made.items() if len(one) == 1} == {
        "face": {"platform": "image"},
        "snapshot": {"platform": "button"},
    }
    assert len(made["visitor"]) > 1
    [again] = plan(Box(replace(DOOR, publish=Publish())), [])
    assert "face" not in json.loads(again.payload)["components"]


def test_a_way_there_and_back_takes_nothing_of_its_own_away() -> None:
    """front -> back -> front, with no broker in between."""
    back = Announced.of(Box(replace(DOOR, device=Device(name="back"))))
    messages = plan(Box(DOOR), [NOW, back])
    assert {one.topic for one in messages if not one.payload} == {
        back.discovery,
        *(f"ostiary/back/{end}" for end in STATES),
    }
