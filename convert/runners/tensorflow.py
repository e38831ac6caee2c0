"""TensorFlow itself: the reference of a graph, and what runs a frozen graph or a SavedModel."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from convert.network import Array, Port
from convert.runners.base import Feeds, Outputs, Runner
from convert.runners.layout import shape_to_nchw
from convert.tensorflow import import_tensorflow
from edge.errors import ModelError

_TURNED = (0, 3, 1, 2)
_REPAIRED = {
    "RefSwitch": "Switch", "RefMerge": "Merge", "RefEnter": "Enter", "RefExit": "Exit", "RefIdentity": "Identity",
    "RefNextIteration": "NextIteration", "AssignSub": "Sub", "AssignAdd": "Add",
}  # fmt: skip
"""Operators on variables, which freezing made constants, as the same operators on values."""


@dataclass(frozen=True, slots=True, eq=False)
class Graph:
    """A GraphDef and what its tensors are called and look like in the network."""

    graph_def: Any
    inputs: tuple[Port, ...]
    """In the network's layout."""
    outputs: tuple[str, ...]
    axes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """Network's tensor -> the source's axis that each of its axes is; where none is given, four axes are NHWC."""
    tensors: Mapping[str, str] = field(default_factory=dict)
    """Network's tensor -> the graph's, where they have different names."""
    constants: Mapping[str, bool | float] = field(default_factory=dict)
    """Values of placeholders."""
    where: str = ""
    prepare: Callable[[Any], None] | None = None
    """Gives a session the values of the graph's variables; of a graph without any, None."""


class TensorFlowRunner:
    """Runs a GraphDef on the CPU, in a session that is made when it is first needed."""

    def __init__(self, graph: Graph, *, threads: int = 1) -> None:
        """Nothing of the graph is looked at until it is run."""
        self._tf = import_tensorflow("running a TensorFlow graph")
        self._graph = graph
        self._threads = threads
        self._sessions: dict[bool, Any] = {}

    @property
    def graph(self) -> Graph:
        """What it runs."""
        return self._graph

    @property
    def label(self) -> str:
        """`TensorFlow 2.19.0`."""
        return f"TensorFlow {self._tf.__version__}"

    @property
    def inputs(self) -> tuple[Port, ...]:
        """What it takes, pictures NCHW."""
        return self._graph.inputs

    @property
    def outputs(self) -> tuple[str, ...]:
        """What it gives."""
        return self._graph.outputs

    @property
    def tensors(self) -> tuple[str, ...]:
        """The tensors that the network has too, in the order in which they are computed."""
        given = {port.name for port in self._graph.inputs}
        inner = [name for name in self._graph.axes if name not in given]
        return tuple(inner) if inner else self._graph.outputs

    def run(self, feeds: Feeds, wanted: Sequence[str] = ()) -> Outputs:
        """float32 arrays by name, pictures NCHW: the outputs, or the tensors `wanted`."""
        names = tuple(dict.fromkeys(wanted)) or self.outputs
        values = self._guarded(lambda: self._computed(names, feeds))
        return {name: self.to_network(name, np.asarray(value)) for name, value in zip(names, values, strict=True)}

    def _computed(self, names: Sequence[str], feeds: Feeds) -> list[Array]:
        session = self._session()
        return list(session.run([self._tensor(name, session) for name in names], self._fed(feeds, session)))

    def prepared(self, feeds: Feeds) -> Callable[[], object]:
        """Run with arrays that have the graph's own layout already, with TensorFlow's rewriting of graphs."""
        session = self._session(rewritten=True)
        fetched = [self._tensor(name, session) for name in self.outputs]
        given = self._guarded(lambda: self._fed(feeds, session))
        self._guarded(lambda: session.run(fetched, given))
        return lambda: session.run(fetched, given)

    def _session(self, *, rewritten: bool = False) -> Any:
        """As a reference the graph is run as it is: a rewrite may change it (TensorFlow 2.19 takes max(x, 2 x) for a LeakyRelu)."""
        if rewritten not in self._sessions:
            tf = self._tf
            graph = tf.Graph()
            with graph.as_default():
                tf.compat.v1.import_graph_def(self._needed(), name="")
            config = tf.compat.v1.ConfigProto(
                intra_op_parallelism_threads=self._threads, inter_op_parallelism_threads=1
            )
            config.graph_options.rewrite_options.disable_meta_optimizer = not rewritten
            session = tf.compat.v1.Session(graph=graph, config=config)
            if self._graph.prepare is not None:
                self._graph.prepare(session)
            self._sessions[rewritten] = session
        return self._sessions[rewritten]

    def _needed(self) -> Any:
        """What the outputs and the network's tensors depend on: the rest of a file need not even be sound."""
        names = [*self._graph.outputs, *self._graph.axes, *(port.name for port in self._graph.inputs)]
        nodes = list(dict.fromkeys(_node(self._graph.tensors.get(name, name)) for name in names))
        from convert.importers.tensorflow.vetting import refuse_unsafe

        whole = self._graph.graph_def
        # With its variables a graph is run as it is.
        whole = repaired(whole) if self._graph.prepare is None else whole
        needed = self._tf.compat.v1.graph_util.extract_sub_graph(whole, nodes)
        refuse_unsafe(needed, self._graph.where)
        return needed

    def _tensor(self, name: str, session: Any) -> Any:
        inside = self._graph.tensors.get(name, name)
        return session.graph.get_tensor_by_name(inside if _has_index(inside) else f"{inside}:0")

    def _fed(self, feeds: Feeds, session: Any) -> dict[Any, Array]:
        names = [port.name for port in self.inputs]
        if set(feeds) != set(names):
            found = f"fed with {', '.join(sorted(feeds)) or 'nothing'}"
            raise ModelError(found, where=self._graph.where, expected=", ".join(names))
        given = {}
        for name in names:
            tensor = self._tensor(name, session)
            given[tensor] = self.to_source(name, np.asarray(feeds[name])).astype(tensor.dtype.as_numpy_dtype)
        present = {operation.name for operation in session.graph.get_operations()}
        for name, value in self._graph.constants.items():
            if name in present:
                given[self._tensor(name, session)] = np.asarray(value)
        return given

    def _axes(self, name: str, rank: int) -> tuple[int, ...]:
        return tuple(self._graph.axes.get(name, _TURNED if rank == 4 else range(rank)))

    def to_source(self, name: str, value: Array) -> Array:
        """An array of the network in the graph's layout."""
        return value.transpose(np.argsort(self._axes(name, value.ndim)))

    def to_network(self, name: str, value: Array) -> Array:
        """An array of the graph as float32 in the network's layout."""
        axes = self._axes(name, value.ndim)
        return np.ascontiguousarray(value.transpose(axes) if value.ndim else value, np.float32).reshape(
            [value.shape[axis] for axis in axes]
        )

    def _guarded(self, act: Callable[[], Any]) -> Any:
        tf = self._tf
        try:
            return act()
        except (tf.errors.OpError, ValueError, TypeError, KeyError, RuntimeError, AssertionError) as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise ModelError(f"TensorFlow cannot run it ({reason})", where=self._graph.where) from error


def _has_index(tensor: str) -> bool:
    head, _, tail = tensor.rpartition(":")
    return bool(head) and tail.isdigit()


def _node(tensor: str) -> str:
    return tensor.rpartition(":")[0] if _has_index(tensor) else tensor


def repaired(graph_def: Any) -> Any:
    """A copy that TensorFlow 2 imports: operators on references become those on values, colocation hints go."""
    tf = import_tensorflow("reading a TensorFlow graph")
    made = tf.compat.v1.GraphDef()
    made.CopyFrom(graph_def)
    for node in made.node:
        if node.op in _REPAIRED:
            node.op = _REPAIRED[node.op]
            node.attr.pop("use_locking", None)
        node.attr.pop("_class", None)
    return made


def frozen_function(function: Any) -> tuple[Any, tuple[str, ...], tuple[str, ...]]:
    """A concrete function with its variables as constants: its GraphDef, and the names of its inputs and outputs there."""
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    frozen = convert_variables_to_constants_v2(function, lower_control_flow=False)
    names = [tuple(str(tensor.name).removesuffix(":0") for tensor in each) for each in (frozen.inputs, frozen.outputs)]
    return frozen.graph.as_graph_def(), names[0], names[1]


def open_tensorflow(path: Path, *, threads: int = 1) -> Runner:
    """The runner of a frozen graph or of a SavedModel's folder, as it is: control flow and all. ModelError where it is none."""
    if path.is_dir():
        from convert.importers.base import Request
        from convert.importers.tensorflow.saved_model import import_saved_model

        return import_saved_model(Request((path,))).reference
    from convert.importers.tensorflow.graph import load_graph_def, operators_of
    from convert.importers.tensorflow.ports import input_candidates, output_candidates

    graph_def = load_graph_def(path)
    ops = operators_of(graph_def.node, str(path))
    inputs = tuple(
        Port(name, shape_to_nchw(ops[name].shape() or ()), str(ops[name].attribute("dtype", "float32")))
        for name in input_candidates(ops.values(), {})
    )
    outputs = tuple(output_candidates(ops))
    return TensorFlowRunner(Graph(graph_def, inputs, outputs, where=str(path)), threads=threads)
