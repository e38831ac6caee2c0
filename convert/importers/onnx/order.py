"""Which node comes before which, and which are needed at all."""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from typing import Any

from edge.errors import ModelError


def reads(node: Any) -> set[str]:
    """Names of the tensors that a NodeProto reads, those of its inner graphs too."""
    names = {name for name in node.input if name}
    for attribute in node.attribute:
        for graph in (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])):
            made = {name for inner in graph.node for name in inner.output}
            made |= {each.name for each in (*graph.initializer, *graph.input)}
            inside = {name for inner in graph.node for name in reads(inner)} | {each.name for each in graph.output}
            names |= inside - made
    return names


def sort_nodes(graph: Any, where: str) -> None:
    """Put the nodes in an order in which they can run. ModelError names tensors that nothing makes, and cycles."""
    nodes = list(graph.node)
    read = [reads(node) for node in nodes]
    given = {each.name for each in (*graph.input, *graph.initializer)}
    maker = {name: index for index, node in enumerate(nodes) for name in node.output if name}
    wanted = set().union(*read, (each.name for each in graph.output))
    missing = sorted(wanted - given - maker.keys())
    if missing:
        raise ModelError(f"tensors that nothing makes: {', '.join(missing[:10])}", where=where)
    before = [{maker[name] for name in names - given} for names in read]
    order = _sorted(before)
    if len(order) < len(nodes):
        stuck = [nodes[index] for index in sorted(set(range(len(nodes))) - set(order))[:5]]
        names = ", ".join(f"{node.op_type} {node.name or node.output[0]!r}" for node in stuck)
        raise ModelError(f"nodes that wait for each other: {names}", where=where)
    if order != list(range(len(nodes))):
        copies = [type(node).FromString(node.SerializeToString()) for node in nodes]
        del graph.node[:]
        graph.node.extend(copies[index] for index in order)


def _sorted(before: list[set[int]]) -> list[int]:
    """Kahn 1962, Topological sorting of large networks; the first that is ready comes first."""
    behind: list[list[int]] = [[] for _ in before]
    for index, others in enumerate(before):
        for other in others:
            behind[other].append(index)
    waits = [len(others) for others in before]
    ready = [index for index, count in enumerate(waits) if not count]
    order = []
    while ready:
        index = heapq.heappop(ready)
        order.append(index)
        for other in behind[index]:
            waits[other] -= 1
            if not waits[other]:
                heapq.heappush(ready, other)
    return order


def needed(nodes: Iterable[Any], outputs: Iterable[str], stop: Iterable[str]) -> tuple[list[Any], set[str]]:
    """The nodes that `outputs` depend on, in order, not looking behind the tensors `stop`; and all names that they read."""
    wanted, halt, kept = set(outputs), set(stop), []
    for node in reversed(list(nodes)):
        if (wanted - halt).intersection(node.output):
            kept.append(node)
            wanted |= reads(node)
    return list(reversed(kept)), wanted
