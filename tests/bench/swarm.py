"""Simulated boxes for tests.bench.sync: a process with some hundreds of them, each with a connection of its own.

    python -m tests.bench.swarm --port N --count 500 --first 0 --keys FILE --ramp 10

Real are the connection (MQTT 5, QoS 1, every message acknowledged), what is asked for and when (edge.sync.group, edge.sync.pulls,
edge.sync.feed, edge.backoff), and every signature is checked. Simulated is the rest: a signature is checked once a process and not
once a box, nothing is written into a gallery, and there is no camera. Each line of standard output is a JSON object: a box
has come to agree with a head.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import struct
import sys
import time
from pathlib import Path

from edge.backoff import Backoff, BackoffPlan
from edge.commands.refusal import RefusedError
from edge.publish.client import Received
from edge.publish.feeds import Wish
from edge.sync.feed import SyncFeed
from edge.sync.group import Group, Word
from edge.sync.keys import PublisherRing, read_publishers
from edge.sync.message import Head, Said, parse_head, parse_said
from edge.sync.names import GroupTopics, shard_of
from edge.sync.pulls import Pace, Pulls

TOPICS = GroupTopics("ostiary", "staff")
IDLE_S = 0.03
"""A box works off what came when nothing more has come for so long."""
LATEST_S = 0.25
TICK_S = 0.5
"""And looks whether something is due as often as this, like a daemon without frames."""


class Memory:
    """What was verified, for all boxes of this process."""

    def __init__(self, ring: PublisherRing) -> None:
        self._ring = ring
        self._known: dict[bytes, Head | Word | RefusedError] = {}
        self.verified = 0

    def read(self, topic: str, payload: bytes) -> Head | Word:
        found = self._known.get(payload)
        if found is None:
            self.verified += 1
            try:
                found = self._read(topic, payload)
            except RefusedError as refusal:
                found = refusal
            self._known[payload] = found
        if isinstance(found, RefusedError):
            raise found
        return found

    def _read(self, topic: str, payload: bytes) -> Head | Word:
        signer, text = self._ring.verify(TOPICS.group, topic, payload)
        if topic == TOPICS.head:
            return parse_head(text)
        said = parse_said(text)
        # A box that enrols needs the content, which this one does not keep.
        sealed = None if said.removed else ""
        small = Said(said.schema, said.id, said.revision, sealed=sealed, removed=said.removed, before=said.before)
        return Word(small, signer)


def packet(kind: int, body: bytes) -> bytes:
    """A control packet of MQTT (section 2.1)."""
    length, encoded = len(body), b""
    while True:
        length, digit = divmod(length, 128)
        encoded += bytes([digit | (0x80 if length else 0)])
        if not length:
            return bytes([kind]) + encoded + body


def text(value: str) -> bytes:
    data = value.encode()
    return struct.pack(">H", len(data)) + data


class Box(asyncio.Protocol):
    """One simulated box, over however many connections."""

    def __init__(self, name: str, port: int, memory: Memory) -> None:
        self.name = name
        self._port = port
        self._memory = memory
        self._rng = random.Random(name)  # noqa: S311 - nothing secret hangs on it
        self._feed = SyncFeed([TOPICS])
        self._group = Group(TOPICS.group)
        self._pulls = Pulls(self._group, TOPICS, self._ask, Pace(), self._rng)
        self._backoff = Backoff(BackoffPlan(cap_s=5.0), self._rng)
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._connection = 0
        self._mid = 0
        self._told = (0, 0)
        self._seen = 0
        self._has_news = False
        self._due_s = 0.0
        self.received = self.bytes = 0

    async def live(self, delay_s: float) -> None:
        """Connect, and again when the connection is lost."""
        await asyncio.sleep(delay_s)
        loop = asyncio.get_running_loop()
        while True:
            self._buffer.clear()
            self._lost = loop.create_future()
            try:
                await loop.create_connection(lambda: self, "127.0.0.1", self._port)
                await self._serve()
            except OSError:
                pass
            await asyncio.sleep(self._backoff.next_s())

    async def _serve(self) -> None:
        await asyncio.sleep(self._rng.uniform(0, TICK_S))
        while not self._lost.done():
            self._tick()
            await asyncio.wait([self._lost], timeout=TICK_S)

    # The connection.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        # Clean start, 600 s keepalive, no properties.
        transport.write(packet(0x10, text("MQTT") + b"\x05\x02" + struct.pack(">H", 600) + b"\0" + text(self.name)))

    def connection_lost(self, _: Exception | None) -> None:
        self._transport = None
        if not self._lost.done():
            self._lost.set_result(None)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        self.bytes += len(data)
        buffer, start, answers = self._buffer, 0, []
        while len(buffer) - start >= 2:
            length, shift, place = 0, 0, start + 1
            while place < len(buffer):
                length |= (buffer[place] & 0x7F) << shift
                shift, place = shift + 7, place + 1
                if not buffer[place - 1] & 0x80:
                    break
            else:
                break
            if len(buffer) - place < length:
                break
            kind = buffer[start] >> 4
            if kind == 3:
                answers.append(self._published(buffer[start], bytes(memoryview(buffer)[place : place + length])))
            elif kind == 2:
                self._connection += 1
                self._send_wishes()
            start = place + length
        del buffer[:start]
        if answers and self._transport is not None:
            self._transport.write(b"".join(answers))

    def _published(self, flags: int, body: bytes) -> bytes:
        size = struct.unpack_from(">H", body)[0]
        place = 2 + size
        answer = b"" if not flags & 6 else b"\x40\x02" + body[place : place + 2]
        place += 2 if flags & 6 else 0
        # Properties: their length fits one byte here.
        payload = body[place + 1 + body[place] :]
        self.received += 1
        self._feed.heard(Received(body[2 : 2 + size].decode(), payload, retained=bool(flags & 1)))
        self._has_news = True
        now = time.monotonic()
        if now > self._due_s:
            self._due_s = now + LATEST_S
            asyncio.get_running_loop().call_later(IDLE_S, self._tick)
        return answer

    def _ask(self, wish: Wish) -> None:
        self._feed.ask(self._connection, wish)

    def _send_wishes(self) -> None:
        if self._transport is None or not self._connection:
            return
        for wish in self._feed.wishes(self._connection, is_v5=True):
            self._mid = self._mid % 65_535 + 1
            head = struct.pack(">H", self._mid) + b"\0" + text(wish.topic)
            options = bytes([0x01 if wish.wants_retained else 0x21])
            self._transport.write(packet(0x82, head + options) if wish.is_on else packet(0xA2, head))

    # What the daemon's main loop does (edge.sync.attendant).

    def _tick(self) -> None:
        now_s, self._due_s = time.monotonic(), 0.0
        if self._feed.connection != self._seen:
            self._seen = self._feed.connection
            self._pulls.connected()
        while (received := self._feed.take()) is not None:
            try:
                self._hear(received, now_s)
            except RefusedError:
                continue
        if self._has_news:
            self._has_news = False
            self._group.done(self._group.settle())
            self._tell()
        self._has_news = self._pulls.tick(now_s) or self._has_news
        self._send_wishes()

    def _hear(self, received: Received, now_s: float) -> None:
        found = self._memory.read(received.topic, received.payload)
        if isinstance(found, Head):
            if self._group.hear_head(found):
                self._pulls.head_came(now_s)
            return
        self._pulls.heard(shard_of(found.said.id), now_s)
        self._group.hear(found)

    def _tell(self) -> None:
        head = self._group.head
        key = (head.revision if head else 0, self._connection)
        if head is None or self._told == key or self._group.lacking():
            return
        self._told = key
        row = {
            "at": time.monotonic(), "box": self.name, "revision": head.revision, "connection": self._connection,
            "identities": self._group.count, "messages": self.received, "bytes": self.bytes,
        }  # fmt: skip
        sys.stdout.write(json.dumps(row) + "\n")
        sys.stdout.flush()


async def swarm(args: argparse.Namespace) -> None:
    """All of them, until the process is ended."""
    memory = Memory(read_publishers(args.keys))
    boxes = [Box(f"box-{args.first + number}", args.port, memory) for number in range(args.count)]
    await asyncio.gather(*(box.live(args.ramp * number / args.count) for number, box in enumerate(boxes)))


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--keys", type=Path, required=True)
    parser.add_argument("--ramp", type=float, default=10.0, help="seconds over which they connect for the first time")
    asyncio.run(swarm(parser.parse_args()))


if __name__ == "__main__":
    main()
