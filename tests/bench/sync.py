"""Gallery sync at a size: many boxes and many people at one mosquitto on this machine.

    nice -n 5 python -m tests.bench.sync --boxes 1000 --people 5000 --plot docs/images/gallery-sync.png

`--boxes` are simulated (tests.bench.swarm says what of them is real), `--daemons` are real ones with a gallery and without a
camera's frames. What is measured, always from the moment of the cause until the last box agrees with the head:

* first: everybody is published, then all boxes connect within `--ramp` seconds with nothing
* added, removed: one identity while all are connected
* reconnect: the broker is stopped and started again, and all come back, with the jitter that daemons have

CPU time and memory of the broker are those of its process in /proc, its bytes those of $SYS. Only 127.0.0.1 is used.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import tempfile
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from edge.config.settings import Mqtt
from edge.datatypes import Embedding
from edge.gallery import open_gallery
from edge.gallery.records import EnrolledFace, IdentityRecord
from edge.gallery.replica import Put, Replica
from edge.gallery.store import Gallery
from edge.signing import PrivateKey, new_key
from edge.sync.content import content_of, enrolled_of
from edge.sync.keys import PublisherRing, publisher_key, signed_payload
from edge.sync.link import Link
from edge.sync.message import SCHEMA, Content, Said, parse_said, text_of
from edge.sync.names import GroupTopics
from edge.sync.publishing import Job, Publishing
from tests.bench.sync_meter import Meter, Phase, Row, Swarm, tell
from tests.bench.sync_plot import plot
from tests.e2e.support import DaemonProcess, MjpegDoor, daemon, mqtt
from tests.support.mosquitto import HOST, Mosquitto, wait_for

TOPICS = GroupTopics("ostiary", "staff")
EMBEDDER, LENGTH = "ostiary-student-2", 128
OPTIONS = (
    "allow_anonymous true", "max_queued_messages 10000", "max_inflight_messages 20", "message_size_limit 1200000",
    "sys_interval 1", "max_connections -1",
)  # fmt: skip
"""Limits as deploy/mosquitto has them, but for TLS and access rules."""


def people(count: int, pictures: int) -> dict[str, Content]:
    """Random embeddings of made-up people."""
    rng = np.random.default_rng(7)
    made = {}
    for number in range(count):
        made[identity_id(number)] = _content(number, _faces(rng, pictures))
    return made


def identity_id(number: int) -> str:
    """A ULID, always the same for a number."""
    digits = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
    return "01M7" + "".join(digits[number * 7919**power // 3 % 32] for power in range(16)) + f"{number:06d}"


def _content(number: int, faces: list[EnrolledFace]) -> Content:
    record = IdentityRecord(
        identity_id(number), f"Employee number {number}", f"Room {number}", enabled=True, valid_from=None,
        valid_until=2e9, created_at=0.0, updated_at=0.0, consent="yes", groups=("staff",),
    )  # fmt: skip
    return content_of(record, faces)


def quietly(items: Any, _: str) -> Any:
    """Instead of a bar."""
    return items


class TimedLink(Link):
    """Remembers when it first sent something."""

    sent_at = 0.0

    def publish(self, items: Iterable[tuple[str, bytes]]) -> None:
        self.sent_at = self.sent_at or time.monotonic()
        super().publish(items)


class Office:
    """The publisher."""

    def __init__(self, port: int, key: PrivateKey) -> None:
        self._mqtt, self._key = Mqtt(host=HOST, port=port), key
        self._ring = PublisherRing([publisher_key(key, [TOPICS.group])])
        self.revision = 0
        self.sent_at = 0.0
        """When it began to publish, after it had read."""

    def say(self, told: Mapping[str, Content], removals: tuple[str, ...] = (), *, is_new: bool = False) -> int:
        """Revision of the head that follows."""
        job = Job(TOPICS, self._key, None, told, removals, is_new=is_new)
        with TimedLink(self._mqtt, TOPICS, self._ring) as link:
            self.revision = Publishing(link, job).run(quietly).revision
            self.sent_at = link.sent_at
        return self.revision


def verification(told: Mapping[str, Content], key: PrivateKey, folder: Path) -> Row:
    """CPU microseconds a message: verify and parse, check the content, write into a gallery of a file."""
    ring, sample = PublisherRing([publisher_key(key, [TOPICS.group])]), list(told.items())[:500]
    payloads = [
        (
            TOPICS.identity(one),
            signed_payload(key, TOPICS.identity(one), text_of(Said(SCHEMA, one, 5, content=content))),
        )
        for one, content in sample
    ]
    began = time.process_time()
    said = [parse_said(ring.verify(TOPICS.group, topic, payload)[1]) for topic, payload in payloads]
    verified = time.process_time()
    puts = [Put(one.id, one.revision, "office", enrolled_of(one.content, EMBEDDER)) for one in said if one.content]
    checked = time.process_time()
    gallery = open_gallery(folder / "one.sqlite", embedder_id=EMBEDDER, embedding_length=LENGTH)
    with gallery:
        wrote = _timed(gallery, puts)
    each = 1e6 / len(sample)
    return {
        "message_bytes": int(np.median([len(payload) for _, payload in payloads])),
        "verify_us": (verified - began) * each, "check_us": (checked - verified) * each, "write_us": wrote * each,
    }  # fmt: skip


def _timed(gallery: Gallery, puts: list[Put]) -> float:
    began = time.process_time()
    for start in range(0, len(puts), 250):
        Replica(gallery, TOPICS.group).apply(puts[start : start + 250], [])
    return time.process_time() - began


class Run:
    """Broker, boxes and publisher of one measurement."""

    def __init__(self, args: argparse.Namespace, folder: Path, key: PrivateKey) -> None:
        self._args = args
        self._keys = folder / "sync-keys"
        self._keys.write_text(publisher_key(key, [TOPICS.group]).line() + "\n", encoding="utf-8")
        self._folder = folder
        options = (*OPTIONS, "persistence true", f"persistence_location {folder}/")
        self.broker = Mosquitto(folder / "broker", *options)
        self.meter = Meter(self.broker)
        self.office = Office(self.broker.port, key)
        self.phases: list[Phase] = []
        self.daemons: list[DaemonProcess] = []

    def measure(self, told: Mapping[str, Content]) -> None:
        """All phases, one after the other."""
        self.broker.start()
        self.meter.listen()
        began, cpu = time.monotonic(), self.meter.cpu_s()
        revision = self.office.say(told, is_new=True)
        self.published = {"seconds": time.monotonic() - began, "broker_cpu_s": self.meter.cpu_s() - cpu}
        tell({"published": self.published})
        swarm = self._first(revision)
        try:
            extra = _content(len(told), _faces(np.random.default_rng(1), self._args.pictures))
            self._one("added", swarm, {identity_id(len(told)): extra}, ())
            self._one("removed", swarm, {}, (identity_id(len(told)),))
            self._reconnect(swarm)
            self.swarm_cpu_s = swarm.cpu_s()
        finally:
            swarm.stop()

    def _first(self, revision: int) -> Swarm:
        phase, before = self._begin("first")
        swarm = Swarm(self.broker.port, self._keys, self._args.boxes, self._args.ramp)
        swarm.await_all(phase, self._args.boxes, revision)
        self._end(phase, before)
        return swarm

    def _one(self, name: str, swarm: Swarm, told: Mapping[str, Content], removals: tuple[str, ...]) -> None:
        time.sleep(2.0)
        phase, before = self._begin(name)
        revision = self.office.say(told, removals)
        phase.began = self.office.sent_at
        swarm.await_all(phase, self._args.boxes, revision)
        self._end(phase, before)

    def _reconnect(self, swarm: Swarm) -> None:
        time.sleep(2.0)
        self.meter.sent()
        phase, before = self._begin("reconnect")
        before["cpu"] = 0.0
        self.broker.stop()
        self.broker.start()
        self.meter.listen()
        swarm.await_all(phase, self._args.boxes, self.office.revision, connection=2)
        self._end(phase, before)

    def _begin(self, name: str) -> tuple[Phase, Row]:
        time.sleep(1.5)
        return Phase(name, time.monotonic()), {"cpu": self.meter.cpu_s(), "sent": self.meter.sent()}

    def _end(self, phase: Phase, before: Row) -> None:
        time.sleep(1.5)
        phase.cost = {
            "broker_cpu_s": self.meter.cpu_s() - before["cpu"],
            "sent_mb": (self.meter.sent() - before["sent"]) / 1e6,
            "broker_peak_mb": self.meter.peak_bytes(phase.began) / 1e6,
        }
        self.phases.append(phase)
        tell(phase.summary())

    def real_daemons(self, count: int, people_count: int) -> list[Row]:
        """How long a real daemon takes that begins with nothing, one after the other."""
        rows = []
        section = {"groups": [TOPICS.group], "keys_file": str(self._keys)}
        for number in range(count):
            with MjpegDoor(fps=5) as door:
                sections: Any = {"camera": {"uri": door.uri}, "mqtt": mqtt(self.broker.port), "sync": section}
                with daemon(self._folder / f"daemon-{number}", **sections) as running:
                    began = time.monotonic()
                    wait_for(lambda: f", {people_count} identities" in running.log, "everybody", 300)
                    rows.append({"seconds": time.monotonic() - began})
                    tell({"daemon": rows[-1]})
        return rows


def _faces(rng: np.random.Generator, pictures: int) -> list[EnrolledFace]:
    vectors = rng.standard_normal((pictures, LENGTH)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return [EnrolledFace(Embedding(vector, EMBEDDER), 0.8) for vector in vectors]


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--boxes", type=int, default=1000)
    parser.add_argument("--people", type=int, default=5000)
    parser.add_argument("--pictures", type=int, default=3, help="of each person")
    parser.add_argument("--daemons", type=int, default=1)
    parser.add_argument("--ramp", type=float, default=10.0)
    parser.add_argument("--plot", type=Path)
    args = parser.parse_args()
    told, key = people(args.people, args.pictures), new_key("office")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tell({"one_message": verification(told, key, folder)})
        run = Run(args, folder, key)
        try:
            run.measure(told)
            run.real_daemons(args.daemons, args.people)
        finally:
            with contextlib.suppress(Exception):
                run.broker.stop()
    if args.plot is not None:
        title = f"{args.boxes} boxes, {args.people} people, one mosquitto"
        curves = {phase.name: [float(value) for value in phase.seconds()] for phase in run.phases}
        results = {"title": title, "curves": curves, "samples": run.meter.samples}
        # Also where there is nothing to draw with: python -m tests.bench.sync_plot FILE.json FILE.png
        args.plot.with_suffix(".json").write_text(json.dumps(results), encoding="utf-8")
        plot(results, args.plot)


if __name__ == "__main__":
    main()
