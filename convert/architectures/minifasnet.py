"""MiniFASNet: whether a face is live, from one picture (minivision-ai/Silent-Face-Anti-Spoofing).

A MobileFaceNet of 80x80 BGR pixels 0..255, thinned channel by channel, with three classes of which 1 is a live face. The face is
cut out with its surroundings: the detector's box widened 2.7 times for V2 and 4 times for V1SE. Its authors apply softmax outside the
network; here it is the last node, so that the output is a probability, of a range that an integer target knows.
"""

from __future__ import annotations

from collections.abc import Callable

from convert.architectures.builder import Architecture, WeightedGraph
from convert.network import Port

_STAGES = (("conv_23", "conv_3", 4), ("conv_34", "conv_4", 6), ("conv_45", "conv_5", 2))
"""A block that halves the map, then residual blocks and their number; widths are those of the weights."""


def _writer(*, with_attention: bool) -> Callable[[WeightedGraph], tuple[str, ...]]:
    def write(graph: WeightedGraph) -> tuple[str, ...]:
        tensor = _conv_block(graph, graph.input, "conv1", stride=2, pad=1)
        tensor = _conv_block(graph, tensor, "conv2_dw", pad=1, depthwise=True)
        for halving, stage, count in _STAGES:
            tensor = _depthwise(graph, tensor, halving, stride=2)
            for index in range(count):
                is_attended = with_attention and index == count - 1
                tensor = _residual(graph, tensor, f"{stage}.model.{index}", is_attended=is_attended)
        tensor = _conv_block(graph, tensor, "conv_6_sep")
        tensor = graph.batch_norm(graph.conv(tensor, "conv_6_dw.conv", depthwise=True), "conv_6_dw.bn")
        tensor = graph.batch_norm(graph.linear_as_conv(tensor, "linear"), "bn")
        tensor = graph.gemm(graph.flatten(tensor, "flatten"), "prob")
        return (graph.activation("Softmax", tensor, "probabilities", axis=1),)

    return write


def _conv_block(
    graph: WeightedGraph, source: str, name: str, *, stride: int = 1, pad: int = 0, depthwise: bool = False
) -> str:
    tensor = graph.conv(source, f"{name}.conv", stride=stride, pad=pad, depthwise=depthwise)
    return graph.prelu(graph.batch_norm(tensor, f"{name}.bn"), f"{name}.prelu")


def _depthwise(graph: WeightedGraph, source: str, name: str, *, stride: int) -> str:
    tensor = _conv_block(graph, source, f"{name}.conv")
    tensor = _conv_block(graph, tensor, f"{name}.conv_dw", stride=stride, pad=1, depthwise=True)
    return graph.batch_norm(graph.conv(tensor, f"{name}.project.conv"), f"{name}.project.bn")


def _residual(graph: WeightedGraph, source: str, name: str, *, is_attended: bool) -> str:
    tensor = _depthwise(graph, source, name, stride=1)
    if is_attended:
        tensor = _attention(graph, tensor, f"{name}.se_module")
    return graph.add(source, tensor, f"{name}.sum")


def _attention(graph: WeightedGraph, source: str, name: str) -> str:
    """Squeeze and excitation (Hu et al. 2018), with norms behind both layers."""
    tensor = graph.conv(graph.average(source, f"{name}.squeeze"), f"{name}.fc1")
    tensor = graph.activation("Relu", graph.batch_norm(tensor, f"{name}.bn1"), f"{name}.relu")
    tensor = graph.batch_norm(graph.conv(tensor, f"{name}.fc2"), f"{name}.bn2")
    return graph.scale(source, graph.activation("Sigmoid", tensor, f"{name}.sigmoid"), f"{name}.scaled")


_PORT = Port("image", (None, 3, 80, 80))
_TRAINING_ONLY = (r"FTGenerator\..*",)
"""The branch that learns the Fourier spectrum beside the classes."""
MINIFASNET_V2 = Architecture(
    "minifasnet-v2",
    "MiniFASNetV2 (minivision-ai/Silent-Face-Anti-Spoofing): probabilities of three classes, 1 is a live face; face box x 2.7",
    _PORT,
    _writer(with_attention=False),
    _TRAINING_ONLY,
)
MINIFASNET_V1SE = Architecture(
    "minifasnet-v1se",
    "MiniFASNetV1SE (minivision-ai/Silent-Face-Anti-Spoofing): probabilities of three classes, 1 is a live face; face box x 4",
    _PORT,
    _writer(with_attention=True),
    _TRAINING_ONLY,
)
