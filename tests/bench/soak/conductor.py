"""What happens to the daemon of the soak besides visitors and its camera: broker, gallery, commands."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import math
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable

import cv2

from edge.demo.portraits import COLLINS
from tests.bench.doorway import Box
from tests.bench.soak.day import Day
from tests.support.data import ROOT
from tests.support.mosquitto import Mosquitto, Subscriber, wait_for

Action = Callable[[], None]
LONG_MIN = 12 * 60
"""A play of so many minutes is cut off from the broker for a quarter of it."""
BAD = (b"", b"on", b"MAYBE", b"\xff\xfe\x00", b'{"request_id": 1}', b"[" * 5000, b"{}" + b" " * 70_000)


class Conductor:
    """Does each thing at its simulated minute."""

    def __init__(self, box: Box, broker: Mosquitto, listening: Subscriber, day: Day, hours: float) -> None:
        self._box = box
        self._broker = broker
        self._listening = listening
        self._day = day
        self.done: Counter[str] = Counter()
        self._due = sorted(self._plan(hours * 60), key=lambda row: row[0])

    def _plan(self, minutes: float) -> list[tuple[float, Action]]:
        """Every hour, or once in a play that is shorter."""
        hour = min(60.0, minutes)
        # Never while somebody is at the door: time stands still meanwhile, and what is allowed now would be told again.
        shares: tuple[tuple[float, Action], ...] = (
            (0.11, self.switch_off), (0.19, self.switch_on), (0.33, self.enrol), (0.42, self.send_junk),
            (0.50, self.command), (0.58, self.restart_broker), (0.70, self.freeze_broker), (0.83, self.remove),
        )  # fmt: skip
        begins = [number * hour for number in range(round(minutes / hour))]
        if minutes < LONG_MIN:
            return [(begin + share * hour, action) for begin in begins for share, action in shares]
        # Whole hours, so that whoever was enrolled before is removed before.
        away, back = round(len(begins) * 0.35) * hour, round(len(begins) * 0.6) * hour
        rows = [(at + share * hour, action) for at in begins if not away <= at < back for share, action in shares]
        return [*rows, (away + 0.5, self.cut_off), (back, self.connect)]

    @property
    def next_minute(self) -> float:
        """When there is something to do again; infinity when all is done."""
        return self._due[0][0] if self._due else math.inf

    def act(self) -> None:
        """Do what is due."""
        _, action = self._due.pop(0)
        action()
        self.done[action.__name__] += 1

    def enrol(self) -> None:
        """A second person is known from now on."""
        picture = self._box.folder / "guest.png"
        cv2.imwrite(str(picture), COLLINS.picture())
        self._change("enroll", "--name", COLLINS.name, picture)

    def remove(self) -> None:
        """And is a stranger again."""
        self._change("gallery", "remove", COLLINS.name, "--yes")

    def switch_off(self) -> None:
        """No door may open."""
        self._publish("enabled/set", b"OFF")

    def switch_on(self) -> None:
        """Doors may open."""
        self._publish("enabled/set", b"ON")

    def command(self) -> None:
        """A good one, the same again, and one that is too old."""
        for number, age_s in ((1, 0), (1, 0), (2, 3600)):
            issued_at = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=age_s)
            request = {"request_id": f"soak-{self.done['command']}-{number}", "issued_at": issued_at.isoformat()}
            self._publish("cmd/snapshot", json.dumps(request).encode())

    def send_junk(self) -> None:
        """Malformed and oversized payloads everywhere."""
        for payload in BAD:
            for end in ("enabled/set", "cmd/snapshot", "cmd/restart", "cmd/remove", "cmd/none"):
                self._publish(end, payload)

    def restart_broker(self) -> None:
        """It comes back at once, with an order that was retained before."""
        self._publish("enabled/set", b"OFF", retain=True)
        self._broker.stop()
        time.sleep(0.3)
        self._broker.start()

    def freeze_broker(self) -> None:
        """It keeps its connections and says nothing; what was retained is taken back, and the door may open again."""
        for payload in (b"", b"ON"):
            self._publish("enabled/set", payload, retain=not payload)
        self._broker.freeze()
        time.sleep(0.5)
        self._broker.thaw()

    def cut_off(self) -> None:
        """Nobody hears anything for hours."""
        self._broker.stop()

    def connect(self) -> None:
        """The end of it."""
        self._broker.start()

    def _change(self, *arguments: object) -> None:
        """Of the gallery, until the daemon has told that it knows."""
        before = self._day.health.get("gallery_revision")
        self._cli(*arguments)
        wait_for(
            lambda: self._day.hear(self._listening) or self._day.health.get("gallery_revision") != before,
            "a change",
            60,
        )

    def _cli(self, *arguments: object) -> None:
        command = [sys.executable, "-m", "edge", *arguments, "--config", self._box.config]
        done = subprocess.run(list(map(str, command)), check=False, capture_output=True, text=True, cwd=ROOT)
        if done.returncode != 0:
            raise SystemExit(done.stderr)

    def _publish(self, end: str, payload: bytes, *, retain: bool = False) -> None:
        # The broker has it when this returns, unless it is away.
        with contextlib.suppress(RuntimeError):
            self._listening.client.publish(f"ostiary/front/{end}", payload, 1, retain).wait_for_publish(5)
