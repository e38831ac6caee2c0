"""deploy/emqx as far as it goes without EMQX: its syntax, its keys, and what its rules would say.

The reader knows as much of HOCON as the file uses, and no more: what it does not know is a fault.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.support.data import ROOT

SOURCE = ROOT / "deploy" / "emqx"
TOKEN = re.compile(r'\s*(?:##[^\n]*|(?P<text>"(?:[^"\\\n]|\\.)*")|(?P<word>[\w.]+)|(?P<sign>[{}\[\]=,]))')

KEYS = {
    "node.name": r"emqx@[\w.-]+", "node.cookie": r"\S+", "node.data_dir": r"/\S+",
    "cluster.name": r"\w+", "cluster.discovery_strategy": r"manual|static|dns|etcd|k8s", "cluster.static.seeds": list, "cluster.autoheal": bool,
    "listeners.tcp.default.enable": bool, "listeners.ws.default.enable": bool, "listeners.wss.default.enable": bool,
    "listeners.ssl.default.bind": r"[\d.]+:\d+", "listeners.ssl.default.max_connections": int, "listeners.ssl.default.max_conn_rate": r"\d+/s",
    "listeners.ssl.default.ssl_options.cacertfile": r"/\S+", "listeners.ssl.default.ssl_options.certfile": r"/\S+",
    "listeners.ssl.default.ssl_options.keyfile": r"/\S+", "listeners.ssl.default.ssl_options.versions": list,
    "listeners.ssl.default.ssl_options.verify": r"verify_peer|verify_none", "listeners.ssl.default.ssl_options.fail_if_no_peer_cert": bool,
    "mqtt.peer_cert_as_username": r"disabled|cn|dn|crt|pem|md5", "mqtt.max_packet_size": r"\d+[KM]B", "mqtt.retain_available": bool,
    "mqtt.wildcard_subscription": bool, "mqtt.max_mqueue_len": int, "mqtt.max_inflight": int, "mqtt.mqueue_store_qos0": bool,
    "mqtt.session_expiry_interval": r"\d+[smhd]",
    "authentication[].mechanism": r"password_based|jwt|scram", "authentication[].backend": r"built_in_database|http|redis|mysql",
    "authentication[].user_id_type": r"username|clientid", "authentication[].password_hash_algorithm.name": r"sha256|sha512|bcrypt|pbkdf2",
    "authentication[].password_hash_algorithm.salt_position": r"prefix|suffix|disable",
    "authorization.sources[].type": r"file|built_in_database", "authorization.sources[].enable": bool, "authorization.sources[].path": r"/\S+",
    "authorization.no_match": r"allow|deny", "authorization.deny_action": r"ignore|disconnect", "authorization.cache.enable": bool,
    "authorization.cache.max_size": int, "authorization.cache.ttl": r"\d+[smh]",
    "retainer.enable": bool, "retainer.max_payload_size": r"\d+[KM]B", "retainer.msg_expiry_interval": r"\d+s", "retainer.msg_clear_interval": r"\d+s",
    "retainer.delivery_rate": r"infinity|\d+/s", "retainer.backend.type": r"built_in_database", "retainer.backend.storage_type": r"ram|disc",
    "retainer.backend.max_retained_messages": int, "retainer.backend.index_specs": list,
    "durable_sessions.enable": bool, "durable_sessions.message_retention_period": r"\d+[smhd]",
    "dashboard.listeners.http.bind": r"127\.0\.0\.1:\d+",
}  # fmt: skip
"""As EMQX 5.8's documentation has them, and what their values may be."""


class Reader:
    """HOCON: objects, arrays, dotted keys, quoted texts, words, comments of ##."""

    def __init__(self, text: str) -> None:
        self._tokens: list[tuple[str, str]] = []
        place = 0
        while place < len(text.rstrip()):
            found = TOKEN.match(text, place)
            assert found is not None, f"not understood: {text[place : place + 40]!r}"
            if found.lastgroup:
                self._tokens.append((found.lastgroup, found[found.lastgroup]))
            place = found.end()

    def read(self) -> dict[str, Any]:
        """The whole of it."""
        made = self._fields(None)
        assert not self._tokens
        return made

    def _take(self, *signs: str) -> str:
        kind, token = self._tokens.pop(0)
        assert kind == "sign", f"{token} where {signs} is expected"
        assert token in signs, f"{token} where {signs} is expected"
        return token

    def _next_is(self, sign: str) -> bool:
        return bool(self._tokens) and self._tokens[0] == ("sign", sign)

    def _fields(self, end: str | None) -> dict[str, Any]:
        made: dict[str, Any] = {}
        while self._tokens and not (end and self._next_is(end)):
            kind, name = self._tokens.pop(0)
            assert kind == "word", f"{name} where a key is expected"
            if not self._next_is("{"):
                self._take("=")
            _put(made, name.split("."), self._value())
            if self._next_is(","):
                self._take(",")
        if end:
            self._take(end)
        return made

    def _value(self) -> Any:
        kind, text = self._tokens.pop(0)
        if kind == "text":
            return text[1:-1]
        if kind == "word":
            return {"true": True, "false": False}.get(text, int(text) if text.isdecimal() else text)
        assert text in {"{", "["}, f"{text} where a value is expected"
        return self._fields("}") if text == "{" else self._items()

    def _items(self) -> list[Any]:
        made = []
        while not self._next_is("]"):
            made.append(self._value())
            if not self._next_is("]"):
                self._take(",")
        self._take("]")
        return made


def _put(made: dict[str, Any], path: list[str], value: Any) -> None:
    *before, last = path
    for name in before:
        made = made.setdefault(name, {})
    if isinstance(value, dict) and isinstance(made.get(last), dict):
        for name, inner in value.items():
            _put(made[last], [name], inner)
        return
    assert last not in made, f"{last} twice"
    made[last] = value


def flat(data: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Key path -> value; [] for objects in an array."""
    if isinstance(data, dict):
        for name, value in data.items():
            yield from flat(value, f"{path}.{name}" if path else name)
    elif isinstance(data, list) and data and isinstance(data[0], dict):
        for value in data:
            yield from flat(value, f"{path}[]")
    else:
        yield path, data


def test_every_key_is_one_of_emqx_and_its_value_may_be_so() -> None:
    made = Reader((SOURCE / "emqx.conf").read_text(encoding="utf-8")).read()
    rows = list(flat(made))
    for path, value in rows:
        assert path in KEYS, path
        kind = KEYS[path]
        if isinstance(kind, str):
            assert re.fullmatch(kind, str(value)), f"{path} = {value}"
        else:
            assert type(value) is kind, f"{path} = {value}"
    assert {path for path, _ in rows} == set(KEYS)
    assert made["node"]["name"] in made["cluster"]["static"]["seeds"]
    assert made["mqtt"]["max_mqueue_len"] >= 5_000 < made["retainer"]["backend"]["max_retained_messages"]


@pytest.mark.parametrize(
    "text", ["a = ", "a = {", "a = [1 2]", "a b", "a = 1 }", "a = 'x'", "a = 1\na = 2", "# note", 'a = "x']
)
def test_the_reader_refuses_what_is_no_configuration(text: str) -> None:
    with pytest.raises((AssertionError, IndexError)):
        Reader(text).read()


@dataclass(frozen=True, slots=True)
class Rule:
    """One tuple of acl.conf."""

    allows: bool
    user: str
    """An expression, as EMQX takes it: found anywhere."""
    action: str
    retained_only: bool
    topics: tuple[str, ...]

    def fits(self, user: str, action: str, topic: str, *, retain: bool) -> bool:
        """Whether it decides."""
        if not re.search(self.user, user) or self.action not in {"all", action} or (self.retained_only and not retain):
            return False
        return any(matches(pattern.replace("${username}", user), topic) for pattern in self.topics)


RULE = re.compile(
    r'\{(allow|deny), (all|\{username, (?:"([\w-]+)"|\{re, "([^"]+)"\})\})(?:, (all|publish|subscribe|\{publish, \[\{retain, true\}\]\}), \[((?:"[^"]+"(?:, )?)+)\])?\}\.'
)


def rules() -> list[Rule]:
    lines = (SOURCE / "acl.conf").read_text(encoding="utf-8").splitlines()
    made = []
    for line in lines:
        if not line or line.startswith("%%"):
            continue
        found = RULE.fullmatch(line)
        assert found is not None, line
        action = found[5] or "all"
        topics = tuple(re.findall(r'"([^"]+)"', found[6] or '"#"'))
        user = f"^{re.escape(found[3])}$" if found[3] else found[4] or ""
        made.append(Rule(found[1] == "allow", user, action.strip("{").split(",")[0], "retain" in action, topics))
    return made


def matches(pattern: str, topic: str) -> bool:
    """MQTT 5, 4.7: `topic` may be a filter itself, whose + is matched by + and #, and # by # alone."""
    wanted, given = pattern.split("/"), topic.split("/")
    for place, level in enumerate(wanted):
        if level == "#":
            return True
        if place >= len(given) or given[place] == "#" or level not in {"+", given[place]}:
            return False
    return len(wanted) == len(given)


def says(user: str, action: str, topic: str, *, retain: bool = False) -> bool:
    return next(rule.allows for rule in rules() if rule.fits(user, action, topic, retain=retain))


@pytest.mark.parametrize(
    ("user", "action", "topic", "retain", "expected"),
    [
        ("front", "publish", "ostiary/front/event", False, True),
        ("front", "publish", "ostiary/front/event", True, False),
        ("front", "publish", "ostiary/front/status", True, True),
        ("front", "publish", "ostiary/front/camera/porch/status", True, True),
        ("front", "publish", "ostiary/front/cmd/list/reply", False, True),
        ("front", "publish", "ostiary/front/cmd/list", False, False),
        ("front", "publish", "ostiary/back/event", False, False),
        ("front", "publish", "ostiary/gallery/staff/ada", True, False),
        ("front", "subscribe", "ostiary/front/cmd/+", False, True),
        ("front", "subscribe", "ostiary/back/cmd/+", False, False),
        ("front", "subscribe", "ostiary/+/cmd/+", False, False),
        ("front", "subscribe", "ostiary/#", False, False),
        ("front", "subscribe", "#", False, False),
        ("front", "subscribe", "ostiary/gallery/staff/#", False, False),
        ("harbour-gate", "subscribe", "ostiary/gallery/staff/#", False, True),
        ("harbour-gate", "subscribe", "ostiary/gallery/staff/identity/0a/+", False, True),
        ("harbour-gate", "subscribe", "ostiary/gallery/board/#", False, False),
        ("not-harbour-gate", "subscribe", "ostiary/gallery/staff/#", False, False),
        ("gallery", "publish", "ostiary/gallery/status", False, False),
        ("office", "publish", "ostiary/gallery/staff/ada", True, True),
        ("office", "publish", "ostiary/front/cmd/list", False, True),
        ("office", "publish", "ostiary/front/cmd/list", True, False),
        ("office", "publish", "ostiary/front/event", False, False),
        ("office", "publish", "ostiary/office/event", False, False),
        ("watch", "subscribe", "ostiary/+/event", False, True),
        ("watch", "subscribe", "ostiary/#", False, False),
        ("watch", "subscribe", "ostiary/gallery/staff/#", False, False),
        ("watch", "publish", "ostiary/watch/event", False, False),
        ("watch", "publish", "ostiary/front/cmd/restart", False, False),
    ],
)
def test_roles(user: str, action: str, topic: str, retain: bool, expected: bool) -> None:  # noqa: FBT001
    assert says(user, action, topic, retain=retain) is expected


def test_the_last_rule_denies_everything() -> None:
    assert rules()[-1] == Rule(allows=False, user="", action="all", retained_only=False, topics=("#",))
