"""MXNet symbol and parameters -> Imported."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from convert.importers.base import Imported, Request, refuse_unknown
from convert.importers.mxnet.ends import Ends, find_ends
from convert.importers.mxnet.maker import Call, Maker
from convert.importers.mxnet.operators import LOSSES, OPERATORS
from convert.importers.mxnet.params import read_params
from convert.importers.mxnet.runner import reference_runner
from convert.importers.mxnet.symbol import Symbol, read_symbol
from convert.network import Array, Network
from edge.errors import ModelError, UsageError

_MOST_PARTS = 1024


def import_mxnet(request: Request) -> Imported:
    """Read `-symbol.json` and `.params` of MXNet 0.8 to 1.9; MXNet itself is used for the reference alone, if installed.

    Tensors have the names that MXNet's `get_internals` gives them, `fc1_output`; a request may say `fc1`.
    """
    symbol_path, params_path = _paths(request.files)
    symbol = read_symbol(symbol_path)
    parameters = read_params(params_path) | _bound(request)
    ends = find_ends(symbol, parameters, request, symbol_path)
    _check(symbol, ends, symbol_path)
    network = _network(symbol, ends, parameters)
    files = (symbol_path, params_path)
    return Imported("mxnet", network, reference_runner(files, network), files, ends.notes)


def _paths(files: tuple[Path, ...]) -> tuple[Path, Path]:
    symbols = [path for path in files if path.suffix == ".json"]
    params = [path for path in files if path.suffix == ".params"]
    if len(symbols) != 1 or len(params) != 1 or len(files) != 2:
        named = ", ".join(path.name for path in files) or "none"
        raise UsageError(f"files {named}", expected="one -symbol.json and one .params")
    return symbols[0], params[0]


def _bound(request: Request) -> dict[str, Array]:
    return {name: np.asarray(value, np.float32) for name, value in request.constants.items()}


def _check(symbol: Symbol, ends: Ends, path: Path) -> None:
    """Refuse what cannot be written, all of it at once, and names that could be confused."""
    needed = [symbol.nodes[index] for index in ends.needed]
    refuse_unknown([str(node) for node in needed if not node.is_variable and node.op not in OPERATORS], where=str(path))
    names = [node.name for node in needed]
    if len(set(names)) < len(names):
        twice = sorted({name for name in names if names.count(name) > 1}) if len(names) < 10_000 else []
        raise ModelError(f"names given to more than one node: {', '.join(twice[:10])}", where=str(path))


def _network(symbol: Symbol, ends: Ends, parameters: dict[str, Array]) -> Network:
    named = {symbol.nodes[index].name for index in ends.needed if symbol.nodes[index].is_variable}
    maker = Maker(ends.inputs, {name: value for name, value in parameters.items() if name in named})
    for index in ends.needed:
        node = symbol.nodes[index]
        if node.is_variable:
            continue
        edges = node.inputs[:1] if node.op in LOSSES else node.inputs
        inputs = tuple(symbol.name_of(edge) for edge in edges)
        call = Call(maker, node, inputs, _outputs(symbol, index))
        try:
            OPERATORS[node.op](call)
        except (ValueError, TypeError, IndexError, OverflowError, ZeroDivisionError) as error:
            raise ModelError(f"cannot be converted ({str(error).splitlines()[0]})", where=str(node)) from error
    network = Network(ends.inputs, ends.outputs, tuple(maker.nodes), maker.constants)
    _check_edges(network)
    read = {name for node in network.nodes for name in node.inputs}
    kept = {name: value for name, value in maker.constants.items() if name in read}
    return Network(ends.inputs, ends.outputs, network.nodes, kept)


def _outputs(symbol: Symbol, index: int) -> tuple[str, ...]:
    node = symbol.nodes[index]
    count = node.attributes.integer("num_outputs", 1) if node.op in {"SliceChannel", "split"} else 1
    if not 1 <= count <= _MOST_PARTS:
        raise ModelError(f"num_outputs {count}", where=str(node), expected=f"1 to {_MOST_PARTS}")
    return tuple(node.output(part) for part in range(count))


def _check_edges(network: Network) -> None:
    """An edge may name an output that its node does not have: a second one of BatchNorm, say, which is for training."""
    there = {"", *network.constants, *(port.name for port in network.inputs), *network.tensors()}
    for node in network.nodes:
        missing = [name for name in node.inputs if name not in there]
        if missing:
            raise ModelError(f"reads {', '.join(missing)}, which nothing makes", where=str(node))
    absent = [name for name in network.outputs if name not in there]
    if absent:
        raise ModelError(f"output {', '.join(absent)} is made by nothing")
