"""A graph with variables and their checkpoint -> Network, with the graph itself, unfrozen, as the reference."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from convert.importers.base import Imported, Request
from convert.importers.tensorflow.graph import node_of, operators_of
from convert.importers.tensorflow.graph_def import import_graph_def
from convert.importers.tensorflow.inference import Cut, inference_graph
from convert.importers.tensorflow.variables import (
    VARIABLES,
    Checkpoint,
    Key,
    frozen,
    keys_of,
    restoring,
    with_names_as_keys,
)
from convert.importers.tensorflow.vetting import refuse_unsafe
from convert.network import Port
from convert.runners.base import Feeds, Outputs, Runner
from convert.runners.tensorflow import TensorFlowRunner
from edge.errors import ModelError


@dataclass(frozen=True, slots=True, eq=False)
class Trained:
    """A graph whose variables are in a checkpoint."""

    graph_def: Any
    checkpoint: Checkpoint | None
    """None where there are no variables."""
    restore_op: str
    """The node by which the file's own saver restores; it is looked at, and never run."""
    where: str
    files: tuple[Path, ...]


def import_trained(
    source: Trained,
    request: Request,
    cuts: Sequence[Cut],
    outputs: Mapping[str, str],
    live: frozenset[str] | None,
    *,
    format: str,  # noqa: A002  as the field of Imported that it becomes
    notes: Sequence[str] = (),
) -> Imported:
    """Freeze what computes `outputs` (name -> tensor) from `cuts`. Only variables of `live` nodes need values; of all, if None."""
    graph_def, where = source.graph_def, source.where
    part = inference_graph(graph_def, cuts, outputs, where)
    refuse_unsafe(part, where)
    keys = _keys(source, part, live)
    told = [*notes, *_told(graph_def, part, keys)]
    values = {} if source.checkpoint is None else {name: source.checkpoint.value(key) for name, key in keys.items()}
    kept = {node.name for node in part.node}
    asked = replace(
        request,
        inputs=tuple(cut.name for cut in cuts),
        outputs=tuple(outputs),
        constants={name: value for name, value in request.constants.items() if node_of(name) in kept},
    )
    imported = import_graph_def(frozen(part, values), asked, format=format, notes=told)
    runner = _original(imported.reference, part, source, keys)
    return replace(imported, reference=runner, files=source.files)


def _keys(source: Trained, part: Any, live: frozenset[str] | None) -> dict[str, Key]:
    ops = operators_of(part.node, source.where)
    variables = [op for op in ops.values() if op.kind in VARIABLES]
    if not variables:
        return {}
    if source.checkpoint is None:
        names = ", ".join(op.name for op in variables[:5])
        raise ModelError(f"variables without values: {names}", where=source.where, expected="a folder `variables`")
    found = keys_of(source.graph_def, source.restore_op, source.where) if source.restore_op else {}
    keys = with_names_as_keys(found, ops, source.checkpoint)
    missing = [op.name for op in variables if op.name not in keys and (live is None or op.name in live)]
    if missing:
        raise ModelError(
            f"{len(missing)} variable(s) that are not in the checkpoint: {', '.join(missing[:8])}",
            where=source.where, hint="Give the checkpoint that was saved with this graph.",
        )  # fmt: skip
    return {name: key for name, key in keys.items() if name in ops}


def _told(graph_def: Any, part: Any, keys: Mapping[str, Key]) -> list[str]:
    told = []
    count = len(graph_def.node) - len(part.node)
    if count > 0:
        told.append(f"{count} of {len(graph_def.node)} nodes, which the outputs do not need, were left out.")
    if keys:
        told.append(f"{len(keys)} variables became constants.")
    return told


def _original(read: Runner, part: Any, source: Trained, keys: Mapping[str, Key]) -> Runner:
    if not isinstance(read, TensorFlowRunner):
        return read
    prefix = Path() if source.checkpoint is None else source.checkpoint.prefix
    prepare = restoring(prefix, keys)
    if not read.graph.tensors:
        return TensorFlowRunner(replace(read.graph, graph_def=part, prepare=prepare))
    axes = {port.name: read.graph.axes[port.name] for port in read.inputs if port.name in read.graph.axes}
    axes |= {name: read.graph.axes[name] for name in read.outputs if name in read.graph.axes}
    whole = TensorFlowRunner(replace(read.graph, graph_def=part, prepare=prepare, axes=axes, tensors={}))
    return OriginalRunner(whole, read)


class OriginalRunner:
    """A source run as it is; tensors that only what was read of it has are computed by that."""

    def __init__(self, original: Runner, read: Runner) -> None:
        """Both have the same inputs and outputs."""
        self._original, self._read = original, read

    @property
    def label(self) -> str:
        """What runs the original."""
        return self._original.label

    @property
    def inputs(self) -> tuple[Port, ...]:
        """What it takes."""
        return self._original.inputs

    @property
    def outputs(self) -> tuple[str, ...]:
        """What it gives."""
        return self._original.outputs

    @property
    def tensors(self) -> tuple[str, ...]:
        """The tensors that the network has too."""
        return self._read.tensors

    def run(self, feeds: Feeds, wanted: Sequence[str] = ()) -> Outputs:
        """float32 arrays by name: the outputs by the original, other tensors by what was read of it."""
        inner = [name for name in wanted if name not in self.outputs]
        outer = [name for name in wanted if name in self.outputs]
        made = self._read.run(feeds, inner) if inner else {}
        if outer or not wanted:
            made |= self._original.run(feeds, outer)
        return made

    def prepared(self, feeds: Feeds) -> Callable[[], object]:
        """One run of the original, ready to be timed."""
        prepared: Callable[[], object] = self._original.prepared(feeds)  # type: ignore[attr-defined]
        return prepared
