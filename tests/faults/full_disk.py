"""`python -m tests.faults.full_disk`: the real `ostiary run` while its disk fills up, and started on a full and on a read-only one.

Needs root, for a small tmpfs. On a full disk live events must go on, the process must live, and the disk must be used again as
soon as it takes something.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import cv2

from edge.demo.portraits import COLLINS
from edge.errors import EXIT_REJECTED
from tests.e2e.support import DaemonProcess, MjpegDoor, mqtt
from tests.faults.disks import Disk, small_disk
from tests.support.data import astronaut
from tests.support.mosquitto import Subscriber, mosquitto, subscriber, wait_for


def say(text: str) -> None:
    """One line."""
    sys.stdout.write(f"{time.strftime('%H:%M:%S')} {text}\n")
    sys.stdout.flush()


def outbox_of(listening: Subscriber) -> dict[str, Any]:
    """As the newest /health has it."""
    found = listening.last("/health")
    return {} if found is None else dict(json.loads(found)["outbox"])


def expect_more(listening: Subscriber, door: MjpegDoor, count: int) -> None:
    """So many more live events, of somebody who comes and goes."""
    until = len(listening.on("/event")) + count
    x1, y1, x2, y2 = COLLINS.bust
    picture = cv2.imread(str(astronaut()), cv2.IMREAD_COLOR)
    assert picture is not None
    while len(listening.on("/event")) < until:
        before = len(listening.on("/event"))
        door.show(picture[y1:y2, x1:x2])
        wait_for(lambda before=before: len(listening.on("/event")) > before, "a live event")
        door.stay_empty()


def run(folder: Path, disk: Disk) -> None:
    """AssertionError tells what went wrong."""
    with (
        mosquitto(folder / "broker") as broker,
        subscriber(broker.port, is_checking=False) as listening,
        MjpegDoor() as door,
    ):
        daemon = DaemonProcess(
            folder / "daemon",
            camera={"uri": door.uri},
            mqtt=mqtt(broker.port),
            outbox={"file": str(disk.path / "o.sqlite")},
        )
        daemon.start()
        try:
            daemon.wait_ready()
            expect_more(listening, door, 2)
            disk.fill()
            expect_more(listening, door, 4)
            say(f"disk full, four more live events; outbox: {outbox_of(listening)}")
            disk.make_room()
            wait_for(lambda: outbox_of(listening).get("in_memory") == 0, "the disk to be used again")
            assert daemon.stop() == 0, daemon.log
            disk.fill()
            daemon.start()
            expect_more(listening, door, 2)
            say(f"started on a full disk, two live events; outbox: {outbox_of(listening)}")
            disk.make_room()
            wait_for(lambda: outbox_of(listening).get("in_memory") == 0, "the disk to be used again")
            assert daemon.stop() == 0, daemon.log
            disk.remount("ro")
            daemon.start()
            # Which commands were obeyed cannot be remembered: better no daemon than one that obeys twice.
            assert daemon.ended() == EXIT_REJECTED
            assert "Read-only file system" in daemon.log
            say("on a read-only disk it ends at once, with code 4")
            disk.remount("rw")
            daemon.start()
            expect_more(listening, door, 2)
            assert daemon.stop() == 0, daemon.log
            seqs = [json.loads(one.payload)["seq"] for one in listening.on("/event")]
            say(f"numbers of the last events: {seqs}")
        except AssertionError:
            say(daemon.log)
            raise
        finally:
            if daemon.process is not None and daemon.process.poll() is None:
                daemon.process.kill()
                daemon.process.wait()
        say(
            "\n".join(
                line for line in daemon.log.splitlines() if "outbox" in line or "o.sqlite" in line or "memory" in line
            )
        )


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="full-disk-") as name:
        folder = Path(name)
        with small_disk(folder / "disk") as disk:
            run(folder, disk)
    say("all as it should be")
    return 0


if __name__ == "__main__":
    sys.exit(main())
