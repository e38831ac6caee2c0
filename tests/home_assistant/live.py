"""Our discovery, events and blueprint in a real Home Assistant.

    .venv/bin/python -m tests.home_assistant.live --python .venv-home-assistant/bin/python [--screenshot FILE]

Runs Home Assistant and mosquitto, finds the box by discovery, lets people in and keeps others out, restarts everything, and removes
the box again. `scripts/check-home-assistant` makes the environment and calls this.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from tests.home_assistant import checks
from tests.home_assistant import server as ha
from tests.home_assistant.screenshot import take_screenshot
from tests.home_assistant.stage import ADA, EXAMPLES, LOCK, VISITOR, Stage, automations, say, settings_of, started
from tests.support.mosquitto import HOST, mosquitto, subscriber, wait_for


def show(stage: Stage, picture: Path) -> None:
    """A visitor, and the page of the device as a user sees it."""
    stage.publish(ADA)
    stage.expect(example=1, patient=1, ada_only=1)
    stage.box.presence(is_present=True)
    wait_for(lambda: stage.server.api.is_state("binary_sensor.ostiary_front_door_presence", "on"), "presence")
    device = stage.server.api.render(f"{{{{ device_id('{VISITOR}') }}}}")
    take_screenshot(stage.server, f"/config/devices/device/{device}", picture)
    say(f"screenshot: {picture} ({picture.stat().st_size / 1e3:.0f} kB)")


def run(python: str, folder: Path, picture: Path | None) -> None:
    config = folder / "config"
    target = config / "blueprints" / "automation" / "ostiary"
    target.mkdir(parents=True)
    shutil.copy(EXAMPLES / "open-door.yaml", target)
    installed = folder / "bundles" / "two"
    installed.mkdir(parents=True)
    (installed / "manifest.json").write_text('{"bundle_id": "ostiary-default-2"}', encoding="utf-8")
    options = ("allow_anonymous true", "persistence true", f"persistence_location {folder}/")
    with (
        mosquitto(folder, *options) as broker,
        ha.home_assistant(
            python, config, automations=automations(), more=LOCK.replace("CONFIG", str(config))
        ) as server,
        subscriber(broker.port, "#", is_checking=False) as listening,
    ):
        server.api.add_mqtt(broker.port)
        client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
        client.connect(HOST, broker.port)
        client.loop_start()
        settings = settings_of(broker.port, folder)
        stage = Stage(
            server,
            broker,
            listening,
            client,
            folder,
            settings,
            started(settings),
            dict.fromkeys(("example", "patient", "ada_only"), 0),
        )
        try:
            for check in checks.CHECKS:
                check(stage)
                if check is checks.check_picture and picture is not None:
                    show(stage, picture)
        except BaseException:
            say(server.log[-4000:])
            raise
        finally:
            stage.box.close()
            client.loop_stop()
        faults = [
            line for line in server.log.splitlines() if "mqtt" in line and (" ERROR " in line or " WARNING " in line)
        ]
        say("Home Assistant's own complaints about MQTT: " + ("\n".join(faults) or "none"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", required=True, help="interpreter of an environment with homeassistant")
    parser.add_argument("--screenshot", type=Path, help="write a picture of the device's page (needs chromium)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ostiary-ha-") as folder:
        run(args.python, Path(folder), args.screenshot)
    say("all well")


if __name__ == "__main__":
    main()
