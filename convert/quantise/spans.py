"""From the ranges that tensors were seen to have to those that their grids span: shared, clipped and made comparable."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from convert.network import Network, Node
from convert.quantise.form import SHARING, limits, steps
from edge.errors import ModelError

Range = tuple[float, float]
Ranges = Mapping[str, Range]

RATIOS = {"Add": (2.0**-10, 2.0**8), "Sub": (2.0**-10, 2.0**8), "LeakyRelu": (2.0**-8, 2.0**7)}
"""Scale of an input / scale of the result that XNNPACK's fixed point holds; beyond them a node is left to a slow kernel."""
_MARGIN = 1.02
"""Scales are rounded, and zero points move the ends of a range."""


def spans(network: Network, ranges: Ranges, floats: frozenset[str], given: Range) -> dict[str, Range]:
    """What the grid of each tensor spans, of all that are ever int8 ones; the input spans `given`.

    ModelError, with all of them, where a range is missing or is none.
    """
    made = [(node, (last or node).output) for node, last in steps(network)]
    read = {name for node, result in made if not floats.intersection((node.output, result)) for name in node.inputs}
    names = [name for _, name in made if name not in floats or name in read or network.is_output(name)]
    groups = _groups(network, floats)
    found = {groups.root(network.input_name): given}
    for name in (name for name in names if name in ranges):
        low, high = _within(network, name, ranges[name])
        known = found.get(groups.root(name), (0.0, 0.0))
        found[groups.root(name)] = min(known[0], low), max(known[1], high)
    missing = [name for name in names if groups.root(name) not in found]
    if missing:
        raise ModelError(f"no range of {', '.join(missing)}", expected="least and greatest value of each tensor")
    ratios = [
        (groups.root(name), groups.root(result), RATIOS[node.op])
        for node, result in made
        for name in node.inputs
        if node.op in RATIOS and not floats.intersection((node.output, result))
    ]
    _widen(found, ratios)
    return {name: found[groups.root(name)] for name in (network.input_name, *names)}


@dataclass(slots=True)
class _Groups:
    """Tensors that lie on one grid (union-find)."""

    parents: dict[str, str] = field(default_factory=dict)

    def root(self, name: str) -> str:
        while (parent := self.parents.setdefault(name, name)) != name:
            name = parent
        return name

    def join(self, names: Iterable[str]) -> None:
        first, *rest = (self.root(name) for name in names)
        # A root stays its own parent where it comes twice.
        self.parents.update({other: first for other in rest if other != first})


def _groups(network: Network, floats: frozenset[str]) -> _Groups:
    groups = _Groups()
    for node, _ in steps(network):
        if node.output not in floats and node.op in SHARING:
            groups.join([*(name for name in node.inputs if name not in network.constants), node.output])
    return groups


def _within(network: Network, name: str, span: Range) -> Range:
    """A range no wider than what the activation that makes the tensor lets through."""
    low, high = span
    if not (np.isfinite(low) and np.isfinite(high)) or low > high:
        raise ModelError(f"a range from {low} to {high}", where=name, expected="two numbers, the least one first")
    maker: Node | None = network.maker(name)
    ends = limits(network, maker) if maker is not None else None
    return span if ends is None else (max(low, ends[0]), min(max(high, 0.0), ends[1]))


def _widen(found: dict[str, Range], ratios: list[tuple[str, str, Range]]) -> None:
    """Widen ranges that are too narrow beside those with which they are added. One may make another too narrow: until none is."""
    for _ in range(len(ratios)):
        before = dict(found)
        for source, result, (least, most) in ratios:
            found[source] = _at_least(found[source], _width(found[result]) * least * _MARGIN)
            found[result] = _at_least(found[result], _width(found[source]) / most * _MARGIN)
        if found == before:
            return


def _width(span: Range) -> float:
    return max(span[1], 0.0) - min(span[0], 0.0)


def _at_least(span: Range, width: float) -> Range:
    found = _width(span)
    if found >= width:
        return span
    low, high = min(span[0], 0.0), max(span[1], 0.0)
    return (low * width / found, high * width / found) if found > 0 else (0.0, width)
