"""Branches and calls of a TensorFlow graph taken out: what is left computes the outputs in one pass.

A Switch gives its input to one of two branches, and a Merge gives on what arrives; the value that decides is known once
placeholders such as `phase_train` are bound. The other branch is dead, and so is whatever waits for it. Where inputs and
outputs were chosen within one branch or within one pass of a loop, nothing decides, and Switch and Enter hand on weights.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from convert.importers.tensorflow.folding import folded
from convert.importers.tensorflow.functions import Library
from convert.importers.tensorflow.graph import MOST_NODES, Op, index_of, node_of
from convert.network import Array
from edge.errors import ModelError

LOOPS = frozenset({"Exit", "RefExit", "NextIteration", "RefNextIteration", "LoopCond", "While", "StatelessWhile"})
IFS = frozenset({"If", "StatelessIf"})
MOST_OPERATORS = 50_000
"""That outputs depend on; the largest face networks have some thousand."""
_DEEPEST_PREDICATE = 40
_DEEPEST_CALL = 30
_LARGEST_PREDICATE = 16


class ControlFlow:
    """A graph with its branches decided."""

    def __init__(
        self,
        ops: Mapping[str, Op],
        library: Library,
        where: str,
        *,
        bound: Mapping[str, bool | float],
        cuts: Iterable[str] = (),
    ) -> None:
        """`bound` are the values of placeholders, `cuts` the tensors that are taken as inputs."""
        self.where = where
        self.ops = dict(ops)
        self.crossed: set[str] = set()
        """Kinds of control flow on the way that TensorFlow itself could not run from the cuts alone."""
        self.has_dead_branches = False
        self._library = library
        self._bound = bound
        self._cuts = frozenset(cuts)
        self._sources: dict[str, str] = {}
        self._known: dict[str, Array | None] = {}
        self._dead: dict[str, bool] = {}
        self._returned: dict[str, list[str]] = {}
        self._depths: dict[str, int] = {}

    def maker(self, tensor: str) -> Op:
        """The node that makes a tensor; ModelError where there is none."""
        op = self.ops.get(node_of(tensor))
        if op is None:
            raise ModelError(f"tensor {tensor!r} is read, but no node makes it", where=self.where)
        return op

    # Tensors through branches and calls

    def source(self, tensor: str) -> str:
        """The tensor that this one hands on: itself, if it is computed."""
        way: list[str] = []
        while tensor not in self._sources:
            if tensor in way:
                raise ModelError(f"{tensor!r} depends on itself", where=self.where)
            way.append(tensor)
            before = self._handed_on(tensor)
            if before is None:
                self._sources[tensor] = tensor
                break
            tensor = before
        found = self._sources[tensor]
        self._sources.update(dict.fromkeys(way, found))
        return found

    def _handed_on(self, tensor: str) -> str | None:
        if tensor in self._cuts:
            return None
        op = self.maker(tensor)
        if op.kind in LOOPS:
            raise ModelError(
                f"a loop ({op})", where=self.where, hint="Choose inputs and outputs within one pass of it."
            )
        if op.kind == "Switch":
            return self._through_switch(op, tensor)
        if op.kind == "Merge" and index_of(tensor) == 0:
            return self._through_merge(op)
        if op.kind == "Enter":
            self.crossed.add(op.kind)
            return op.inputs[0]
        if op.kind in IFS or self._library.called_by(op):
            returned = self._called(op)
            return returned[index_of(tensor)] if index_of(tensor) < len(returned) else None
        return None

    def _through_switch(self, op: Op, tensor: str) -> str:
        decided = self.known(op.inputs[1])
        if decided is None:
            self.crossed.add(op.kind)
        elif bool(decided) != bool(index_of(tensor)):
            raise ModelError(f"{tensor!r} is never computed: {op.inputs[1]!r} is {bool(decided)}", where=self.where)
        return op.inputs[0]

    def _through_merge(self, op: Op) -> str:
        if any(self.maker(each).kind == "NextIteration" for each in op.inputs):
            raise ModelError(
                f"a loop ({op})", where=self.where, hint="Choose inputs and outputs within one pass of it."
            )
        alive = [each for each in op.inputs if not self.is_dead(each)]
        self.has_dead_branches |= len(alive) == 1 < len(op.inputs)
        if len(alive) != 1:
            raise ModelError(
                f"{op} takes what arrives of {', '.join(op.inputs)}, and what decides is not known",
                where=self.where,
                hint="Bind the placeholder that decides to a value, or choose inputs and outputs within one branch.",
            )
        return alive[0]

    def _called(self, op: Op) -> list[str]:
        """The tensors that a call returns, its function written out."""
        if op.name not in self._returned:
            self.crossed.add("call")
            inputs, name = op.inputs, self._library.called_by(op)
            if op.kind in IFS:
                inputs, name = op.inputs[1:], self._branch(op)
            depth = self._depths.get(op.name, 0) + 1
            if depth > _DEEPEST_CALL:
                raise ModelError(f"functions that call functions more than {_DEEPEST_CALL} deep", where=self.where)
            # TensorFlow calls nodes behind a branch NAME/Identity, as one inside of it may be called too.
            made, returned = self._library.written_out(name, f"{op.name}.body", inputs)
            if len(self.ops) + len(made) > MOST_NODES:
                raise ModelError(f"functions of more than {MOST_NODES} nodes", where=self.where)
            self._depths.update(dict.fromkeys(made, depth))
            self.ops.update(made)
            self._returned[op.name] = returned
        return self._returned[op.name]

    def _branch(self, op: Op) -> str:
        decided = self.known(op.inputs[0])
        if decided is None:
            raise ModelError(
                f"{op} depends on {op.inputs[0]!r}, which is not known",
                where=self.where,
                hint="Bind the placeholder that decides to a value, or choose outputs before it.",
            )
        return str(op.attribute("then_branch" if bool(decided) else "else_branch", ""))

    # What decides

    def known(self, tensor: str, depth: int = 0) -> Array | None:
        """A small value that does not depend on the input: what a Switch decides by."""
        if tensor not in self._known:
            self._known[tensor] = None
            self._known[tensor] = self._evaluated(tensor, depth)
        return self._known[tensor]

    def _evaluated(self, tensor: str, depth: int) -> Array | None:
        if tensor in self._cuts or depth > _DEEPEST_PREDICATE:
            return None
        try:
            tensor = self.source(tensor)
        except ModelError:
            return None
        op = self.ops[node_of(tensor)]
        if op.name in self._bound:
            return np.asarray(self._bound[op.name])
        if op.kind == "Const":
            value = op.value() if _is_small(op) else None
            return value if value is not None and value.size <= _LARGEST_PREDICATE else None
        values = [self.known(each, depth + 1) for each in op.inputs]
        given = [value for value in values if value is not None]
        if not values or len(given) != len(values):
            return None
        made = folded(op, given)
        return made[index_of(tensor)] if made and index_of(tensor) < len(made) else None

    def is_dead(self, tensor: str) -> bool:
        """Whether the tensor belongs to a branch that is not taken."""
        name = node_of(tensor)
        waiting = [name]
        pending: set[str] = set()
        while waiting:
            node = waiting[-1]
            before = [] if node in self._dead else [each for each in self._before(node) if each not in self._dead]
            # What is read in a circle belongs to a loop, and is alive.
            open_ones = [each for each in before if each not in pending]
            pending.add(node)
            if open_ones:
                waiting.extend(open_ones)
                continue
            waiting.pop()
            if node not in self._dead:
                self._dead[node] = self._dies(node)
        return self._dead[name] or self._is_other_branch(tensor)

    def _before(self, node: str) -> list[str]:
        op = self.ops.get(node)
        if op is None:
            return []
        return [node_of(each) for each in op.inputs if each not in self._cuts] + list(op.controls)

    def _dies(self, node: str) -> bool:
        op = self.ops.get(node)
        if op is None or node in self._cuts:
            return False
        read = [
            each not in self._cuts and (self._dead.get(node_of(each), False) or self._is_other_branch(each))
            for each in op.inputs
        ]
        if op.kind == "Merge":
            return bool(read) and all(read)
        return any(read) or any(self._dead.get(each, False) for each in op.controls)

    def _is_other_branch(self, tensor: str) -> bool:
        op = self.ops.get(node_of(tensor))
        if op is None or op.kind != "Switch" or len(op.inputs) != 2:
            return False
        decided = self.known(op.inputs[1])
        return decided is not None and bool(decided) != bool(index_of(tensor))

    # All that is needed

    def operators(self, outputs: Sequence[str]) -> list[Op]:
        """What computes these tensors, in an order in which it can be computed, reading tensors that are computed."""
        done: dict[str, Op] = {}
        begun: set[str] = set()
        waiting = [self.source(tensor) for tensor in reversed(outputs)]
        while waiting:
            tensor = waiting[-1]
            name = node_of(tensor)
            if tensor in self._cuts or name in done:
                waiting.pop()
                continue
            op = self.maker(tensor)
            inputs = () if name in self._bound else tuple(self.source(each) for each in op.inputs)
            missing = [each for each in inputs if node_of(each) not in done and each not in self._cuts]
            if missing and name in begun:
                raise ModelError(f"{op} depends on itself", where=self.where)
            begun.add(name)
            if missing:
                waiting.extend(reversed(missing))
                continue
            waiting.pop()
            done[name] = replace(op, inputs=inputs)
            if len(done) > MOST_OPERATORS:
                raise ModelError(f"outputs that depend on more than {MOST_OPERATORS} operators", where=self.where)
        return list(done.values())


def _is_small(op: Op) -> bool:
    sizes = [axis.size for axis in op.raw.attr["value"].tensor.tensor_shape.dim]
    return len(sizes) <= 2 and all(0 <= size <= _LARGEST_PREDICATE for size in sizes)
