"""A readable live view of what boxes publish: messages of a broker -> lines, for people and for programs.

Anybody may publish below the base topic, so nothing here believes a payload: what is not in the contract is shown as such.
"""

from __future__ import annotations

import datetime as dt
import json
import math
import secrets
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from edge.backoff import Backoff, BackoffPlan
from edge.config.settings import Mqtt
from edge.errors import BrokerError
from edge.publish.client import Connection, Listener, Received
from edge.publish.topics import Topics

if TYPE_CHECKING:
    from rich.text import Text

Kind = Literal["event", "history", "presence", "status", "camera", "malformed", "connection"]

MAX_PAYLOAD_BYTES = 65_536
MAX_TEXT = 80
_STYLES = {"recognized": "bold green", "unknown": "yellow", "spoof_suspected": "bold red"}
_REFUSED_STYLE = "bold yellow"
_KIND_STYLES = {"history": "dim", "malformed": "red", "connection": "magenta", "presence": "cyan"}
_WORDS = {"presence": (b"ON", b"OFF"), "status": (b"online", b"offline"), "camera": (b"online", b"offline")}


@dataclass(frozen=True, slots=True)
class Line:
    """One message. Every text in it is safe to show on a terminal."""

    kind: Kind
    at: float
    """Unix seconds when it came."""
    topic: str
    place: str
    """device, or device/camera."""
    text: str
    """What there is to say: `Ada  similarity 0.61 ...`, `online`, or what is wrong with it."""
    label: str = ""
    """Event type of an event."""
    data: Any = None
    """The payload as plain data; None where it is malformed."""
    retained: bool = False


def safe(text: str) -> str:
    """`text` with control, direction and other invisible characters spelt out, and cut to one short line."""
    shown = "".join(char if char.isprintable() else f"\\u{ord(char):04x}" for char in text[: MAX_TEXT + 1])
    return shown if len(shown) <= MAX_TEXT else shown[: MAX_TEXT - 1] + "…"


def read_message(base: str, received: Received, at: float) -> Line:
    """What one message says; never raises, whatever it holds."""
    levels = received.topic.removeprefix(f"{base}/").split("/")
    device, kind = safe(levels[0]), _kind_of(levels[1:])
    place = f"{device}/{safe(levels[2])}" if kind == "camera" else device
    try:
        if kind is None:
            raise ValueError("not a topic of the contract")  # noqa: TRY301 - one way out for all faults
        if len(received.payload) > MAX_PAYLOAD_BYTES:
            raise ValueError(f"{len(received.payload)} bytes")  # noqa: TRY301
        if kind in ("event", "history"):
            return _event_line(kind, received, device, at)
        return Line(kind, at, safe(received.topic), place, *_word(kind, received.payload), retained=received.retained)
    except (ValueError, TypeError, RecursionError, OverflowError) as error:
        start = safe(received.payload[:40].decode("utf-8", "replace"))
        text = f"malformed ({safe(str(error)) or type(error).__name__}): {start}"
        return Line("malformed", at, safe(received.topic), place, text, retained=received.retained)


def _kind_of(levels: list[str]) -> Kind | None:
    match levels:
        case ["event"]:
            return "event"
        case ["history"]:
            return "history"
        case ["presence"]:
            return "presence"
        case ["status"]:
            return "status"
        case ["camera", _, "status"]:
            return "camera"
    return None


def _word(kind: Kind, payload: bytes) -> tuple[str, str, str]:
    if payload not in _WORDS[kind]:
        raise ValueError(f"expected {' or '.join(word.decode() for word in _WORDS[kind])}")
    return payload.decode(), "", payload.decode()


def _event_line(kind: Kind, received: Received, device: str, at: float) -> Line:
    data = json.loads(received.payload.decode("utf-8"), parse_constant=_no_constant)
    if not isinstance(data, dict):
        raise TypeError("not an object")
    label = _text(data, "event_type")
    if label not in _STYLES:
        raise ValueError("unknown event_type")
    numbers = {name: _number(_field(data, name), name) for name in ("similarity", "margin", "age_ms")}
    text = (
        f"{_who(data)}  {_outcome(data)}similarity {numbers['similarity']:.2f}  margin {numbers['margin']:.2f}"
        f"  after {_duration(numbers['age_ms'])}"
    )
    place = f"{device}/{safe(_text(data, 'camera'))}"
    return Line(kind, at, safe(received.topic), place, text, label, data, retained=received.retained)


def _who(data: dict[str, Any]) -> str:
    identity = _field(data, "identity")
    if identity is None:
        return "somebody unknown"
    if not isinstance(identity, dict):
        raise TypeError("identity is no object")
    return safe(_text(identity, "name"))


def _outcome(data: dict[str, Any]) -> str:
    """Of somebody recognized; what else a box tells opens nothing anyway. Boxes of old do not say."""
    if data["event_type"] != "recognized" or "allowed" not in data:
        return ""
    is_allowed = data["allowed"]
    if not isinstance(is_allowed, bool):
        raise TypeError("allowed is no boolean")
    return "allowed  " if is_allowed else f"refused: {safe(_text(data, 'reason'))}  "


def _field(data: dict[str, Any], name: str) -> object:
    if name not in data:
        raise ValueError(f"no {name}")
    return data[name]


def _text(data: dict[str, Any], name: str) -> str:
    value = _field(data, name)
    if not isinstance(value, str):
        raise TypeError(f"{name} is no text")
    return value


def _number(value: object, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise TypeError(f"{name} is no number")
    return float(value)


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def _duration(ms: float) -> str:
    if ms < 10_000:
        return f"{ms:.0f} ms"
    return f"{ms / 1e3:.0f} s" if ms < 600_000 else f"{ms / 6e4:.0f} min"


def _cells(line: Line) -> tuple[str, str, str, str]:
    """Time, place, label and the rest, padded to columns."""
    clock = dt.datetime.fromtimestamp(line.at).astimezone().strftime("%H:%M:%S")
    label = line.label or line.kind
    note = "  (replayed)" if line.kind == "history" else "  (retained)" if line.retained else ""
    return clock, f"{line.place:<20}", f"{label:<15}", line.text + note


def render_plain(line: Line) -> str:
    """One line of text without colours."""
    return "  ".join(_cells(line)).rstrip()


def render_rich(line: Line) -> Text:
    """The same with colours; built from pieces, so that no name is read as markup."""
    from rich.text import Text

    clock, place, label, text = _cells(line)
    style = _KIND_STYLES.get(line.kind) or _STYLES.get(line.label, "")
    if style == _STYLES["recognized"] and line.data.get("allowed") is False:
        style = _REFUSED_STYLE
    if line.text in ("offline", "online"):
        style = "red" if line.text == "offline" else "green"
    return Text.assemble((clock, "dim"), "  ", (place, "bold"), "  ", (label, style), "  ", text)


def render_json(line: Line) -> str:
    """One line of JSON: the event itself; anything else as {topic, payload} or {topic, error}."""
    if line.kind in ("event", "history"):
        return json.dumps(line.data)
    if line.data is None:
        return json.dumps({"topic": line.topic, "error": line.text})
    return json.dumps({"topic": line.topic, "payload": line.data})


def topics_to_watch(base: str, device: str = "+") -> tuple[str, ...]:
    """What `watch` subscribes to."""
    topics = Topics(base, device)
    return (topics.event, topics.history, topics.presence, topics.status, topics.camera_status("+"))


def watch(mqtt: Mqtt, *, device: str = "+", is_stopping: Callable[[], bool] = lambda: False) -> Iterator[Line]:
    """Lines as they come, until stopped. BrokerError when the first connection fails; a later loss is a line of its own."""
    backoff, was_connected = Backoff(BackoffPlan(cap_s=5.0)), False
    while not is_stopping():
        try:
            for line in _watch_once(mqtt, device, is_stopping):
                was_connected = True
                backoff.reset()
                yield line
        except BrokerError as error:
            if not was_connected:
                raise
            yield Line("connection", time.time(), "", mqtt.host, safe(error.problem), data=error.problem)
            _sleep(backoff.next_s(), is_stopping)


def _sleep(delay_s: float, is_stopping: Callable[[], bool]) -> None:
    until = time.monotonic() + delay_s
    while not is_stopping() and (left := until - time.monotonic()) > 0:
        time.sleep(min(0.2, left))


def _watch_once(mqtt: Mqtt, device: str, is_stopping: Callable[[], bool]) -> Iterator[Line]:
    lines: deque[Line] = deque()
    listener = Listener(lambda received: lines.append(read_message(mqtt.base_topic, received, time.time())))
    connection = Connection(mqtt, f"ostiary-watch-{secrets.token_hex(4)}", listener=listener)
    connection.open(is_stopping=is_stopping)
    try:
        for topic in topics_to_watch(mqtt.base_topic, device):
            connection.subscribe(topic)
        yield Line("connection", time.time(), "", mqtt.host, "connected", data="connected")
        while not is_stopping():
            while lines:
                yield lines.popleft()
            connection.step(0.2)
    finally:
        connection.close()
