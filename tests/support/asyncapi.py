"""docs/asyncapi.yaml as the tests read it: which topic is which channel, and what its messages must look like."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import yaml
from jsonschema import Draft202012Validator

from tests.support.data import ROOT
from tests.support.schemas import validator

DOCUMENT = ROOT / "docs" / "asyncapi.yaml"


@functools.cache
def document() -> dict[str, Any]:
    """As it is written, references and all."""
    return dict(yaml.safe_load(DOCUMENT.read_text(encoding="utf-8")))


def resolve(reference: str) -> Any:
    """What `#/...` names in the document; KeyError for nothing."""
    assert reference.startswith("#/"), reference
    found: Any = document()
    for part in reference[2:].split("/"):
        found = found[part]
    return resolve(found["$ref"]) if isinstance(found, dict) and set(found) == {"$ref"} else found


@dataclass(frozen=True, slots=True)
class Channel:
    """One channel with the operation on it and its one message."""

    name: str
    address: str
    action: str
    qos: int
    retain: bool
    content_type: str
    payload: Any
    """Of the message: a reference to a file of docs/schemas, or a schema."""
    examples: tuple[Any, ...]

    def fits(self, topic: str) -> bool:
        """Whether the topic is one of this channel, with the defaults of base topic and discovery prefix."""
        parameters = document()["components"]["parameters"]
        parts = re.split(r"\{(\w+)\}", self.address)
        # A parameter without a default is one level, whatever it says.
        names = (re.escape(parameters[name].get("default", "")) or "[^/+#]+" for name in parts[1::2])
        pattern = "".join(re.escape(text) + name for text, name in zip_longest(parts[::2], names, fillvalue=""))
        return re.fullmatch(pattern, topic) is not None

    @property
    def schema(self) -> str:
        """Name of the schema in docs/schemas, empty for one that stands in the document."""
        found = re.fullmatch(r"schemas/([a-z-]+)\.schema\.json", self.payload.get("$ref", ""))
        return found[1] if found else ""

    def problems(self, data: Any) -> list[str]:
        """What is wrong with a payload as plain data."""
        check = validator(self.schema) if self.schema else Draft202012Validator(self.payload)
        return [f"{'/'.join(map(str, one.path))}: {one.message}" for one in check.iter_errors(data)]


@functools.cache
def channels() -> tuple[Channel, ...]:
    """Every channel; AssertionError for one without exactly one operation and one message."""
    made = []
    for name, channel in document()["channels"].items():
        [operation] = [
            one for one in document()["operations"].values() if one["channel"]["$ref"] == f"#/channels/{name}"
        ]
        [message] = [resolve(one["$ref"]) for one in channel["messages"].values()]
        mqtt = operation["bindings"]["mqtt"]
        examples = tuple(one["payload"] for one in message.get("examples", ()))
        made.append(
            Channel(
                name, channel["address"], operation["action"], mqtt["qos"], mqtt["retain"],
                message["contentType"], message["payload"], examples,
            )
        )  # fmt: skip
    return tuple(made)


def channel_of(topic: str) -> Channel:
    """The one channel of a topic; AssertionError for none, or several."""
    found = [channel for channel in channels() if channel.fits(topic)]
    assert len(found) == 1, f"{topic}: channels {[one.name for one in found]} of docs/asyncapi.yaml; expected one"
    return found[0]
