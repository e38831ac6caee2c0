"""PReLU, however it is written out: relu(x) + a (x - |x|) / 2, relu(x) - a relu(-x), max(x, a x), where(x > 0, x, a x), ...

Each of these is a tensor that is one number a channel times x above 0, and another below. Such slopes are followed from
node to node; where they become 1 above 0, one PRelu is written in place of what led there (He et al. 2015).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from convert.network import Array, Network, Node, Port
from convert.shapes import infer_ports

_MOST_BASES = 6
_NEAR_ONE = float(np.finfo(np.float32).eps)
"""Halves of (1 + a) x + (1 - a) |x| are rounded, and add up to nearly 1."""


@dataclass(frozen=True, slots=True, eq=False)
class Slopes:
    """A tensor as `above` times its base where that is positive, `below` times it elsewhere.

    float64, one number, or one a channel in as many axes as the base has.
    """

    above: Array
    below: Array


Bases = Mapping[str, Slopes]
"""Base -> slopes, the nearest base first."""
_ONE, _ZERO = np.ones(()), np.zeros(())
_ITSELF, _NOTHING = Slopes(_ONE, _ONE), Slopes(_ZERO, _ZERO)
_SUMS = {"Add": np.add, "Sub": np.subtract}
_CHOICES = {"Max": (np.maximum, np.minimum), "Min": (np.minimum, np.maximum)}
_ENDS = frozenset({*_SUMS, *_CHOICES, "Clip", "Where"})
"""What may end such a form."""
_ALONE: dict[str, Callable[[Slopes], Slopes]] = {
    # For a negative base b * base is positive where b is negative.
    "Relu": lambda of: Slopes(np.maximum(of.above, 0), np.minimum(of.below, 0)),
    "Neg": lambda of: Slopes(-of.above, -of.below),
    "Abs": lambda of: Slopes(np.abs(of.above), -np.abs(of.below)),
    "Identity": lambda of: of,
}


def recognise_prelus(network: Network) -> Network:
    """The network with PRelu for what a source has written out; LeakyRelu where one slope serves all, Relu where it is 0.

    Slopes are numbers, or constants with one number for each place of axis 1, of two or four axes. Where anything between x and
    the result is read by others too, or is an output, nothing is changed.
    """
    if not any(node.op in _ENDS for node in network.nodes):
        return network
    following = _Following(network, infer_ports(network))
    for node in network.nodes:
        following.follow(node)
    if not following.written:
        return network
    nodes = (following.written.get(node.output, node) for node in network.nodes)
    kept = tuple(node for node in nodes if node.output not in following.gone)
    return replace(network, nodes=kept).with_constants(following.added)


@dataclass(slots=True)
class _Following:
    """What is known of the tensors so far, and what has been written."""

    network: Network
    ports: Mapping[str, Port]
    slopes: dict[str, Bases] = field(default_factory=dict)
    signs: dict[str, tuple[str, bool]] = field(default_factory=dict)
    """Comparisons with 0: what is compared, and whether they hold where it is positive."""
    written: dict[str, Node] = field(default_factory=dict)
    added: dict[str, Array] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    _makers: dict[str, Node] = field(default_factory=dict)
    _readers: dict[str, set[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for node in self.network.nodes:
            self._makers.update(dict.fromkeys(node.outputs, node))
            for name in node.inputs:
                self._readers.setdefault(name, set()).add(node.output)

    def follow(self, node: Node) -> None:
        """Slopes of what a node makes; where it ends a PReLU, that is written."""
        step = _STEPS.get(node.op)
        found = step(self, node) if step is not None else {}
        if not found:
            return
        self.slopes[node.output] = found
        for base, slopes in found.items():
            inside = self._between(base, node) if self._is_prelu(node, base, slopes) else None
            if inside is not None:
                self.gone |= inside
                self.written[node.output] = self._prelu(node, base, slopes.below)
                return

    def _is_prelu(self, node: Node, base: str, slopes: Slopes) -> bool:
        is_whole = np.all(np.abs(slopes.above - 1) <= _NEAR_ONE)
        if node.op not in _ENDS or not is_whole or np.all(slopes.below == 1) or node.output not in self.ports:
            return False
        # A constant of more axes than the base adds axes to the result.
        return len(self.ports[node.output].shape) == len(self.ports[base].shape)

    def _prelu(self, node: Node, base: str, below: Array) -> Node:
        if not np.any(below):
            return Node("Relu", node.name, (base,), node.outputs)
        if np.all(below == below.flat[0]):
            return Node("LeakyRelu", node.name, (base,), node.outputs, {"alpha": float(np.float32(below.flat[0]))})
        name = f"{node.output}/slope"
        while name in self.network.constants or name in self._makers:
            name += "_"
        # ONNX broadcasts a slope to the whole tensor: the batch's axis is left out.
        self.added[name] = below[0].astype(np.float32)
        return Node("PRelu", node.name, (base, name), node.outputs)

    def _between(self, base: str, end: Node) -> set[str] | None:
        """What is computed on the way from the base to the end; None where others read of it."""
        inside: set[str] = set()
        waiting = list(end.inputs)
        while waiting:
            name = waiting.pop()
            if name in {base, ""} or name in self.network.constants or name in inside:
                continue
            inside.add(name)
            waiting += self._makers[name].inputs
        allowed = inside | {end.output}
        is_alone = all(self._readers[name] <= allowed and not self.network.is_output(name) for name in inside)
        return inside if is_alone else None

    def bases(self, name: str) -> Bases:
        """A tensor in terms of itself, and of what it was made of; none where its form is not known."""
        port = self.ports.get(name)
        if name in self.network.constants or port is None or port.dtype != "float32":
            return {}
        found = {name: _ITSELF, **self.slopes.get(name, {})}
        return dict(list(found.items())[:_MOST_BASES])

    def operand(self, name: str) -> Bases | None:
        """As `bases`; none for a constant 0, which is 0 times any base; None where nothing is known."""
        if name in self.network.constants:
            return {} if self.is_zero(name) else None
        return self.bases(name) or None

    def is_zero(self, name: str) -> bool:
        """Whether a name is of a constant with one element, 0."""
        value = self.network.constants.get(name)
        return value is not None and value.size == 1 and not np.any(value)

    def factor(self, number: str, name: str) -> Array | None:
        """A constant as one number, or as one a channel of the tensor `name`; None for any other."""
        value, port = self.network.constants.get(number), self.ports.get(name)
        if value is None or port is None or value.dtype.kind != "f" or value.ndim > len(port.shape):
            return None
        if value.size == 1:
            return value.reshape(()).astype(np.float64)
        rank = len(port.shape)
        shape = (1,) * (rank - value.ndim) + value.shape
        fits = rank in {2, 4} and shape == (1, port.shape[1], *(1,) * (rank - 2))
        return value.reshape(shape).astype(np.float64) if fits else None


def _each(bases: Bases, change: Callable[[Slopes], Slopes]) -> Bases:
    return {base: change(slopes) for base, slopes in bases.items()}


def _alone(following: _Following, node: Node) -> Bases:
    return _each(following.bases(node.inputs[0]), _ALONE[node.op])


def _clipped(following: _Following, node: Node) -> Bases:
    """Clip from 0 up, or from 0 down."""
    low, high = (*node.inputs[1:], "", "")[:2]
    if following.is_zero(low) and not high:
        return _each(following.bases(node.inputs[0]), _ALONE["Relu"])
    if following.is_zero(high) and not low:
        return _each(
            following.bases(node.inputs[0]), lambda of: Slopes(np.minimum(of.above, 0), np.maximum(of.below, 0))
        )
    return {}


def _scaled(following: _Following, node: Node) -> Bases:
    for number, name in (node.inputs, node.inputs[::-1]):
        factor = following.factor(number, name)
        if factor is not None:
            return _by(following.bases(name), factor)
    return {}


def _divided(following: _Following, node: Node) -> Bases:
    name, number = node.inputs
    factor = following.factor(number, name)
    return _by(following.bases(name), 1 / factor) if factor is not None and np.all(factor) else {}


def _by(bases: Bases, factor: Array) -> Bases:
    return _each(bases, lambda of: Slopes(of.above * factor, of.below * factor))


def _combined(following: _Following, node: Node) -> Bases:
    if len(node.inputs) != 2:
        return {}
    above, below = _CHOICES.get(node.op) or (_SUMS[node.op], _SUMS[node.op])
    return _joined(
        following, node.inputs, lambda one, other: Slopes(above(one.above, other.above), below(one.below, other.below))
    )


def _joined(following: _Following, names: tuple[str, ...], join: Callable[[Slopes, Slopes], Slopes]) -> Bases:
    left, right = (following.operand(name) for name in names)
    if left is None or right is None:
        return {}
    common = [base for base in {**left, **right} if (base in left or not left) and (base in right or not right)]
    return {base: join(left.get(base, _NOTHING), right.get(base, _NOTHING)) for base in common}


def _compared(following: _Following, node: Node) -> Bases:
    """Remember a comparison with 0; it has no slopes itself."""
    left, right = node.inputs
    is_first = following.is_zero(right)
    zero, name = (right, left) if is_first else (left, right)
    if following.is_zero(zero) and following.bases(name):
        following.signs[node.output] = name, (node.op == "Greater") == is_first
    return {}


def _negated(following: _Following, node: Node) -> Bases:
    found = following.signs.get(node.inputs[0])
    if found is not None:
        following.signs[node.output] = found[0], not found[1]
    return {}


def _selected(following: _Following, node: Node) -> Bases:
    condition, *sides = node.inputs
    base, is_positive = following.signs.get(condition, ("", False))
    if not base:
        return {}
    above, below = sides if is_positive else sides[::-1]
    found = _joined(following, (above, below), lambda one, other: Slopes(one.above, other.below))
    return {base: found[base]} if base in found else {}


_STEPS: dict[str, Callable[[_Following, Node], Bases]] = {
    **dict.fromkeys(_ALONE, _alone),
    **dict.fromkeys((*_SUMS, *_CHOICES), _combined),
    "Clip": _clipped,
    "Mul": _scaled,
    "Div": _divided,
    "Greater": _compared,
    "Less": _compared,
    "Not": _negated,
    "Where": _selected,
}
"""Operator -> slopes of what it makes."""
