"""Another number of pictures in one run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from convert.network import Array, Network, Node, Port, Shape
from convert.runners.onnx_runtime import OnnxRuntimeRunner
from convert.shapes import infer_shapes
from edge.errors import ModelError

_SIZES = {"Reshape": 1, "Expand": 1, "Resize": 3}
"""Operators with an input that names the size of every axis, and which input that is."""
_PROOF_BATCH = 2
_TOLERANCE = 1e-4
"""Of the largest number of an output: a convolution of several pictures may add in another order."""


def with_batch(network: Network, batch: int | None) -> Network:
    """The same network for `batch` pictures in one run, or for any number (None).

    The first axis of every input of two or more axes is the batch; scalars and vectors beside the pictures have none.
    Constants that spell the batch out (of Reshape, Expand, Resize) are written anew. A network that was changed is proved on
    two different pictures: ModelError where it gives other numbers for two at once than for one after the other.
    """
    if batch is not None and batch < 1:
        raise ModelError(f"a batch of {batch}", expected="1 or more")
    batched = [port for port in network.inputs if _is_batched(port)]
    if not batched or all(port.shape[0] == batch for port in batched):
        return network
    before = _with_first_axis(network, batched[0].shape[0] or 1)
    made = _rewritten(before, batch)
    if before.inputs != made.inputs and batch != 1:
        _prove(before, _rewritten(before, _PROOF_BATCH))
    return made


def _is_batched(port: Port) -> bool:
    return len(port.shape) >= 2


def _batch_of(network: Network) -> int:
    return next(port.shape[0] or 1 for port in network.inputs if _is_batched(port))


def _with_first_axis(network: Network, size: int | None) -> Network:
    ports = (replace(port, shape=(size, *port.shape[1:])) if _is_batched(port) else port for port in network.inputs)
    return replace(network, inputs=tuple(ports))


def _rewritten(network: Network, batch: int | None) -> Network:
    shapes, computed = infer_shapes(network), _computed(network)
    nodes, constants = [], dict(network.constants)
    for node in network.nodes:
        sizes = _sizes(network, node)
        made = None
        if sizes is not None and sizes.size and node.inputs[0] in computed and int(sizes.flat[0]) == _batch_of(network):
            made = _with_sizes(node, sizes, shapes, batch)
        nodes.append(made[0] if made else node)
        if made:
            constants[f"{node.output}/batch"] = made[1]
    return _with_first_axis(replace(network, nodes=tuple(nodes), constants=constants), batch)


def _computed(network: Network) -> set[str]:
    """What depends on an input that has a batch."""
    names = {port.name for port in network.inputs if _is_batched(port)}
    for node in network.nodes:
        if names.intersection(node.inputs):
            names.update(node.outputs)
    return names


def _sizes(network: Network, node: Node) -> Array | None:
    place = _SIZES.get(node.op, 0)
    return network.constants.get(node.inputs[place]) if 0 < place < len(node.inputs) else None


def _with_sizes(node: Node, sizes: Array, shapes: Mapping[str, Shape], batch: int | None) -> tuple[Node, Array] | None:
    place, before, after = _SIZES[node.op], shapes.get(node.inputs[0], ()), shapes.get(node.output, ())
    inputs = [*node.inputs[:place], f"{node.output}/batch", *node.inputs[place + 1 :]]
    rest = [int(size) for size in sizes[1:]]
    if node.op == "Expand":
        # 1 means: as it is.
        made = np.array([1 if before and before[0] == after[0] else batch or 0, *rest], np.int64)
    elif node.op == "Resize":
        if batch is None:
            factors = [new / was for new, was in zip(after, before, strict=True) if new and was]
            return replace(node, inputs=(node.inputs[0], "", inputs[place])), np.array(factors, np.float32)
        made = np.array([batch, *rest], np.int64)
    elif before and before[0] == after[0]:
        # 0 means: as in the source.
        made = np.array([0, *rest], np.int64)
    elif batch is None:
        made = np.array([-1, *after[1:]] if None not in after else sizes, np.int64)
    else:
        made = np.array([batch, *rest], np.int64)
    return replace(node, inputs=tuple(inputs)), made


def _prove(one: Network, two: Network) -> None:
    """ModelError where several pictures at once give other numbers than one after the other."""
    if any(None in port.shape for port in one.inputs):
        return
    runs, batches, computed = _PROOF_BATCH, _batch_of(one), _computed(one)
    random = np.random.default_rng(0)
    feeds = {}
    for port in one.inputs:
        sizes = [size or 1 for size in port.shape]
        count = runs * batches if _is_batched(port) else 1
        feeds[port.name] = random.random((count, *sizes[1:]) if count > 1 else sizes).astype(port.dtype)
    apart, together = _pieces(one, feeds, runs), _pieces(two, feeds, batches)
    for name in one.outputs:
        if name not in computed:
            continue
        expected, found = np.concatenate(apart[name]), np.concatenate(together[name])
        largest = max(1.0, float(np.abs(expected).max(initial=0)))
        if expected.shape != found.shape or np.abs(expected - found).max(initial=0) > _TOLERANCE * largest:
            raise ModelError(
                f"output {name!r} of several pictures at once is not that of each of them",
                where=str(one.maker(name)),
                hint="The network mixes the pictures of a batch: write it for a batch of 1.",
            )


def _pieces(network: Network, feeds: Mapping[str, Array], runs: int) -> dict[str, list[Array]]:
    """Outputs of `runs` runs, each over its share of the pictures."""
    runner = OnnxRuntimeRunner(network)
    made: dict[str, list[Array]] = {name: [] for name in network.outputs}
    for index in range(runs):
        share = {}
        for port in network.inputs:
            whole = feeds[port.name]
            size = len(whole) // runs if _is_batched(port) else 0
            share[port.name] = whole[index * size : (index + 1) * size] if size else whole
        for name, value in runner.run(share).items():
            made[name].append(value)
    return made
