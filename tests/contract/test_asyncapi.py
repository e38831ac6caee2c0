"""docs/asyncapi.yaml: it is valid, it says what the code does, and nothing is missing in it.

The official JSON Schema of AsyncAPI is not part of this project: OSTIARY_ASYNCAPI_SPECS names the folder `schemas` of the npm package
@asyncapi/specs. Without it the document's structure is checked by what stands here.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator

from edge.commands.verbs import RUN
from edge.config.delivery import HomeAssistant, Mqtt
from edge.discovery import birth_topic, discovery_topic
from edge.publish.client import MAX_PACKET_BYTES
from edge.publish.topics import Topics
from edge.sync.names import GroupTopics
from tests.support.asyncapi import Channel, channel_of, channels, document, resolve
from tests.support.data import ROOT
from tests.support.schemas import SCHEMAS

TOPICS = Topics("ostiary", "front")
KINDS: dict[str, tuple[str, str, int, bool]] = {
    # property of Topics: topic, action, QoS, retained
    "status": (TOPICS.status, "send", 1, True),
    "camera_status": (TOPICS.camera_status("porch"), "send", 1, True),
    "event": (TOPICS.event, "send", 1, False),
    "history": (TOPICS.history, "send", 1, False),
    "presence": (TOPICS.presence, "send", 1, True),
    "health": (TOPICS.health, "send", 0, True),
    "snapshot": (TOPICS.snapshot, "send", 0, False),
    "enabled": (TOPICS.enabled, "send", 1, True),
    "enabled_set": (TOPICS.enabled_set, "receive", 1, False),
    "command": (TOPICS.command("restart"), "receive", 1, False),
    "command_reply": (TOPICS.command_reply("restart"), "send", 1, False),
}
GALLERY = GroupTopics("ostiary", "staff")
SYNC = {GALLERY.head, GALLERY.identity("01M7WGM9RGC2J1J93DX7P2EV0C")}
HOME_ASSISTANT = {discovery_topic("homeassistant", "front"), birth_topic("homeassistant")}
NOT_SPOKEN = {"question"}
"""A topic that is only named in an UNSUBSCRIBE, to hear from the broker."""


def references(found: Any, path: str = "#") -> Iterator[tuple[str, str]]:
    """Every `$ref` below, and where it stands."""
    if isinstance(found, dict):
        if isinstance(found.get("$ref"), str):
            yield path, found["$ref"]
        for key, value in found.items():
            yield from references(value, f"{path}/{key}")
    elif isinstance(found, list):
        for number, value in enumerate(found):
            yield from references(value, f"{path}/{number}")


def test_the_official_schema_takes_it() -> None:
    folder = os.environ.get("OSTIARY_ASYNCAPI_SPECS")
    if not folder:
        pytest.skip("OSTIARY_ASYNCAPI_SPECS is not set (folder `schemas` of the npm package @asyncapi/specs)")
    version = document()["asyncapi"]
    schema = json.loads((Path(folder) / f"{version}-without-$id.json").read_text(encoding="utf-8"))
    problems = [
        f"{'/'.join(map(str, one.path))}: {one.message}" for one in Draft7Validator(schema).iter_errors(document())
    ]
    assert not problems


def test_the_structure_is_that_of_asyncapi_3() -> None:
    known = {"asyncapi", "id", "info", "servers", "defaultContentType", "channels", "operations", "components"}
    assert set(document()) == known
    assert document()["asyncapi"] == "3.0.0"
    assert {"title", "version"} <= set(document()["info"])
    for name, channel in document()["channels"].items():
        assert set(channel) == {"address", "description", "parameters", "messages"}, name
    for name, operation in document()["operations"].items():
        assert set(operation) <= {"action", "summary", "channel", "bindings", "reply"}, name
        assert operation["action"] in {"send", "receive"}
        assert set(operation["bindings"]["mqtt"]) <= {"qos", "retain", "messageExpiryInterval", "bindingVersion"}, name
    for name, message in document()["components"]["messages"].items():
        assert set(message) <= {"contentType", "payload", "examples"}, name


def test_every_reference_leads_somewhere() -> None:
    found = list(references(document()))
    assert len(found) > 40
    for where, reference in found:
        if reference.startswith("#/"):
            assert resolve(reference), where
        else:
            assert re.fullmatch(r"schemas/[a-z-]+\.schema\.json", reference), where
            assert (ROOT / "docs" / reference).is_file(), f"{where}: {reference}"


def test_nothing_is_defined_that_nobody_uses() -> None:
    used = {reference for _, reference in references(document()) if reference.startswith("#/components/")}
    for kind in ("messages", "parameters", "securitySchemes"):
        assert {f"#/components/{kind}/{name}" for name in document()["components"][kind]} <= used


def test_every_schema_of_a_payload_is_in_the_document() -> None:
    payloads = {path.name.removesuffix(".schema.json") for path in SCHEMAS.glob("*.json")} - {"config", "manifest"}
    assert {channel.schema for channel in channels()} - {""} == payloads


@pytest.mark.parametrize("channel", channels(), ids=lambda channel: channel.name)
def test_an_address_has_just_its_parameters(channel: Channel) -> None:
    written = document()["channels"][channel.name]
    assert set(re.findall(r"\{(\w+)\}", channel.address)) == set(written["parameters"])


def test_every_topic_of_the_code_is_in_it_once() -> None:
    assert (
        set(KINDS)
        == {name for name in vars(Topics) if not name.startswith("_")} - {"base", "device", "root"} - NOT_SPOKEN
    )
    topics = {row[0] for row in KINDS.values()} | HOME_ASSISTANT | SYNC
    # channel_of fails for a topic of two channels.
    assert {channel_of(topic).name for topic in topics} == {channel.name for channel in channels()}
    assert len(topics) == len(channels())


@pytest.mark.parametrize(("topic", "action", "qos", "retain"), KINDS.values(), ids=KINDS)
def test_how_a_topic_is_told(topic: str, action: str, qos: int, *, retain: bool) -> None:
    channel = channel_of(topic)
    assert (channel.action, channel.qos, channel.retain) == (action, qos, retain)


@pytest.mark.parametrize("channel", channels(), ids=lambda channel: channel.name)
def test_examples_are_what_they_show(channel: Channel) -> None:
    assert channel.examples or channel.content_type == "image/jpeg"
    assert [channel.problems(example) for example in channel.examples] == [[] for _ in channel.examples]


def test_an_example_that_is_wrong_would_be_found() -> None:
    channel = channel_of(TOPICS.event)
    assert channel.problems({**channel.examples[0], "seq": 0})
    assert channel_of(TOPICS.presence).problems("on")


def test_what_the_server_is_told_is_what_the_code_tells() -> None:
    bindings = document()["servers"]["broker"]["bindings"]["mqtt"]
    assert bindings["keepAlive"] == Mqtt().keepalive_s
    assert bindings["maximumPacketSize"] == MAX_PACKET_BYTES
    assert document()["operations"]["tellEvent"]["bindings"]["mqtt"]["messageExpiryInterval"] == Mqtt().event_ttl_s
    parameters = document()["components"]["parameters"]
    assert parameters["base"]["default"] == Mqtt().base_topic
    assert parameters["prefix"]["default"] == HomeAssistant().prefix


def test_the_pages_for_people_have_the_same_topics() -> None:
    told = {}
    page = (ROOT / "docs" / "gallery-sync.md").read_text(encoding="utf-8")
    for ending, retained, qos in re.findall(
        r"^\| `<base>/gallery/<group>(/[^`]+)` \| ([^|]+) \| ([01]) \|", page, re.MULTILINE
    ):
        told[channel_of(GALLERY.root + ending).name] = (int(qos), "yes" in retained)
    assert len(told) == len(SYNC)
    for name in ("mqtt.md", "commands.md"):
        page = (ROOT / "docs" / name).read_text(encoding="utf-8")
        for names, retained, qos in re.findall(
            r"^\| ((?:`[^`]+`(?:, )?)+) \| ([^|]+) \| ([01]) \|", page, re.MULTILINE
        ):
            for ending in re.findall(r"`(?:<base>/<device>)?(/[^`]+)`", names):
                topic = f"ostiary/front{re.sub(r'<[a-z]+>', 'x', ending)}"
                told[channel_of(topic).name] = (int(qos), "yes" in retained)
    ours = [one for one in channels() if one.address.startswith("{base}")]
    assert told == {channel.name: (channel.qos, channel.retain) for channel in ours}


def test_every_verb_is_in_it() -> None:
    assert document()["components"]["parameters"]["verb"]["enum"] == list(RUN)
