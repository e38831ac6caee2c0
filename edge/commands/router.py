"""Which topics this box listens to, and what is ignored whatever it says."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass

from edge.commands.bucket import Bucket
from edge.commands.refusal import IGNORED, REFUSED_AT_THE_DOOR, REFUSED_AT_WORK, RefusedError

Handler = Callable[[bytes], None]
"""Acts on a payload; RefusedError with the reason, or ValueError when it makes no sense."""

MAX_COMMAND_BYTES = 65_536
"""No command needs more, but for one with pictures; a larger payload is not even shown to its handler."""
LOGGED_PER_MINUTE = 30
"""Refusals beyond this are counted only: a stranger must not be able to fill the journal of the box."""
OWN_COUNTERS = ("commands_ignored", "commands_obeyed", "commands_journal_damaged")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Post:
    handler: Handler
    max_bytes: int


class Commands:
    """Handlers by topic. Nothing that a handler or a stranger does raises out of `dispatch`."""

    def __init__(self) -> None:
        self._posts: dict[str, _Post] = {}
        self._lock = threading.Lock()
        codes = {*IGNORED, *REFUSED_AT_THE_DOOR, *REFUSED_AT_WORK}
        self._counters = dict.fromkeys(OWN_COUNTERS, 0) | {f"commands_{code}": 0 for code in codes}
        self._told = Bucket(LOGGED_PER_MINUTE)

    @property
    def ignored(self) -> int:
        """Messages not acted on: retained, huge, malformed, of an unknown topic, or refused at the door."""
        return self._counters["commands_ignored"]

    def on(self, topic: str, handler: Handler, *, max_bytes: int = MAX_COMMAND_BYTES) -> None:
        """Act on messages of this topic; takes the place of what acted on it before."""
        self._posts[topic] = _Post(handler, max_bytes)

    def off(self, topic: str) -> None:
        """Act on them no more."""
        self._posts.pop(topic, None)

    @property
    def topics(self) -> tuple[str, ...]:
        """What to subscribe to."""
        return tuple(self._posts)

    def counters(self) -> dict[str, int]:
        """What happened since the start, for /health; one number for each reason."""
        with self._lock:
            return dict(self._counters)

    def count(self, code: str) -> None:
        """One more of `commands_<code>`."""
        with self._lock:
            self._counters[f"commands_{code}"] += 1

    def dispatch(self, topic: str, payload: bytes, *, retained: bool) -> bool:
        """Whether the message was acted on. A retained command is old by definition, so it is never obeyed."""
        try:
            self._post(topic, payload, retained=retained).handler(payload)
        except RefusedError as refusal:
            return self._ignore(topic, refusal.code, refusal.message)
        except ValueError as error:
            return self._ignore(topic, "malformed", str(error))
        except Exception:
            log.exception("command on %s failed", topic)
            return self._ignore(topic, "failed", "failed")
        return True

    def _post(self, topic: str, payload: bytes, *, retained: bool) -> _Post:
        post = self._posts.get(topic)
        if post is None:
            raise RefusedError("unknown", "unknown topic")
        if retained:
            raise RefusedError("retained", "retained")
        if len(payload) > post.max_bytes:
            raise RefusedError("oversized", f"{len(payload)} bytes")
        return post

    def _ignore(self, topic: str, code: str, why: str) -> bool:
        self.count("ignored")
        self.count(code)
        log.log(
            logging.WARNING if self._told.take() else logging.DEBUG,
            "message on %s ignored: %s", topic, why[:200].encode("unicode_escape").decode(),
        )  # fmt: skip
        return False


def parse_switch(payload: bytes) -> bool:
    """ON or OFF, in exactly these letters; ValueError otherwise."""
    if payload == b"ON":
        return True
    if payload == b"OFF":
        return False
    raise ValueError(f"payload {payload[:32]!r}; expected ON or OFF")
