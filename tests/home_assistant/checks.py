"""What the live check looks at, in this order."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from edge.commands.request import parse_moment, read_object, request_id_of
from edge.config.settings import Device, HomeAssistant, Publish
from edge.datatypes import Verdict
from edge.discovery import box_of, discovery_topic, message
from tests.home_assistant.stage import ADA, GRACE, JPEG, VISITOR, Stage, entity_ids, say
from tests.support.events import make_event, make_health
from tests.support.mosquitto import wait_for


def check_discovery(stage: Stage) -> None:
    api = stage.server.api
    expected = entity_ids(stage.settings)
    wait_for(lambda: expected <= api.entities(), f"the entities {sorted(expected)}", 60)
    attributes = [
        api.render(f"{{{{ device_attr('{VISITOR}', '{name}') }}}}") for name in ("name", "manufacturer", "sw_version")
    ]
    assert attributes == ["Front door", "Ostiary", message(box_of(stage.settings))["device"]["sw_version"]]
    assert api.render(f"{{{{ area_name('{VISITOR}') }}}}") == "Entrance"
    wait_for(lambda: api.is_state(VISITOR, "unknown"), "the visitor entity to be available")
    assert not any("object_id" in line and "ostiary" in line for line in stage.server.log.splitlines())
    say(f"discovered: {len(expected)} entities of one device")


def check_states(stage: Stage) -> None:
    api, name = stage.server.api, "ostiary_front_door"
    expected = {
        f"binary_sensor.{name}_presence": "off", f"binary_sensor.{name}_camera": "off", f"switch.{name}_unlocking": "on",
        f"sensor.{name}_outbox": "0", f"sensor.{name}_gallery": "4", f"update.{name}_bundle": "on",
        f"sensor.{name}_let_in": "unknown",
    }  # fmt: skip
    for entity_id, value in expected.items():
        wait_for(lambda entity_id=entity_id, value=value: api.is_state(entity_id, value), f"{entity_id}: {value}")  # type: ignore[misc]
    update = api.state(f"update.{name}_bundle")
    assert update is not None
    versions = [update["attributes"][name] for name in ("installed_version", "latest_version")]
    assert versions == ["ostiary-default-1", "ostiary-default-2"]
    stage.box.camera_status(is_online=False)
    stage.box.health({**make_health(), "camera": {"online": False, "reopened": 1, "picture": "ok"}})
    wait_for(lambda: api.is_state(VISITOR, "unavailable"), "no visitor without a camera")
    wait_for(lambda: api.is_state(f"binary_sensor.{name}_camera", "on"), "a camera problem")
    assert api.is_state(f"switch.{name}_unlocking", "on")
    stage.box.health({**make_health(), "camera": {"online": True, "reopened": 1, "picture": "black"}})
    stage.box.camera_status(is_online=True)
    wait_for(lambda: api.is_state(VISITOR, "unknown"), "the visitor again")
    assert api.is_state(f"binary_sensor.{name}_camera", "on"), "black is a problem, too"
    stage.box.health({**make_health(), "camera": {"online": True, "reopened": 1, "picture": "ok"}})
    wait_for(lambda: api.is_state(f"binary_sensor.{name}_camera", "off"), "no camera problem")
    say("states: as published; without its camera only what needs none stays available")


def check_door(stage: Stage) -> None:
    stage.publish(ADA)
    stage.expect(example=1, patient=1, ada_only=1)
    stage.publish(GRACE)
    stage.expect(example=1, patient=1)
    say("door: it opens for who is let in; with a list of identities for nobody else")
    wait_for(lambda: stage.server.api.is_state("sensor.ostiary_front_door_let_in", GRACE.name), "who was let in")
    stage.publish(None, allowed=False)
    stage.publish(ADA, allowed=False)
    assert stage.server.api.is_state("sensor.ostiary_front_door_let_in", GRACE.name)
    notified = stage.server.folder / "notified"
    wait_for(
        lambda: notified.exists() and notified.read_text(encoding="utf-8").startswith("Somebody unknown"), "a message"
    )
    stage.expect()
    forged: dict[str, dict[str, Any]] = {
        "unknown, yet allowed": {"event_type": "unknown", "identity": None}, "allowed as a text": {"allowed": "true"},
        "replayed": {"replayed": True}, "an old age": {"age_ms": 61_000}, "no age": {"age_ms": None}, "a negative age": {"age_ms": -1},
        "an old picture": {"captured_at": "2020-01-01T00:00:00.000Z"}, "a picture of the future": {"captured_at": "2099-01-01T00:00:00.000Z"},
    }  # fmt: skip
    for number, (what, changes) in enumerate(forged.items()):
        stage.forge(event_id=f"forged-{number}", **changes)
        stage.expect()
        say(f"door: stays shut for {what}")
    event = stage.publish(ADA)
    stage.expect(example=1, patient=1, ada_only=1)
    stage.forge(event_id=event.event_id)
    stage.publish(GRACE)
    stage.expect(example=1, patient=1)
    say("door: stays shut for the same event again")


def check_restarts(stage: Stage) -> None:
    """The last event let Ada in; nothing may bring it back."""
    api = stage.server.api
    stage.publish(ADA)
    stage.expect(example=1, patient=1, ada_only=1)
    before = api.state(VISITOR)
    assert before is not None
    kept = json.dumps(
        replace(make_event(identity=ADA), seq=2, verdict=Verdict(allowed=True, reason="allowed")).payload(age_ms=20.0)
    )
    stage.server.stop()
    stage.client.publish("ostiary/front-door/event", kept, 1, retain=True).wait_for_publish(10)
    resent = len(stage.listening.on("ostiary-front-door/config"))
    stage.server.restart()
    wait_for(lambda: api.is_state(VISITOR, before["state"]), "the restored event")
    wait_for(lambda: len(stage.listening.on("ostiary-front-door/config")) > resent, "discovery sent again")
    stage.client.publish("ostiary/front-door/event", b"", 1, retain=True).wait_for_publish(10)
    stage.expect()
    say(
        "restart of Home Assistant: the last event is restored and opens nothing, nor does a retained one; discovery is sent again"
    )
    stage.open_box(stage.settings)
    wait_for(lambda: api.is_state(VISITOR, before["state"]), "the event after a restart of the box")
    stage.expect()
    stage.broker.stop()
    wait_for(lambda: api.is_state(VISITOR, "unavailable"), "Home Assistant to miss its broker", 60)
    stage.broker.start()
    wait_for(lambda: api.is_state(VISITOR, before["state"]), "the event after a restart of the broker", 60)
    assert stage.box.wait_connected(30)
    stage.expect()
    stage.publish(GRACE)
    stage.expect(example=1, patient=1)
    say("restart of the box and of the broker: nothing opens, and the next visitor is let in")


def check_commands(stage: Stage) -> None:
    api, name = stage.server.api, "ostiary_front_door"
    api.act("switch.turn_off", entity_id=f"switch.{name}_unlocking")
    wait_for(lambda: not stage.box.is_enabled, "unlocking to be turned off")
    wait_for(lambda: api.is_state(f"switch.{name}_unlocking", "off"), "the switch to say so")
    api.act("switch.turn_on", entity_id=f"switch.{name}_unlocking")
    wait_for(lambda: stage.box.is_enabled, "unlocking to be turned on")
    for verb in ("restart", "snapshot"):
        for _ in range(2):
            api.act("button.press", entity_id=f"button.{name}_{verb}")
        wait_for(lambda verb=verb: len(stage.listening.on(f"/cmd/{verb}")) == 2, f"the command {verb}")  # type: ignore[misc]
        bodies = [read_object(one.payload) for one in stage.listening.on(f"/cmd/{verb}")]
        assert len({request_id_of(body) for body in bodies} - {None}) == 2, bodies
        assert all(parse_moment(body["issued_at"]) > 0 for body in bodies)
    say("commands: the switch works; each press of a button is a fresh request that the box can read")


def check_picture(stage: Stage) -> None:
    stage.box.snapshot(JPEG)
    wait_for(lambda: not stage.server.api.is_state("image.ostiary_front_door_face", "unknown"), "the picture")
    assert stage.server.api.call("/api/image_proxy/image.ostiary_front_door_face") == JPEG
    say("picture: shown as published")


def check_removal(stage: Stage) -> None:
    api = stage.server.api
    before = entity_ids(stage.settings)
    stage.open_box(replace(stage.settings, publish=Publish(snapshot=False)))
    after = entity_ids(stage.settings)
    wait_for(lambda: not (before - after) & api.entities(), f"{before - after} to go")
    assert after <= api.entities()
    stage.open_box(replace(stage.settings, device=Device(name="back-door")))
    wait_for(lambda: entity_ids(stage.settings) <= api.entities(), "the new name")
    wait_for(lambda: not after & api.entities(), "the old name to go")
    assert api.render("{{ device_id('Front door') }}") == "None"
    say("removal: a component that is gone, and a device that was renamed, leave nothing behind")
    stage.open_box(replace(stage.settings, home_assistant=HomeAssistant(discovery=False)))
    wait_for(lambda: not entity_ids(stage.settings) & api.entities(), "the box to go")
    topic = discovery_topic("homeassistant", "back-door")
    wait_for(lambda: stage.listening.last(topic) == b"", "an empty message")
    say("removal: without discovery the device is gone")


CHECKS: tuple[Callable[[Stage], None], ...] = (
    check_discovery, check_states, check_door, check_commands, check_picture, check_restarts, check_removal,
)  # fmt: skip
