"""What OpenCV's layers of a frozen TensorFlow graph are: its reader melts some nodes into the layer before them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def layers_by_node(graph_def: Any, layers: Sequence[str]) -> dict[str, str]:
    """Node of the graph -> the layer that computes it, in the order of the layers.

    A bias or a batch norm behind a convolution has no layer of its own, and the convolution's layer gives what it makes: a
    layer stands for the last node of the chain of only readers that are no layers.
    """
    known = set(layers)
    readers: dict[str, list[str]] = {}
    for node in graph_def.node:
        for source in node.input:
            readers.setdefault(source.lstrip("^").partition(":")[0], []).append(node.name)
    found: dict[str, str] = {}
    for layer in layers:
        last = layer
        while len(following := readers.get(last, [])) == 1 and following[0] not in known:
            last = following[0]
        found[last] = layer
    return found
