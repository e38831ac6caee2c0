"""The network as PyTorch saves it."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path

import torch
from torch import nn

from tests.convert.every_format.design import EPSILON, SHAPE, Weights


class Small(nn.Module):
    """Names and layouts are those of `design.weights`."""

    def __init__(self, held: Weights) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, stride=2, bias=False)
        self.stem_norm, self.stem_prelu = nn.BatchNorm2d(8, EPSILON), nn.PReLU(8)
        self.depth = nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False)
        self.depth_norm, self.depth_prelu = nn.BatchNorm2d(8, EPSILON), nn.PReLU(8)
        self.point, self.last = nn.Conv2d(8, 8, 1), nn.Conv2d(8, 16, 3)
        self.pool, self.dense = nn.MaxPool2d(3, 2), nn.Linear(144, 16)
        self.load_state_dict({name: torch.from_numpy(value) for name, value in held.items()}, strict=False)
        self.eval()

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        stem = self.stem_prelu(self.stem_norm(self.stem(image)))
        depth = self.depth_prelu(self.depth_norm(self.depth(stem)))
        return self.dense(torch.flatten(self.last(self.pool(self.point(depth) + stem)), 1))


def script(folder: Path, held: Weights) -> tuple[Path]:
    path = folder / "small-traced.pt"
    with warnings.catch_warnings():
        # TorchScript is deprecated; users' files are not gone for it.
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.trace(Small(held), torch.zeros(SHAPE)), path)
    return (path,)


def exported(folder: Path, held: Weights) -> tuple[Path]:
    path = folder / "small.pt2"
    logging.getLogger("torch").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.export.save(torch.export.export(Small(held), (torch.zeros(SHAPE),)), path)
    return (path,)


def state_dict(folder: Path, held: Weights) -> tuple[Path]:
    """As a training program keeps it: among other data, under DataParallel's names."""
    path = folder / "small.pth"
    named = {f"module.{name}": value for name, value in Small(held).state_dict().items()}
    torch.save({"epoch": 3, "state_dict": named}, path)
    return (path,)
