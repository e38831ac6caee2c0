"""Prototxt and caffemodel -> Network, without Caffe."""

from __future__ import annotations

from convert.importers.base import Imported, Request, refuse_unknown
from convert.importers.caffe.builder import Builder, Work
from convert.importers.caffe.files import Source, read_source
from convert.importers.caffe.graph import Graph, Placed, read_graph
from convert.importers.caffe.plain import PLAIN
from convert.importers.caffe.spatial import SPATIAL
from convert.importers.caffe.weighted import WEIGHTED
from convert.network import Network
from convert.runners.base import Runner
from convert.runners.caffe import CaffeRunner
from convert.runners.onnx_runtime import ImportedRunner
from edge.errors import ModelError

CONVERTERS = {**WEIGHTED, **SPATIAL, **PLAIN}
"""Layer type -> what writes it as nodes."""


def import_caffe(request: Request) -> Imported:
    """Read a network as it is deployed: layers of training are left out, in-place layers get names of their own.

    A blob keeps its name; where several layers write it in place, that is what the last one makes, and the values before
    are BLOB/LAYER. The decoding of a detector (DetectionOutput) is left out: what it reads becomes outputs, priors included.
    The reference is OpenCV's own reader of Caffe files where this OpenCV has it (before 5).
    """
    source = read_source(request.files)
    graph = read_graph(source, request)
    unknown = [str(each.layer) for each in graph.placed if each.layer.type not in CONVERTERS]
    refuse_unknown(unknown, str(source.prototxt))
    builder = Builder()
    builder.reserve([name for each in graph.placed for name in each.outputs])
    for port in graph.ports:
        builder.reserve([port.name])
        builder.shapes[port.name] = port.shape
    for placed in graph.placed:
        _convert(builder, placed, source)
    network = _network(builder, graph)
    files = (source.prototxt, source.caffemodel)
    return Imported("caffe", network, _reference(source, graph, network), files, graph.notes)


def _convert(builder: Builder, placed: Placed, source: Source) -> None:
    work = Work(builder, placed.layer, placed.inputs, placed.outputs)
    try:
        CONVERTERS[placed.layer.type](work)
    except ModelError as error:
        where = f"{source.prototxt}: {error.where}"
        raise ModelError(error.problem, where=where, expected=error.expected, hint=error.hint) from error


def _network(builder: Builder, graph: Graph) -> Network:
    """Outputs that are constants, which priors are, are given by a node: not every runtime returns a constant."""
    for name in graph.outputs:
        if name in builder.constants:
            values = builder.constants.pop(name)
            builder.add("Identity", name, [builder.constant(f"{name}/values", values)], name)
    return Network(graph.ports, graph.outputs, tuple(builder.nodes), builder.constants)


def _reference(source: Source, graph: Graph, network: Network) -> Runner:
    layers = {name: each.layer.name for each in graph.placed for name in each.outputs[:1]}
    made = set(network.tensors())
    known = {name: layer for name, layer in layers.items() if name in made}
    if CaffeRunner.is_available() and set(network.outputs) <= known.keys():
        try:
            return CaffeRunner(source.prototxt, source.caffemodel, network, known)
        except ModelError:
            # A layer that OpenCV does not have.
            return ImportedRunner(network)
    return ImportedRunner(network)
