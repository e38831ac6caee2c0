"""A whole network as a TensorFlow graph whose operators carry the names of the network's tensors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any

from convert.network import Network, Port
from convert.passes.batch import with_batch
from convert.targets.tensorflow_ops.emission import Emission, Emitter
from convert.targets.tensorflow_ops.layout import preferred
from convert.tensorflow import import_tensorflow, plain_name


@dataclass(frozen=True, slots=True, eq=False)
class Emitted:
    """A GraphDef without variables and functions: pictures NHWC, tensors of other ranks as in the network."""

    graph_def: Any
    inputs: tuple[str, ...]
    """Names of the placeholders, in the network's order."""
    outputs: tuple[str, ...]
    """Names of the operators whose first output is an output of the network, in its order."""


def emitted(
    network: Network, emitters: Mapping[str, Emitter], batch: int | None = 1, kind: type[Emission] = Emission
) -> Emitted:
    """The network as a graph; `batch` None leaves the number of pictures open. ModelError names what cannot be written."""
    tf, network = import_tensorflow(), with_batch(network, batch)
    graph = tf.Graph()
    with graph.as_default():
        emission = kind(network, tf, emitters)
        placeholders = [_placeholder(tf, port) for port in network.inputs]
        emission.run({port.name: made for port, made in zip(network.inputs, placeholders, strict=True)})
        names = _Names()
        inputs = tuple(names.claim(made, port.name) for port, made in zip(network.inputs, placeholders, strict=True))
        results = [_output(emission, names, name) for name in network.outputs]
        outputs = tuple(names.claim(made, name) for made, name in zip(results, network.outputs, strict=True))
    for name, held in emission.values.items():
        # A tensor that has the network's name lies as callers expect it; others cannot be compared as they are.
        is_usual = held.axes == preferred(held.rank) and name not in emission.columns
        names.claim(held.tensor, name if is_usual else f"{name}/lying")
    return Emitted(names.applied(_without_unread(graph.as_graph_def(), [*placeholders, *results])), inputs, outputs)


def _placeholder(tf: Any, port: Port) -> Any:
    return tf.compat.v1.placeholder(port.dtype, [port.shape[axis] for axis in preferred(len(port.shape))])


def _output(emission: Emission, names: _Names, name: str) -> Any:
    made = emission.result(name).tensor
    given = emission.output(made, is_named=names.has(made))
    names.claim(given, name)
    return given


def _without_unread(graph_def: Any, kept: list[Any]) -> Any:
    """The graph without operators that nothing reads."""
    inputs = {node.name: [name.partition(":")[0] for name in node.input] for node in graph_def.node}
    found: set[str] = set()
    waiting = [tensor.op.name for tensor in kept]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting.extend(inputs[name])
    unread = [place for place, node in enumerate(graph_def.node) if node.name not in found]
    for place in reversed(unread):
        del graph_def.node[place]
    return graph_def


class _Names:
    """Which operator carries the name of which of the network's tensors."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        self._taken: set[str] = set()

    def has(self, tensor: Any) -> bool:
        """Whether the operator that makes the tensor has its name."""
        return tensor.op.name in self._names

    def claim(self, tensor: Any, name: str) -> str:
        """Name the operator after the network's tensor unless it is named; gives the name that it has."""
        if not self.has(tensor):
            self._names[tensor.op.name] = self._free(plain_name(name))
        return self._names[tensor.op.name]

    def _free(self, wanted: str) -> str:
        found = next(name for name in self._candidates(wanted) if name not in self._taken)
        self._taken.add(found)
        return found

    @staticmethod
    def _candidates(wanted: str) -> Iterator[str]:
        yield wanted
        yield from (f"{wanted}_{index}" for index in count(1))

    def applied(self, graph_def: Any) -> Any:
        """The graph renamed. What a tensor needs on the way is called after it: `conv1/Pad`."""
        owner = ""
        for node in reversed(graph_def.node):
            owner = self._names.get(node.name, owner)
            if node.name not in self._names:
                self._names[node.name] = self._free(f"{owner}/{node.op}")
        for node in graph_def.node:
            node.name = self._names[node.name]
            node.input[:] = [self._renamed(name) for name in node.input]
        # What made the file is no part of the network, and would change the file's digest.
        graph_def.versions.min_consumer = 0
        return graph_def

    def _renamed(self, read: str) -> str:
        name, colon, index = read.partition(":")
        return f"{self._names[name]}{colon}{index}"


def concrete(made: Emitted) -> Any:
    """A concrete function: inputs and outputs have the graph's names, in its order."""
    tf = import_tensorflow()
    wrapped = tf.compat.v1.wrap_function(lambda: tf.graph_util.import_graph_def(made.graph_def, name=""), [])
    feeds, fetches = (
        [wrapped.graph.get_tensor_by_name(f"{name}:0") for name in names] for names in (made.inputs, made.outputs)
    )
    return wrapped.prune(feeds, fetches)
