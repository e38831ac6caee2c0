"""The network as an architecture of which files keep the weights alone."""

from __future__ import annotations

from convert.architectures.builder import Architecture, WeightedGraph
from convert.network import Port
from tests.convert.every_format.design import EPSILON, SHAPE


def _write(graph: WeightedGraph) -> tuple[str, ...]:
    def activated(source: str, name: str) -> str:
        return graph.prelu(graph.batch_norm(source, f"{name}_norm", epsilon=EPSILON), f"{name}_prelu")

    stem = activated(graph.conv(graph.input, "stem", stride=2), "stem")
    depth = activated(graph.conv(stem, "depth", pad=1, depthwise=True), "depth")
    pool = graph.max_pool(graph.add(graph.conv(depth, "point"), stem, "sum"), "pool", kernel=3, stride=2)
    return (graph.gemm(graph.flatten(graph.conv(pool, "last"), "flat"), "dense"),)


ARCHITECTURE = Architecture("small", "the tests' own small network", Port("image", SHAPE), _write)
