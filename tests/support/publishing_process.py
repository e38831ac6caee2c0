"""`python -m tests.support.publishing_process PORT PROTOCOL OUTBOX EVENTS`: publishes, says so, and waits to be killed."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from edge.config.settings import Mqtt
from edge.outbox import Outbox
from edge.publish import MqttPublisher
from tests.support.events import make_event


def main() -> None:
    """Print one line once the events are on disk, and the broker, where there is one, has us."""
    port, protocol, path, count = sys.argv[1:]
    mqtt = Mqtt(host="127.0.0.1", port=int(port), protocol=protocol, client_id=f"killed-{port}")
    publisher = MqttPublisher(mqtt, device="front", camera="porch", outbox=Outbox(Path(path)), boot_id="this-boot")
    publisher.camera_status(is_online=True)
    publisher.presence(is_present=True)
    for _ in range(int(count)):
        publisher.publish(make_event())
    publisher.wait_connected(0.0 if int(count) else 10.0)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    time.sleep(600)


if __name__ == "__main__":
    main()
