"""`python -m tests.faults.kills --kills 1000`: `kill -9` of devices and of the broker while events flow, and what came of it.

Publishers (tests/faults/flowing_process.py: the real MqttPublisher and Outbox, made-up events) and, unless --no-daemon, the
real `ostiary run` before a camera. A subscriber with a persistent session hears everything, and goes away at times. Every
second publisher gives its events two seconds to live, so that what the broker holds back is soon old: nothing of it may come on
/event, and what has expired is counted by itself. All else must be heard. A second subscriber listens as what opens a door
should, with a clean session: to it nothing old may come at all. At the end everything is started once more and drained. Exit code 1 when anything was lost, or an old match was live.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import cv2

from edge.demo.portraits import COLLINS
from tests.e2e.support import DaemonProcess, MjpegDoor, mqtt
from tests.faults.flowing_process import DRAIN_S
from tests.faults.record import (
    BROKER_S,
    PATIENT_S,
    SLACK_S,
    Opener,
    Recorder,
    Stored,
    Verdict,
    judge,
    openers_faults,
    stored_by,
)
from tests.support.data import ROOT, astronaut
from tests.support.mosquitto import Mosquitto, wait_for

SETTLED_S = 20.0
BRISK_S = 2.0
"""Time to live of every second publisher: what is left of its live events after an outage would be old. All else is patient."""
LONG_OUTAGE_S = BRISK_S + BROKER_S + SLACK_S + 2.0
WEIGHTS = {"publisher": 42, "broker": 40, "broker and publisher": 8, "daemon": 10}
DAEMON = "front"


@dataclass(frozen=True, slots=True)
class Plan:
    """What is killed, and how often. `seed` chooses victims and pauses; where a process stands then is up to the machine."""

    kills: int
    seed: int
    publishers: int = 2
    has_daemon: bool = True
    protocol: str = "5"
    rate: float = 8.0
    """Bursts of events a second and publisher."""
    pause_s: tuple[float, float] = (0.02, 1.2)
    long_outages: float = 0.03
    """Share of outages of the broker that outlast the time to live of events."""


def persistence(folder: Path) -> tuple[str, ...]:
    """As deploy/mosquitto/mosquitto.conf has it."""
    lines = (ROOT / "deploy" / "mosquitto" / "mosquitto.conf").read_text(encoding="utf-8").splitlines()
    names = ("persistence", "autosave", "max_queued", "max_inflight", "persistent_client_expiration")
    kept = [line for line in lines if line.startswith(names) and not line.startswith("persistence_location")]
    return ("allow_anonymous true", *kept, f"persistence_location {folder}/")


class Publisher:
    """One flowing process after the other, with one outbox."""

    def __init__(self, folder: Path, device: str, port: int, plan: Plan, ttl_s: float = PATIENT_S) -> None:
        self.device = device
        self._ttl_s = ttl_s
        self.outbox, self.ledger = folder / f"{device}.sqlite", folder / f"{device}.ledger"
        self._log = folder / f"{device}.log"
        self._port, self._plan = port, plan
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, rate: float | None = None) -> None:
        module, values = "tests.faults.flowing_process", (self._port, self._plan.protocol, self.outbox, self.device)
        flow = self._plan.rate if rate is None else rate
        command = [sys.executable, "-m", module, *map(str, values), str(self.ledger), str(flow), str(self._ttl_s)]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, cwd=ROOT)

    def kill(self) -> None:
        assert self._process is not None
        assert self._process.poll() is None, self._log.read_text(encoding="utf-8")
        self._process.kill()
        self._process.wait()

    def drain(self) -> None:
        """End the flow, and send all that is left."""
        assert self._process is not None
        self._process.terminate()
        assert self._process.wait(DRAIN_S) in (0, -15), self._log.read_text(encoding="utf-8")
        # A signal that came before the process was ready for it ended it at once.
        self.start(rate=0)
        assert self._process.wait(DRAIN_S) == 0, self._log.read_text(encoding="utf-8")

    def stored(self) -> Stored:
        return stored_by(self.outbox, self.ledger, self._ttl_s)

    def abort(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self.kill()


class Camera:
    """The real daemon before a door at which somebody comes and goes."""

    def __init__(self, stack: contextlib.ExitStack, folder: Path, port: int) -> None:
        x1, y1, x2, y2 = COLLINS.bust
        picture = cv2.imread(str(astronaut()), cv2.IMREAD_COLOR)
        assert picture is not None
        self._person = picture[y1:y2, x1:x2]
        self._door = stack.enter_context(MjpegDoor(fps=8.0))
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._come_and_go, daemon=True)
        self._thread.start()
        stack.callback(self._is_over.set)
        camera = {"uri": self._door.uri}
        self.outbox = folder / "outbox.sqlite"
        self.process = DaemonProcess(
            folder,
            camera=camera,
            mqtt=mqtt(port, event_ttl_s=PATIENT_S, keepalive_s=5),
            outbox={"file": str(self.outbox)},
        )
        self.process.start()
        stack.callback(self.abort)

    def _come_and_go(self) -> None:
        while not self._is_over.is_set():
            self._door.show(self._person)
            self._is_over.wait(1.5)
            self._door.show(None)
            self._is_over.wait(0.8)

    def kill(self) -> None:
        assert self.process.process is not None
        assert self.process.process.poll() is None, self.process.log
        self.process.process.kill()
        self.process.process.wait()
        self.process.start()

    def abort(self) -> None:
        if self.process.process is not None and self.process.process.poll() is None:
            self.process.process.kill()
            self.process.process.wait()


class Campaign:
    """Broker, devices and subscriber, for as long as the context lasts."""

    def __init__(self, plan: Plan, folder: Path, stack: contextlib.ExitStack) -> None:
        self._plan = plan
        self._rng = random.Random(plan.seed)  # noqa: S311
        self.counts: Counter[str] = Counter()
        self._broker = Mosquitto(folder / "broker", *persistence(folder / "broker"))
        self._broker.start()
        stack.callback(self._broker.stop)
        self._recorder, self._opener = Recorder(self._broker.port), Opener(self._broker.port)
        stack.callback(self._recorder.leave)
        stack.callback(self._opener.leave)
        self._is_away = False
        self._publishers = [
            Publisher(folder, f"door-{number}", self._broker.port, plan, (PATIENT_S, BRISK_S)[number % 2])
            for number in range(plan.publishers)
        ]
        for one in self._publishers:
            one.start()
            stack.callback(one.abort)
        self._camera = Camera(stack, folder / "daemon", self._broker.port) if plan.has_daemon else None
        self._drain_daemon = Publisher(folder / "daemon", DAEMON, self._broker.port, plan)

    def run(self) -> Verdict:
        """Kill, settle, judge."""
        wait_for(lambda: self._recorder.notes, "the first event")
        weights = {name: weight for name, weight in WEIGHTS.items() if name != "daemon" or self._camera is not None}
        for number in range(self._plan.kills):
            time.sleep(self._rng.uniform(*self._plan.pause_s))
            victim = self._rng.choices(list(weights), list(weights.values()))[0]
            self.counts[victim] += 1
            self._wander()
            self._strike(victim)
            if (number + 1) % 50 == 0:
                say(f"{number + 1} kills, {len(self._recorder.notes)} events heard")
        return self._settle()

    def _wander(self) -> None:
        """The subscriber goes away for one kill in ten, and comes back after it."""
        if self._is_away:
            self._recorder.come_back()
        elif self._rng.random() < 0.1:
            self.counts["subscriber away"] += 1
            self._recorder.leave()
        else:
            return
        self._is_away = not self._is_away

    def _strike(self, victim: str) -> None:
        if victim == "daemon":
            assert self._camera is not None
            self._camera.kill()
        if "publisher" in victim:
            one = self._rng.choice(self._publishers)
            one.kill()
            one.start()
        if "broker" in victim:
            is_long = self._rng.random() < self._plan.long_outages
            self.counts["long outages"] += is_long
            self._broker.kill()
            time.sleep(LONG_OUTAGE_S if is_long else self._rng.choice((0.0, 0.05, 0.3)))
            self._broker.start()

    def _settle(self) -> Verdict:
        if self._is_away:
            self._recorder.come_back()
        for one in self._publishers:
            one.drain()
        stored = {one.device: one.stored() for one in self._publishers}
        if self._camera is not None:
            self._camera.process.stop()
            self._drain_daemon.outbox = self._camera.outbox
            self._drain_daemon.start(rate=0)
            self._drain_daemon.drain()
            stored[DAEMON] = stored_by(self._camera.outbox, None, PATIENT_S)
        expected = sum(one.last_seq for one in stored.values())
        self.counts.update({f"durable events of {device}": one.last_seq for device, one in stored.items()})

        def heard() -> bool:
            return len({(note.device, note.seq) for note in list(self._recorder.notes)}) >= expected

        # What has expired at the broker never comes.
        with contextlib.suppress(AssertionError):
            wait_for(heard, "every event", SETTLED_S)
        self.counts["sessions lost by the broker"] += self._recorder.sessions_lost
        verdict = judge(self._recorder.notes, stored, self._recorder.absences)
        self.counts["events heard by the opener"] = len(self._opener.notes)
        faults = openers_faults(self._opener.notes, {device: one.ttl_s for device, one in stored.items()})
        return replace(verdict, faults=(*verdict.faults, *faults))


def campaign(plan: Plan, folder: Path) -> tuple[Verdict, Counter[str]]:
    """Run it in this folder."""
    with contextlib.ExitStack() as stack:
        running = Campaign(plan, folder, stack)
        return running.run(), running.counts


def say(text: str) -> None:
    sys.stdout.write(f"{time.strftime('%H:%M:%S')} {text}\n")
    sys.stdout.flush()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--publishers", type=int, default=2)
    parser.add_argument("--protocol", choices=("5", "3.1.1"), default="5")
    parser.add_argument("--no-daemon", action="store_true", help="leave the real daemon out")
    given = parser.parse_args()
    plan = Plan(given.kills, given.seed, given.publishers, not given.no_daemon, given.protocol)
    say(f"plan: {asdict(plan)}")
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="kills-") as folder:
        verdict, counts = campaign(plan, Path(folder))
    say(f"{plan.kills} kills in {time.monotonic() - started:.0f} s, seed {plan.seed}: {dict(counts)}")
    say(json.dumps(asdict(verdict), indent=2))
    return 1 if verdict.faults or verdict.lost else 0


if __name__ == "__main__":
    sys.exit(main())
