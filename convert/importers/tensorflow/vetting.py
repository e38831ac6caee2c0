"""Operators that do more than compute: they run Python, or touch files and the network. No graph that holds one is run."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from convert.tensorflow import import_tensorflow
from edge.errors import ModelError

_MODEST = frozenset({
    "Variable", "VariableV2", "TemporaryVariable", "VarHandleOp", "ReadVariableOp", "ResourceGather", "ResourceGatherNd",
    "VarIsInitializedOp", "IsVariableInitialized", "AssignVariableOp", "AssignAddVariableOp", "AssignSubVariableOp",
    "DestroyResourceOp", "RandomUniform", "RandomUniformInt", "RandomStandardNormal", "TruncatedNormal", "Multinomial",
    "RandomShuffle", "RandomGamma", "FIFOQueue", "FIFOQueueV2", "PaddingFIFOQueue", "PaddingFIFOQueueV2",
    "RandomShuffleQueue", "RandomShuffleQueueV2", "QueueDequeueV2", "QueueDequeueManyV2", "QueueDequeueUpToV2",
    "QueueSizeV2", "Iterator", "IteratorV2", "IteratorGetNext", "OneShotIterator", "StatefulPartitionedCall", "If", "While",
    "Case", "Assert", "Print", "CheckNumerics", "CheckNumericsV2", "Placeholder", "_Arg", "_Retval",
})  # fmt: skip
"""Of those with a state, the ones whose state is the session's own."""
_WORSE = frozenset({
    "PyFunc", "PyFuncStateless", "EagerPyFunc", "ReadFile", "MatchingFiles", "DebugIdentity", "DebugIdentityV2",
    "DebugIdentityV3", "SnapshotDataset", "SnapshotDatasetV2", "CacheDataset", "CacheDatasetV2", "NumpyFunc",
})  # fmt: skip
"""TensorFlow does not count these as having a state."""
_SHOWN = 8


def refuse_unsafe(graph_def: Any, where: str) -> None:
    """ModelError that names the operators of a graph, and of the functions that it calls, that must not be run."""
    found = [f"{node.op} {node.name!r}" for node in _nodes(graph_def) if is_unsafe(node.op)]
    if found:
        more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        raise ModelError(
            f"{len(found)} operator(s) that run code or touch files: {', '.join(found[:_SHOWN])}{more}: refused",
            where=where,
            hint="Choose inputs behind them, or export the network without them.",
        )


def is_unsafe(kind: str) -> bool:
    """Whether an operator may reach out of the graph. One that TensorFlow does not know cannot be run at all."""
    import_tensorflow("reading a TensorFlow graph")
    from tensorflow.python.framework import op_def_registry

    if kind in _WORSE or "Dataset" in kind:
        return True
    if kind in _MODEST or kind.startswith(("TensorArray", "Stack")):
        return False
    definition = op_def_registry.get(kind)
    return definition is not None and bool(definition.is_stateful)


def _nodes(graph_def: Any) -> Iterable[Any]:
    """The nodes of the graph, and of every function that one of them names."""
    functions = {function.signature.name: function for function in graph_def.library.function}
    waiting, seen = [graph_def.node], set()
    while waiting:
        for node in waiting.pop():
            yield node
            for name in _named(node):
                if name in functions and name not in seen:
                    seen.add(name)
                    waiting.append(functions[name].node_def)


def _named(node: Any) -> Iterable[str]:
    yield node.op
    for attribute in node.attr.values():
        if attribute.HasField("func"):
            yield attribute.func.name
        yield from (each.name for each in attribute.list.func)
