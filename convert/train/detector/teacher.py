"""The teacher: a detector with YuNet's outputs, and what it makes of a view, stage by stage."""

from __future__ import annotations

from typing import TYPE_CHECKING

from convert.network import Network, Node
from convert.passes.tidy import without_unread
from convert.train.detector.network import HEAD_CHANNELS, POOLED, STAGES, STRIDES, Maps
from convert.train.torch_network import import_torch, torch_network
from edge.detect.yunet import VALUES
from edge.errors import ModelError

if TYPE_CHECKING:
    from torch import Tensor

_SHAPING = frozenset({"Sigmoid", "Reshape", "Transpose", "Flatten", "Identity", "Slice"})
"""Between the last convolution and an output: turned off, the outputs are maps of logits for any number of views."""


class Teacher:
    """Runs YuNet n, or a network of the same form, in PyTorch."""

    def __init__(self, network: Network, device: str = "cpu") -> None:
        """ModelError where the network is not of the student's form, stage by stage."""
        self._heads = {stride: _maps_of(network, stride) for stride in STRIDES}
        self._stages = _stages_of(network)
        self._wanted = (*self._stages, *(name for names in self._heads.values() for name in names))
        self._network = torch_network(without_unread(network.with_outputs(self._wanted))).to(device)

    def __call__(self, pixels: Tensor) -> Maps:
        """`pixels` B x 3 x H x W, BGR 0..255, sides multiples of 32; no gradients."""
        torch = import_torch()
        with torch.no_grad():
            made = dict(zip(self._wanted, self._network.inner(pixels, self._wanted), strict=True))
            heads = {stride: torch.cat([made[name] for name in names], 1) for stride, names in self._heads.items()}
        return Maps({stage: made[name] for stage, name in zip(STAGES, self._stages, strict=True)}, heads)


def _maps_of(network: Network, stride: int) -> list[str]:
    """The maps, NCHW, that become the four outputs of a stride: one each, or one that is cut into four."""
    maps = list(dict.fromkeys(_map_of(network, f"{kind}_{stride}") for kind in VALUES))
    channels = sum(len(network.constants[node.inputs[1]]) for name in maps if (node := network.maker(name)))
    if channels != HEAD_CHANNELS:
        raise ModelError(
            f"{channels} channels of stride {stride}", expected=f"{HEAD_CHANNELS}: {', '.join(VALUES)} of a face"
        )
    return maps


def _map_of(network: Network, output: str) -> str:
    """The convolution's logits or distances that become an output."""
    node = network.maker(output)
    while node is not None and node.op in _SHAPING:
        node = network.maker(node.inputs[0])
    if node is None or node.op != "Conv":
        raise ModelError(f"output {output!r} does not come from a convolution", expected="a detector such as YuNet")
    return node.output


def _stages_of(network: Network) -> list[str]:
    """What the five stages give: four are read by a maximum; the fifth is what the unit before the first enlarging reads."""
    maxima = [node for node in network.nodes if node.op == "MaxPool"]
    stages = [node.output if index < len(POOLED) else node.inputs[0] for index, node in enumerate(maxima)]
    enlarging = next((node for node in network.nodes if node.op == "Resize"), None)
    if len(stages) != len(STAGES) - 1 or enlarging is None:
        raise ModelError(
            f"{len(stages)} maxima over places" + ("" if enlarging else ", and nothing that enlarges"),
            expected=f"{len(STAGES) - 1}, and a neck that enlarges: a teacher of YuNet n's form",
        )
    return [*stages, _before_unit(network, enlarging.inputs[0])]


def _before_unit(network: Network, name: str) -> str:
    """What a unit (two convolutions, ReLU) reads that gives `name`."""
    node: Node | None = network.maker(name)
    convolutions = 0
    while node is not None:
        convolutions += node.op == "Conv"
        if convolutions == 2:
            return node.inputs[0]
        node = network.maker(node.inputs[0])
    raise ModelError(f"no unit gives {name!r}", expected="two convolutions and ReLU: a teacher of YuNet n's form")
