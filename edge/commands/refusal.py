"""Why a command is not obeyed: a stable code for programs, and a sentence for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

IGNORED = ("retained", "oversized", "unknown")
"""Never answered: a retained command was meant for another time, and of the others nobody knows who asked."""
REFUSED_AT_THE_DOOR = (
    "malformed",
    "unsigned",
    "bad_signature",
    "not_allowed",
    "stale",
    "duplicate",
    "rate_limited",
    "busy",
    "unavailable",
    "failed",
)
"""Found before a command is begun."""
REFUSED_AT_WORK = ("refused", "rejected", "nobody_enrolled", "timeout", "interrupted", "unavailable", "busy", "failed")
"""Found while it is carried out."""


class RefusedError(ValueError):
    """A command that is not obeyed."""

    def __init__(
        self, code: str, message: str, *, request_id: str | None = None, result: Mapping[str, Any] | None = None
    ) -> None:
        """`code` is one of the words above; `result` is what can be told in spite of it."""
        super().__init__(message)
        self.code = code
        self.message = message
        self.request_id = request_id
        self.result = result

    def about(self, request_id: str | None) -> RefusedError:
        """The same, said of one request."""
        return RefusedError(self.code, self.message, request_id=request_id, result=self.result)

    def reply(self) -> dict[str, Any]:
        """As docs/schemas/command-reply.schema.json has it."""
        made: dict[str, Any] = {
            "request_id": self.request_id,
            "ok": False,
            "error": {"code": self.code, "message": self.message},
        }
        return made if self.result is None else {**made, "result": dict(self.result)}
