"""Which topics this box listens to, and what is ignored whatever it says."""

from __future__ import annotations

import logging
from collections.abc import Callable

Handler = Callable[[bytes], None]
"""Acts on a payload; ValueError when it makes no sense."""

MAX_COMMAND_BYTES = 65_536
"""No command needs more; a larger payload is not even shown to its handler."""

log = logging.getLogger(__name__)


class Commands:
    """Handlers by topic. Nothing that a handler or a stranger does raises out of `dispatch`."""

    def __init__(self) -> None:
        self._handlers: dict[str, Handler] = {}
        self.ignored = 0
        """Messages not acted on: retained, huge, malformed, or of an unknown topic."""

    def on(self, topic: str, handler: Handler) -> None:
        """Act on messages of this topic."""
        self._handlers[topic] = handler

    @property
    def topics(self) -> tuple[str, ...]:
        """What to subscribe to."""
        return tuple(self._handlers)

    def dispatch(self, topic: str, payload: bytes, *, retained: bool) -> bool:
        """Whether the message was acted on. A retained command is old by definition, so it is never obeyed."""
        handler = self._handlers.get(topic)
        if handler is None or retained or len(payload) > MAX_COMMAND_BYTES:
            why = "unknown topic" if handler is None else "retained" if retained else f"{len(payload)} bytes"
            return self._ignore(topic, why)
        try:
            handler(payload)
        except ValueError as error:
            return self._ignore(topic, str(error))
        except Exception:
            log.exception("command on %s failed", topic)
            return self._ignore(topic, "failed")
        return True

    def _ignore(self, topic: str, why: str) -> bool:
        self.ignored += 1
        log.warning("message on %s ignored: %s", topic, why)
        return False


def parse_switch(payload: bytes) -> bool:
    """ON or OFF, in exactly these letters; ValueError otherwise."""
    if payload == b"ON":
        return True
    if payload == b"OFF":
        return False
    raise ValueError(f"payload {payload[:32]!r}; expected ON or OFF")
