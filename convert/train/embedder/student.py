"""The student: MobileFaceNet's bottlenecks (Chen et al. 2018) with ReLU, and a stem of two strided convolutions.

Everything in it is a convolution, a ReLU or a sum: what integer hardware runs fast. It comes in parts, whose
outputs have the sizes of a MobileFaceNet teacher's linear bottlenecks, so that each can be taught by itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from convert.network import Network, Node, Port
from convert.train.torch_network import import_torch

if TYPE_CHECKING:
    from torch import Tensor, nn

    from convert.network import Array

SIZE = 112
"""Of a face, px."""
MEAN, STD = 127.5, 128.0
"""The input is (pixel - MEAN) / STD."""


@dataclass(frozen=True, slots=True)
class Conv:
    """A convolution with batch norm, and ReLU where `relu`."""

    inputs: int
    outputs: int
    kernel: int = 1
    stride: int = 1
    depthwise: bool = False
    relu: bool = False
    padded: bool = True

    @property
    def padding(self) -> int:
        """On each side."""
        return self.kernel // 2 if self.padded else 0


@dataclass(frozen=True, slots=True)
class Part:
    """Convolutions in a row; with `shortcut` their result is added to what they read."""

    convs: tuple[Conv, ...]
    shortcut: bool = False


def bottleneck(inputs: int, inner: int, outputs: int, *, stride: int = 1) -> Part:
    """Widen, filter each channel, narrow without activation."""
    convs = (
        Conv(inputs, inner, relu=True),
        Conv(inner, inner, 3, stride, depthwise=True, relu=True),
        Conv(inner, outputs),
    )
    return Part(convs, shortcut=stride == 1 and inputs == outputs)


def parts_of(length: int = 128) -> tuple[Part, ...]:
    """The network for embeddings of `length` numbers: 3x112x112 -> 64x28x28 -> 128x14x14 -> 128x7x7 -> length."""
    stem = Part((
        Conv(3, 32, 3, 2, relu=True),
        Conv(32, 128, 3, 2, relu=True),
        Conv(128, 128, 3, depthwise=True, relu=True),
        Conv(128, 64),
    ))  # fmt: skip
    return (
        stem,
        *[bottleneck(64, 128, 64) for _ in range(4)],
        bottleneck(64, 256, 128, stride=2),
        *[bottleneck(128, 256, 128) for _ in range(6)],
        bottleneck(128, 512, 128, stride=2),
        *[bottleneck(128, 320, 128) for _ in range(2)],
        Part((Conv(128, 512, relu=True), Conv(512, 512, 7, depthwise=True, padded=False), Conv(512, length))),
    )


def student(parts: tuple[Part, ...]) -> Any:
    """A torch.nn.Module of these parts, NCHW, input (pixel - MEAN) / STD; weights by PyTorch's seeded chance."""
    torch = import_torch()
    return torch.nn.ModuleList([_part(part) for part in parts]).to(memory_format=torch.channels_last)


def _part(part: Part) -> nn.Module:
    torch = import_torch()
    layers = []
    for conv in part.convs:
        groups = conv.inputs if conv.depthwise else 1
        layers += [
            torch.nn.Conv2d(
                conv.inputs, conv.outputs, conv.kernel, conv.stride, conv.padding, groups=groups, bias=False
            ),
            torch.nn.BatchNorm2d(conv.outputs),
        ]
        layers += [torch.nn.ReLU()] if conv.relu else []
    sequence: nn.Module = torch.nn.Sequential(*layers)
    return sequence


def branch(module: Any, values: Tensor) -> Tensor:
    """What a part computes, without its shortcut; in bfloat16 where autocast is on."""
    torch = import_torch()
    for layer in module:
        # On processors PyTorch has no fast bfloat16 kernel for these; it is four to ten times slower than in float32.
        slow = isinstance(layer, torch.nn.Conv2d) and layer.groups > 1 and layer.stride[0] > 1
        if slow and values.device.type == "cpu":
            with torch.autocast("cpu", enabled=False):
                values = layer(values.float())
        else:
            values = layer(values)
    return values


def forward(modules: Any, parts: tuple[Part, ...], values: Tensor) -> list[Tensor]:
    """The output of every part, in order; the last is the embedding, (N, length, 1, 1)."""
    made = []
    for module, part in zip(modules, parts, strict=True):
        computed = branch(module, values)
        values = values + computed if part.shortcut else computed
        made.append(values)
    return made


def network_of(modules: Any, parts: tuple[Part, ...], *, input_name: str, output_name: str) -> Network:
    """What was trained, batch norms folded into the convolutions; input (pixel - MEAN) / STD."""
    nodes: list[Node] = []
    constants: dict[str, Array] = {}
    tensor = input_name
    for place, (module, part) in enumerate(zip(modules, parts, strict=True)):
        source = tensor
        for index, (conv, (weight, bias)) in enumerate(zip(part.convs, folded(module), strict=True)):
            name = f"part{place}_conv{index}"
            constants |= {f"{name}_weight": weight.numpy(), f"{name}_bias": bias.numpy()}
            attributes = {
                "strides": (conv.stride,) * 2,
                "pads": (conv.padding,) * 4,
                "group": conv.inputs if conv.depthwise else 1,
                "kernel_shape": (conv.kernel,) * 2,
                "dilations": (1, 1),
            }
            nodes.append(Node("Conv", name, (tensor, f"{name}_weight", f"{name}_bias"), (name,), attributes))
            tensor = name
            if conv.relu:
                nodes.append(Node("Relu", f"{name}_relu", (tensor,), (f"{name}_relu",)))
                tensor = f"{name}_relu"
        if part.shortcut:
            nodes.append(Node("Add", f"part{place}_sum", (source, tensor), (f"part{place}_sum",)))
            tensor = f"part{place}_sum"
    nodes.append(Node("Flatten", output_name, (tensor,), (output_name,), {"axis": 1}))
    port = Port(input_name, (None, 3, SIZE, SIZE))
    constants = {name: np.asarray(value, np.float32) for name, value in constants.items()}
    return Network((port,), (output_name,), tuple(nodes), constants, mean=MEAN, std=STD)


def folded(module: Any) -> list[tuple[Tensor, Tensor]]:
    """(weight OIHW, bias) of each convolution of a part, with the batch norm behind it folded in, as in inference."""
    torch = import_torch()
    layers = list(module)
    made = []
    with torch.no_grad():
        for layer, norm in pairwise(layers):
            if isinstance(layer, torch.nn.Conv2d):
                factor = norm.weight / torch.sqrt(norm.running_var + norm.eps)
                weight = layer.weight * factor.view(-1, 1, 1, 1)
                made.append((weight.detach().contiguous(), (norm.bias - norm.running_mean * factor).detach()))
    return made
