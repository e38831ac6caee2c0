"""`python -m tests.faults.flowing_process PORT PROTOCOL OUTBOX DEVICE LEDGER RATE TTL_S`: publishes, and may be killed at any moment.

The real MqttPublisher and Outbox, fed with made-up events. Each event whose `publish` has returned is noted in LEDGER.
SIGTERM ends the flow: what is left is drained, and the process ends with 0. A RATE of 0 only drains.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import threading
from pathlib import Path

from edge.config.settings import Mqtt
from edge.outbox import Outbox
from edge.publish import MqttPublisher
from tests.support.events import make_event

DRAIN_S = 180.0


def main() -> int:
    """0 once all is drained."""
    port, protocol, path, device, ledger, rate, ttl_s = sys.argv[1:]
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    mqtt = Mqtt(host="127.0.0.1", port=int(port), protocol=protocol, event_ttl_s=float(ttl_s), keepalive_s=5)
    outbox = Outbox(Path(path))
    publisher = MqttPublisher(mqtt, device=device, camera="porch", outbox=outbox, boot_id="this-boot")
    if float(rate):
        _flow(publisher, Path(ledger), 1 / float(rate), stop)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    waiting = threading.Event()
    for _ in range(int(DRAIN_S / 0.05)):
        if not publisher.outbox_state()["depth"]:
            break
        waiting.wait(0.05)
    depth = publisher.outbox_state()["depth"]
    publisher.close()
    return 1 if depth else 0


def _flow(publisher: MqttPublisher, ledger: Path, mean_s: float, stop: threading.Event) -> None:
    noted = os.open(ledger, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    # The moments need not be the same again: those of the kills are not, either.
    rng = random.Random()  # noqa: S311
    while not stop.wait(rng.expovariate(1 / mean_s)):
        for _ in range(rng.choice((1, 1, 1, 3))):
            event = make_event()
            publisher.publish(event)
            os.write(noted, f"{event.event_id}\n".encode())
    os.close(noted)


if __name__ == "__main__":
    sys.exit(main())
