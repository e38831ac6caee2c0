"""A payload to a request: strict JSON, and nothing in it that is not in the contract."""

from __future__ import annotations

import datetime as dt
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edge.commands.refusal import RefusedError
from edge.signing import KEY_NAME
from edge.validation import build

REQUEST_ID = r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}"
ISSUED_AT = r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)"
"""RFC 3339, section 5.6; the offset is part of it."""
MAX_DIGITS = 20
"""No number of a command needs more."""
SHOWN_FAULTS = 5


@dataclass(frozen=True, slots=True)
class Envelope:
    """What came over the broker; `key` and `signature` are empty for a command that nobody has signed."""

    text: bytes
    """The request as JSON, byte for byte as it was signed."""
    key: str = ""
    signature: str = ""


@dataclass(frozen=True, slots=True)
class Request:
    """Who is asked for what, and when. `arguments` is the dataclass of its verb."""

    verb: str
    request_id: str
    issued_at: float
    """Unix seconds, by the sender's clock."""
    arguments: Any
    signer: str = ""
    """Name of the key; empty for a command that nobody has signed."""


def read_object(data: bytes) -> dict[str, Any]:
    """A JSON object; RefusedError for anything else: other UTF, NaN, a key twice, numbers without end, deep nesting."""
    try:
        text = data.decode("utf-8")
        found = json.loads(
            text, object_pairs_hook=_unique, parse_constant=_no_constant, parse_int=_int, parse_float=_float
        )
        if "\\u" in text:
            # Half of a surrogate pair is JSON, but no text: neither SQLite nor a reply could take it.
            json.dumps(found, ensure_ascii=False).encode()
    except RecursionError:
        raise RefusedError("malformed", "nested too deeply; expected a JSON object") from None
    except ValueError as error:
        raise RefusedError("malformed", f"not usable JSON ({str(error)[:100]}); expected a JSON object") from None
    if not isinstance(found, dict):
        raise RefusedError("malformed", "expected a JSON object")
    return found


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a key twice")
    return made


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no number")


def _int(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise ValueError(f"a number of {len(text)} digits")
    return int(text)


def _float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError("a number out of range")
    return value


def read_envelope(payload: bytes) -> Envelope:
    """Signed or plain; RefusedError for what is neither."""
    found = read_object(payload)
    if "signed" not in found:
        return Envelope(payload)
    if set(found) != {"signed", "key", "signature"} or not all(isinstance(value, str) for value in found.values()):
        raise RefusedError("malformed", "expected `signed`, `key` and `signature`, each a text, and nothing else")
    if not re.fullmatch(KEY_NAME, found["key"]):
        raise RefusedError("malformed", "key: expected the name of a key")
    return Envelope(found["signed"].encode(), found["key"], found["signature"])


def request_id_of(body: Mapping[str, Any]) -> str | None:
    """For the reply; None where there is none that could be repeated."""
    found = body.get("request_id")
    return found if isinstance(found, str) and re.fullmatch(REQUEST_ID, found) else None


def parse_moment(text: object) -> float:
    """RFC 3339 to Unix seconds; RefusedError."""
    if not isinstance(text, str) or not re.fullmatch(ISSUED_AT, text, re.ASCII):
        raise RefusedError("malformed", "issued_at: expected RFC 3339, such as 2026-01-31T23:59:59Z")
    try:
        # Python reads six digits of a fraction at most.
        shortened = re.sub(r"(\.\d{6})\d+", r"\1", text.upper())
        return dt.datetime.fromisoformat(shortened).timestamp()
    except (ValueError, OverflowError) as error:
        raise RefusedError("malformed", "issued_at: no such moment") from error


def parse_request(verb: str, body: Mapping[str, Any], arguments: type, signer: str = "") -> Request:
    """Every fault of the arguments at once, in one RefusedError."""
    request_id = request_id_of(body)
    if request_id is None:
        raise RefusedError("malformed", "request_id: expected 1 to 64 letters, digits, or any of . _ : -")
    issued_at = parse_moment(body.get("issued_at"))
    rest = {name: value for name, value in body.items() if name not in {"request_id", "issued_at"}}
    made: Any
    made, faults = build(arguments, rest)
    if made is None:
        more = f"; and {len(faults) - SHOWN_FAULTS} more" if len(faults) > SHOWN_FAULTS else ""
        raise RefusedError("malformed", "; ".join(map(str, faults[:SHOWN_FAULTS])) + more)
    return Request(verb, request_id, issued_at, made, signer)
