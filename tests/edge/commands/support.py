"""A desk with everything around it, whose time stands still until told otherwise."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edge.bundle import load_bundle
from edge.commands import Commands
from edge.commands.asking import make_command
from edge.commands.desk import Desk, listen
from edge.commands.gate import Gate
from edge.commands.journal import Journal
from edge.commands.signature import KeyRing, PrivateKey, new_key, public_key
from edge.commands.work import Work
from edge.config import settings as config
from edge.config.settings import Settings
from edge.datatypes import Frame
from edge.gallery import Gallery, open_gallery
from edge.gallery.records import EnrolledFace
from edge.pipeline import FrameResult
from edge.publish.topics import Topics
from edge.reader import Models
from edge.timebase import Clock
from edge.track import Track
from tests.support.fakes import EMBEDDER_ID, FakeDetector, FakeEmbedder, embedding, face
from tests.support.publishers import MemoryPublisher
from tests.support.schemas import validate

NOW = 1_800_000_000.0
TOPICS = Topics("ostiary", "front")
OWNER, GUEST, STRANGER = new_key("owner"), new_key("guest"), new_key("stranger")
GROUPS = {"staff": config.Group(), "night": config.Group()}


@dataclass
class Time:
    """Both clocks."""

    unix_s: float = NOW
    monotonic_s: float = 1000.0

    def pass_(self, seconds: float) -> None:
        self.unix_s += seconds
        self.monotonic_s += seconds

    @property
    def clock(self) -> Clock:
        return Clock(lambda: int(self.monotonic_s * 1e9), lambda: self.unix_s)


@dataclass
class Bench:
    """Everything that a test may look at."""

    folder: Path
    time: Time
    settings: Settings
    journal: Journal
    router: Commands
    publisher: MemoryPublisher
    detector: FakeDetector
    desk: Desk
    work: Work
    restarts: list[str] = field(default_factory=list)

    def gallery(self) -> Gallery:
        return self.work.gallery()

    def payload(self, verb: str, key: PrivateKey | None = OWNER, *, age_s: float = 0.0, **arguments: Any) -> bytes:
        return make_command(TOPICS, verb, arguments, key, issued_at=self.time.unix_s - age_s).payload

    def send(self, verb: str, payload: bytes, *, retained: bool = False) -> bool:
        return self.router.dispatch(TOPICS.command(verb), payload, retained=retained)

    def last(self, verb: str) -> dict[str, Any]:
        """The newest reply, which keeps to its schema."""
        topic, reply = self.publisher.replies[-1]
        assert topic == TOPICS.command_reply(verb)
        validate(topic, json.dumps(reply).encode())
        return reply

    def order(self, verb: str, key: PrivateKey | None = OWNER, **arguments: Any) -> dict[str, Any]:
        """Sent, carried out, and answered."""
        before = len(self.publisher.replies)
        self.send(verb, self.payload(verb, key, **arguments))
        for _ in range(20):
            if len(self.publisher.replies) > before:
                break
            self.desk.tick()
        assert len(self.publisher.replies) == before + 1
        return self.last(verb)

    def code(self, verb: str, key: PrivateKey | None = OWNER, **arguments: Any) -> str:
        """Why it was refused."""
        reply = self.order(verb, key, **arguments)
        assert not reply["ok"], reply
        return str(reply["error"]["code"])

    def count(self, code: str) -> int:
        return self.router.counters()[f"commands_{code}"]

    def see(self, frame: Frame, *, people: int = 1) -> None:
        """A frame goes through; somebody or nobody is in it."""
        tracks = tuple(Track(number, face(10, 10), 0, 0) for number in range(people))
        self.desk.seen(FrameResult(frame, tracks, (), 0))
        self.desk.tick()

    def enrol(self, name: str, *values: float) -> str:
        """Behind the desk's back; the id."""
        with self.gallery() as gallery:
            return gallery.enrol(name, [EnrolledFace(embedding(*values), 0.9)]).id


def ring(*keys: PrivateKey, verbs: frozenset[str] | None = None) -> KeyRing:
    return KeyRing(public_key(key, verbs if key is GUEST else None) for key in keys)


@contextmanager
def bench(folder: Path, **changes: Any) -> Iterator[Bench]:
    """`changes` are sections of the settings."""
    time = Time()
    sections = {"policy": config.Policy(groups=GROUPS), "enrol": config.Enrol(min_face_px=60), **changes}
    settings = Settings(gallery=folder / "gallery.sqlite", **sections)
    journal = Journal(folder / "journal.sqlite", clock=time.clock)
    made = _assembled(folder, time, settings, journal)
    try:
        yield made
    finally:
        journal.close()


def _assembled(folder: Path, time: Time, settings: Settings, journal: Journal) -> Bench:
    router, publisher, detector = Commands(), MemoryPublisher(), FakeDetector()
    restarts: list[str] = []
    work = Work(
        settings, publisher, Models(load_bundle(), detector, FakeEmbedder()), journal,  # type: ignore[arg-type]
        gallery=lambda: open_gallery(folder / "gallery.sqlite", embedder_id=EMBEDDER_ID, embedding_length=3),
        restart=lambda: restarts.append("restart"), clock=time.clock,
    )  # fmt: skip
    keys = ring(OWNER, GUEST, verbs=frozenset({"list", "snapshot"}))
    gate = Gate(settings.commands, keys, journal, topic_of=TOPICS.command, clock=time.clock, is_synced=lambda: True)
    desk = Desk(work, gate, router, reply_topic=TOPICS.command_reply)
    listen(desk, router, TOPICS.command, TOPICS.enabled_set)
    return Bench(folder, time, settings, journal, router, publisher, detector, desk, work, restarts)


Make = Callable[..., Bench]
