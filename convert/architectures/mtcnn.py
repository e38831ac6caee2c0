"""MTCNN (Zhang et al. 2016): P-Net, R-Net and O-Net, for weights with the names of timesler/facenet-pytorch.

Input: upright RGB pictures, (pixel - 127.5) / 128. Outputs: `prob` (softmax; 1 is a face), `box` (offsets of x1, y1, x2, y2 in
parts of the box) and, of O-Net, `landmarks` (five x, then five y, in parts of the box).
"""

from __future__ import annotations

from collections.abc import Mapping

from convert.architectures.builder import Architecture, WeightedGraph
from convert.network import Array, Port

NUMPY_KINDS = {"weights": "weight", "biases": "bias", "alpha": "weight"}
"""Kinds of weights in the dicts of davidsandberg/facenet -> the end of a name here."""


def _pnet(graph: WeightedGraph) -> tuple[str, ...]:
    tensor = _convolved(graph, graph.input, 1)
    tensor = graph.max_pool(tensor, "pool1", kernel=2, stride=2, ceil=True)
    tensor = _convolved(graph, _convolved(graph, tensor, 2), 3)
    graph.activation("Softmax", graph.conv(tensor, "conv4_1"), "prob", axis=1)
    graph.activation("Identity", graph.conv(tensor, "conv4_2"), "box")
    return "prob", "box"


def _rnet(graph: WeightedGraph) -> tuple[str, ...]:
    tensor = graph.input
    for number in (1, 2):
        tensor = graph.max_pool(_convolved(graph, tensor, number), f"pool{number}", kernel=3, stride=2, ceil=True)
    tensor = _dense(graph, _convolved(graph, tensor, 3), 4)
    return _heads(graph, tensor, 5, ("prob", "box"))


def _onet(graph: WeightedGraph) -> tuple[str, ...]:
    tensor = graph.input
    for number, kernel in ((1, 3), (2, 3), (3, 2)):
        tensor = graph.max_pool(_convolved(graph, tensor, number), f"pool{number}", kernel=kernel, stride=2, ceil=True)
    tensor = _dense(graph, _convolved(graph, tensor, 4), 5)
    return _heads(graph, tensor, 6, ("prob", "box", "landmarks"))


def _convolved(graph: WeightedGraph, source: str, number: int) -> str:
    return graph.prelu(graph.conv(source, f"conv{number}"), f"prelu{number}")


def _dense(graph: WeightedGraph, source: str, number: int) -> str:
    """The map is flattened x first, then y, then channels: the weights come from MATLAB."""
    batch, channels, height, width = graph.shape(source)
    turned = graph.node("Transpose", "turned", (source,), (batch, width, height, channels), perm=(0, 3, 2, 1))
    return graph.prelu(graph.gemm(graph.flatten(turned, "flat"), f"dense{number}"), f"prelu{number}")


def _heads(graph: WeightedGraph, source: str, number: int, outputs: tuple[str, ...]) -> tuple[str, ...]:
    for index, output in enumerate(outputs, start=1):
        made = graph.gemm(source, f"dense{number}_{index}")
        if output == "prob":
            graph.activation("Softmax", made, output, axis=1)
        else:
            graph.activation("Identity", made, output)
    return outputs


MTCNN_PNET = Architecture(
    "mtcnn-pnet",
    "MTCNN's first network: is there a face in 12x12 pixels, and where",
    Port("input", (None, 3, 12, 12)),
    _pnet,
)
MTCNN_RNET = Architecture(
    "mtcnn-rnet", "MTCNN's second network: crops of 24x24", Port("input", (None, 3, 24, 24)), _rnet
)
MTCNN_ONET = Architecture(
    "mtcnn-onet", "MTCNN's third network: crops of 48x48, with landmarks", Port("input", (None, 3, 48, 48)), _onet
)


def from_numpy(layers: Mapping[str, Mapping[str, Array]]) -> dict[str, Array]:
    """Layer -> kind -> array, as in davidsandberg/facenet, under the names and with the axes of the architectures here.

    Kernels there are (x, y, in, out), for MATLAB's pictures have x first, and matrices (in, out): all axes are turned round.
    """
    dense = {name for name, kinds in layers.items() if "weights" in kinds and kinds["weights"].ndim == 2}
    made = {}
    for name, kinds in layers.items():
        plain = name.lower().replace("-", "_")
        plain = plain.replace("conv", "dense") if name in dense else plain
        made.update({f"{plain}.{NUMPY_KINDS.get(kind, kind)}": value.T for kind, value in kinds.items()})
    return made
