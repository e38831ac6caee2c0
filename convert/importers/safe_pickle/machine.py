"""The pickle virtual machine (PEP 3154, and the opcode table of `pickletools`), for data only.

There is no import, no attribute of a file's choosing and no method call: a global is looked up in a table of safe functions,
a REDUCE calls one of those, a BUILD fills one of our own records. Work and memory are bounded by the pickle's own size.
"""

from __future__ import annotations

import pickletools
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, BinaryIO, Protocol

from edge.errors import ModelError

MOST_OPCODES = 2_000_000
"""A state dict of a thousand tensors takes about 20,000."""
MOST_DEPTH = 64
MOST_OBJECTS = 300_000
"""Of the result, each counted as often as it is referred to."""
_DAMAGED = "The file is cut off or damaged: copy it again."
_SLACK_BYTES = 16 << 20
_MALFORMED = (TypeError, ValueError, IndexError, KeyError, AttributeError, OverflowError, MemoryError)
"""What arithmetic on a hostile pickle's values raises."""
_SCALARS = (str, int, float, bytes, type(None))


@dataclass(frozen=True, slots=True)
class Constructor:
    """A global that is known: its name in the file, and what stands for it here; None where it is only ever a value."""

    name: str
    make: Callable[..., Any] | None = None


class Buildable(Protocol):
    """A record whose contents come after it was made, by BUILD."""

    def build(self, machine: Machine, state: Any) -> None:
        """Take the state; any of the usual errors where it is not sound."""


@dataclass(slots=True)
class Machine:
    """One run over one pickle."""

    stream: BinaryIO
    known: Mapping[str, Constructor]
    where: str
    size: int
    """Bytes of the file, which bound what may be made of it."""
    persistent: Callable[[Any], Any] | None = None
    hint: str = ""
    stack: list[Any] = field(default_factory=list)
    marks: list[list[Any]] = field(default_factory=list)
    memo: dict[int, Any] = field(default_factory=dict)
    made_bytes: int = 0

    def run(self) -> Any:
        """The one object of the pickle. ModelError where it is not sound, too large, or names code."""
        try:
            with warnings.catch_warnings():
                # pickletools warns of odd escapes in text while it reads.
                warnings.simplefilter("ignore", DeprecationWarning)
                return self._run()
        except _MALFORMED as error:
            raise self.damaged(str(error) or type(error).__name__) from error

    def _run(self) -> Any:
        for count, (code, argument, _) in enumerate(pickletools.genops(self.stream)):
            if count > MOST_OPCODES:
                raise self.refused(f"more than {MOST_OPCODES} pickle opcodes")
            if code.name == "STOP":
                return self.stack.pop()
            operation = OPERATIONS.get(code.name)
            if operation is None:
                raise self.refused(f"pickle opcode {code.name}, which no array or state dict needs")
            operation(self, argument)
        raise self.damaged("no end")

    def charge(self, count: int) -> None:
        """Count bytes about to be made; ModelError where they are out of proportion to the file."""
        self.made_bytes += count
        if count < 0 or self.made_bytes > 8 * self.size + _SLACK_BYTES:
            raise self.refused(f"arrays of more than {self.made_bytes} bytes claimed in a file of {self.size}")

    def refused(self, problem: str) -> ModelError:
        """The error for what is never read."""
        return ModelError(f"{problem}: refused", where=self.where, hint=self.hint)

    def damaged(self, reason: str) -> ModelError:
        """The error for what is not a pickle of arrays."""
        return ModelError(f"not a sound pickle ({reason[:120]})", where=self.where, hint=_DAMAGED)

    def find(self, module: str, name: str) -> Constructor:
        """The safe stand-in of a global. ModelError names one that is not known."""
        full = f"{module}.{name}"
        if full not in self.known:
            raise ModelError(f"holds code ({full[:200]}): refused, never executed", where=self.where, hint=self.hint)
        return self.known[full]

    def popped(self, count: int) -> list[Any]:
        """The last `count` values, taken off the stack."""
        if len(self.stack) < count:
            raise IndexError("stack underflow")
        values = self.stack[-count:]
        del self.stack[-count:]
        return values

    def since_mark(self) -> list[Any]:
        """Everything since the last MARK, taken off the stack."""
        values, self.stack = self.stack, self.marks.pop()
        return values


Operation = Callable[[Machine, Any], None]


def _push(make: Callable[[Any], Any]) -> Operation:
    return lambda machine, argument: machine.stack.append(make(argument))


def _of_last(count: int) -> Operation:
    return lambda machine, _: machine.stack.append(tuple(machine.popped(count)))


def _of_marked(make: Callable[[list[Any]], Any]) -> Operation:
    def operation(machine: Machine, _: Any) -> None:
        values = machine.since_mark()  # first: it brings back the stack from before the mark
        machine.stack.append(make(values))

    return operation


def _mark(machine: Machine, _: Any) -> None:
    machine.marks.append(machine.stack)
    machine.stack = []


def _pop(machine: Machine, _: Any) -> None:
    machine.popped(1)


def _put(machine: Machine, index: int) -> None:
    machine.memo[index] = machine.stack[-1]


def _append(machine: Machine, values: list[Any]) -> None:
    target = machine.stack[-1]
    if not isinstance(target, list):
        raise TypeError("items for what is no list")
    target.extend(values)


def _set(machine: Machine, values: list[Any]) -> None:
    target = machine.stack[-1]
    if not isinstance(target, dict):
        raise TypeError("entries for what is no dict")
    target.update(dict_of(values))


def dict_of(values: list[Any]) -> dict[Any, Any]:
    """Key, value, key, value ... Keys are plain: the hash of a nested tuple can take for ever."""
    if len(values) % 2:
        raise ValueError("a key without a value")
    pairs = list(pairwise(values))[::2]
    if any(not isinstance(key, _SCALARS) for key, _ in pairs):
        raise TypeError("a key that is neither text nor number")
    return dict(pairs)


def _global(machine: Machine, argument: str) -> None:
    module, _, name = argument.partition(" ")
    machine.stack.append(machine.find(module, name))


def _stack_global(machine: Machine, _: Any) -> None:
    module, name = machine.popped(2)
    if not isinstance(module, str) or not isinstance(name, str):
        raise TypeError("a global without a name")
    machine.stack.append(machine.find(module, name))


def _reduce(machine: Machine, _: Any) -> None:
    constructor, arguments = machine.popped(2)
    if not isinstance(constructor, Constructor) or constructor.make is None or not isinstance(arguments, tuple):
        raise TypeError("a call of what cannot be called")
    machine.stack.append(constructor.make(machine, *arguments))


def _build(machine: Machine, _: Any) -> None:
    state = machine.popped(1)[0]
    target = machine.stack[-1]
    if isinstance(target, dict):
        return  # an OrderedDict's own attributes: `_metadata` of a state dict
    if not hasattr(target, "build"):
        raise TypeError(f"state for {type(target).__name__}")
    buildable: Buildable = target
    buildable.build(machine, state)


def _persistent(machine: Machine, _: Any) -> None:
    if machine.persistent is None:
        raise machine.refused("a reference to something outside the pickle")
    machine.stack.append(machine.persistent(machine.popped(1)[0]))


def _get(machine: Machine, index: int) -> None:
    machine.stack.append(machine.memo[index])


def _nothing(machine: Machine, argument: Any) -> None:
    """PROTO and FRAME only speak of the opcodes to come."""


_CONSTANTS: dict[str, Operation] = {
    "NONE": _push(lambda _: None),
    "NEWTRUE": _push(lambda _: True),
    "NEWFALSE": _push(lambda _: False),
    "EMPTY_TUPLE": _push(lambda _: ()),
    "EMPTY_LIST": _push(lambda _: []),
    "EMPTY_DICT": _push(lambda _: {}),
}
_LITERALS = (
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT", "STRING", "BINSTRING",
    "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8", "UNICODE", "BINUNICODE",
    "SHORT_BINUNICODE", "BINUNICODE8",
)  # fmt: skip
OPERATIONS: dict[str, Operation] = {
    **_CONSTANTS,
    **dict.fromkeys(_LITERALS, _push(lambda argument: argument)),
    "TUPLE1": _of_last(1),
    "TUPLE2": _of_last(2),
    "TUPLE3": _of_last(3),
    "TUPLE": _of_marked(tuple),
    "LIST": _of_marked(list),
    "DICT": _of_marked(dict_of),
    "MARK": _mark,
    "POP": _pop,
    "PUT": _put,
    "BINPUT": _put,
    "LONG_BINPUT": _put,
    "MEMOIZE": lambda machine, _: _put(machine, len(machine.memo)),
    "GET": _get,
    "BINGET": _get,
    "LONG_BINGET": _get,
    "APPEND": lambda machine, _: _append(machine, machine.popped(1)),
    "APPENDS": lambda machine, _: _append(machine, machine.since_mark()),
    "SETITEM": lambda machine, _: _set(machine, machine.popped(2)),
    "SETITEMS": lambda machine, _: _set(machine, machine.since_mark()),
    "GLOBAL": _global,
    "STACK_GLOBAL": _stack_global,
    "REDUCE": _reduce,
    "NEWOBJ": _reduce,
    "BUILD": _build,
    "BINPERSID": _persistent,
    "PROTO": _nothing,
    "FRAME": _nothing,
}
