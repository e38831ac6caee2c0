"""Attributes of MXNet operators: JSON holds all of them as text, in the manner of Python."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from edge.errors import ModelError

_TRUTH = {"true": True, "1": True, "false": False, "0": False}


@dataclass(frozen=True, slots=True)
class Attributes:
    """What a node's JSON says; each reader takes MXNet's own default, and raises ModelError where the text is another thing."""

    node: str
    values: Mapping[str, str] = field(default_factory=dict)

    def text(self, name: str, default: str = "") -> str:
        """A word; the default where it is absent or None."""
        value = self.values.get(name, default)
        return default if value == "None" else value

    def truth(self, name: str, *, default: bool) -> bool:
        """`True`, `False`, `1` or `0`."""
        word = self.text(name, str(default)).lower()
        if word not in _TRUTH:
            raise self._wrong(name, "True or False")
        return _TRUTH[word]

    def integer(self, name: str, default: int) -> int:
        """A whole number."""
        return _integer(self.text(name, str(default)), self._wrong(name, "a whole number"))

    def number(self, name: str, default: float) -> float:
        """A real number."""
        try:
            return float(self.text(name, str(default)))
        except ValueError as error:
            raise self._wrong(name, "a number") from error

    def integers(self, name: str, default: tuple[int, ...] = ()) -> tuple[int, ...]:
        """A tuple, list or single whole number."""
        values = self.optional_integers(name, default)
        if None in values:
            raise self._wrong(name, "whole numbers")
        return tuple(value for value in values if value is not None)

    def optional_integers(self, name: str, default: tuple[int | None, ...] = ()) -> tuple[int | None, ...]:
        """The same, where None may stand for a number: `(None, 1)`."""
        text = self.text(name).strip()
        if not text:
            return default
        parts = [part.strip() for part in text.strip("()[]").split(",")]
        wrong = self._wrong(name, "whole numbers")
        return tuple(None if part == "None" else _integer(part, wrong) for part in parts if part)

    def has(self, name: str) -> bool:
        """Whether it is given, and not as None."""
        return self.values.get(name, "None") != "None"

    def _wrong(self, name: str, expected: str) -> ModelError:
        found = self.values.get(name, "")[:80]
        return ModelError(f"{name} is {found!r}", where=self.node, expected=expected)


def _integer(text: str, wrong: ModelError) -> int:
    try:
        # Python 2 wrote (3L, 3L).
        return int(text.rstrip("L"))
    except ValueError as error:
        raise wrong from error
