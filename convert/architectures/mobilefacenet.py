"""MobileFaceNet (Chen et al. 2018, https://arxiv.org/abs/1804.07573, table 1) as Xiaoccer/MobileFaceNet_Pytorch names its weights.

Faces 112 high and 96 wide, aligned as for SphereFace, RGB, (pixel - 127.5) / 128; an embedding of 128 numbers, not normalised.
"""

from __future__ import annotations

from convert.architectures.builder import Architecture, WeightedGraph
from convert.network import Port

_STRIDES = (2, 1, 1, 1, 1, 2, 1, 1, 1, 1, 1, 1, 2, 1, 1)
"""Of the bottlenecks; widths are those of the weights."""


def _write(graph: WeightedGraph) -> tuple[str, ...]:
    tensor = _conv_block(graph, graph.input, "conv1", stride=2, pad=1)
    tensor = _conv_block(graph, tensor, "dw_conv1", pad=1, depthwise=True)
    for index, stride in enumerate(_STRIDES):
        tensor = _bottleneck(graph, tensor, f"blocks.{index}", stride)
    tensor = _conv_block(graph, tensor, "conv2")
    tensor = graph.batch_norm(graph.conv(tensor, "linear7.conv", depthwise=True), "linear7.bn")
    tensor = graph.batch_norm(graph.conv(tensor, "linear1.conv"), "linear1.bn")
    return (graph.flatten(tensor, "embedding"),)


def _conv_block(
    graph: WeightedGraph, source: str, name: str, *, stride: int = 1, pad: int = 0, depthwise: bool = False
) -> str:
    tensor = graph.conv(source, f"{name}.conv", stride=stride, pad=pad, depthwise=depthwise)
    return graph.prelu(graph.batch_norm(tensor, f"{name}.bn"), f"{name}.prelu")


def _bottleneck(graph: WeightedGraph, source: str, name: str, stride: int) -> str:
    """Widen, filter each channel, narrow without activation; the shortcut where nothing changed its shape."""
    tensor = graph.conv(source, f"{name}.conv.0")
    tensor = graph.prelu(graph.batch_norm(tensor, f"{name}.conv.1"), f"{name}.conv.2")
    tensor = graph.conv(tensor, f"{name}.conv.3", stride=stride, pad=1, depthwise=True)
    tensor = graph.prelu(graph.batch_norm(tensor, f"{name}.conv.4"), f"{name}.conv.5")
    tensor = graph.batch_norm(graph.conv(tensor, f"{name}.conv.6"), f"{name}.conv.7")
    if stride == 1 and graph.shape(tensor)[1] == graph.shape(source)[1]:
        return graph.add(source, tensor, f"{name}.sum")
    return tensor


MOBILEFACENET = Architecture(
    "mobilefacenet-112x96",
    "MobileFaceNet for 112x96 faces (Xiaoccer/MobileFaceNet_Pytorch): an embedding of 128 numbers",
    Port("image", (None, 3, 112, 96)),
    _write,
    training_only=(r"ArcMarginProduct.*", r"margin\..*"),
)
