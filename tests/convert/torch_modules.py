"""The architectures of `convert.architectures` once more, as torch modules: the weights' names fit when they load strictly."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import torch
from torch import nn

Weights = dict[str, torch.Tensor]


def _conv(inside: int, out: int, kernel: Any, **places: int) -> nn.Conv2d:
    return nn.Conv2d(inside, out, kernel, bias=False, **places)


def conv_block(
    out: int, inside: int, kernel: Any, *, stride: int = 1, pad: int = 0, groups: int = 1, active: bool = True
) -> nn.Sequential:
    parts: list[tuple[str, nn.Module]] = [
        ("conv", _conv(inside, out, kernel, stride=stride, padding=pad, groups=groups)),
        ("bn", nn.BatchNorm2d(out)),
    ]
    return nn.Sequential(OrderedDict(parts + [("prelu", nn.PReLU(out))] * active))


class Bottleneck(nn.Module):
    def __init__(self, inside: int, out: int, widening: int, stride: int) -> None:
        super().__init__()
        wide = inside * widening
        self.is_residual = stride == 1 and inside == out
        self.conv = nn.Sequential(
            _conv(inside, wide, 1), nn.BatchNorm2d(wide), nn.PReLU(wide),
            _conv(wide, wide, 3, stride=stride, padding=1, groups=wide), nn.BatchNorm2d(wide), nn.PReLU(wide),
            _conv(wide, out, 1), nn.BatchNorm2d(out),
        )  # fmt: skip

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.conv(x) if self.is_residual else self.conv(x)


class MobileFaceNet(nn.Module):
    """Chen et al. 2018, table 1, for 112x96."""

    PLAN = ((2, 64, 5, 2), (4, 128, 1, 2), (2, 128, 6, 1), (4, 128, 1, 2), (2, 128, 2, 1))

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = conv_block(64, 3, 3, stride=2, pad=1)
        self.dw_conv1 = conv_block(64, 64, 3, pad=1, groups=64)
        blocks, width = [], 64
        for widening, out, count, first_stride in self.PLAN:
            for index in range(count):
                blocks.append(Bottleneck(width, out, widening, first_stride if index == 0 else 1))
                width = out
        self.blocks = nn.Sequential(*blocks)
        self.conv2 = conv_block(512, 128, 1)
        self.linear7 = conv_block(512, 512, (7, 6), groups=512, active=False)
        self.linear1 = conv_block(128, 512, 1, active=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.conv2(self.blocks(self.dw_conv1(self.conv1(x))))
        return self.linear1(self.linear7(x)).flatten(1)


class Attention(nn.Module):
    def __init__(self, width: int, narrow: int) -> None:
        super().__init__()
        self.fc1, self.bn1 = _conv(width, narrow, 1), nn.BatchNorm2d(narrow)
        self.fc2, self.bn2 = _conv(narrow, width, 1), nn.BatchNorm2d(width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        squeezed = x.mean((2, 3), keepdim=True)
        return x * torch.sigmoid(self.bn2(self.fc2(torch.relu(self.bn1(self.fc1(squeezed))))))


class DepthWise(nn.Module):
    """Widths come from the weights."""

    def __init__(self, weights: Weights, name: str, *, stride: int, is_residual: bool) -> None:
        super().__init__()
        wide, inside = weights[f"{name}.conv.conv.weight"].shape[:2]
        out = weights[f"{name}.project.conv.weight"].shape[0]
        self.conv = conv_block(wide, inside, 1)
        self.conv_dw = conv_block(wide, wide, 3, stride=stride, pad=1, groups=wide)
        self.project = conv_block(out, wide, 1, active=False)
        self.is_residual = is_residual
        attention = weights.get(f"{name}.se_module.fc1.weight")
        self.se_module = None if attention is None else Attention(out, attention.shape[0])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        made = self.project(self.conv_dw(self.conv(x)))
        if self.se_module is not None:
            made = self.se_module(made)
        return x + made if self.is_residual else made


class Stage(nn.Module):
    def __init__(self, weights: Weights, name: str, count: int) -> None:
        super().__init__()
        names = [f"{name}.model.{index}" for index in range(count)]
        self.model = nn.Sequential(*(DepthWise(weights, one, stride=1, is_residual=True) for one in names))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.model(x)


class MiniFASNet(nn.Module):
    """V2, or V1SE where the weights have attention."""

    def __init__(self, weights: Weights) -> None:
        super().__init__()
        self.conv1 = conv_block(32, 3, 3, stride=2, pad=1)
        self.conv2_dw = conv_block(32, 32, 3, pad=1, groups=32)
        for halving, stage, count in (("conv_23", "conv_3", 4), ("conv_34", "conv_4", 6), ("conv_45", "conv_5", 2)):
            setattr(self, halving, DepthWise(weights, halving, stride=2, is_residual=False))
            setattr(self, stage, Stage(weights, stage, count))
        self.conv_6_sep = conv_block(512, 128, 1)
        self.conv_6_dw = conv_block(512, 512, 5, groups=512, active=False)
        self.linear = nn.Linear(512, 128, bias=False)
        self.bn = nn.BatchNorm1d(128)
        self.prob = nn.Linear(128, 3, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.conv2_dw(self.conv1(x))
        for name in ("conv_23", "conv_3", "conv_34", "conv_4", "conv_45", "conv_5", "conv_6_sep", "conv_6_dw"):
            x = getattr(self, name)(x)
        return torch.softmax(self.prob(self.bn(self.linear(x.flatten(1)))), 1)
