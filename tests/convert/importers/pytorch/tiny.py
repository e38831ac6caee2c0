"""One small module in every form that PyTorch saves."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import nn

SHAPE = (1, 3, 8, 8)


class Tiny(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, 2, 1, bias=False)
        self.bn, self.prelu = nn.BatchNorm2d(8), nn.PReLU(8)
        self.fc = nn.Linear(8 * 4 * 4, 5)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        x = self.prelu(self.bn(self.conv(image)))
        return self.fc(torch.flatten(x, 1))


class TwoOutputs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, image: torch.Tensor, factor: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x = self.conv(image)
        return torch.relu(x) * factor, torch.sigmoid(x)


def tiny() -> Any:
    torch.manual_seed(0)
    made = Tiny().eval()
    made.bn.running_mean.normal_()
    made.bn.running_var.uniform_(0.5, 1.5)
    nn.init.normal_(made.prelu.weight)
    return made


def save(path: Path, kind: str, module: Any = None) -> Path:
    """`path` with the module as script, trace, export, or export with an open batch."""
    module = tiny() if module is None else module
    image = torch.rand(2 if kind == "open batch" else 1, *SHAPE[1:])
    with warnings.catch_warnings():
        # TorchScript is deprecated; users' files are not gone for it.
        warnings.simplefilter("ignore")
        if kind == "script":
            torch.jit.save(torch.jit.script(module), path)
        elif kind == "trace":
            torch.jit.save(torch.jit.trace(module, image), path)
        else:
            logging.getLogger("torch").setLevel(logging.ERROR)
            sizes = ({0: torch.export.Dim("batch", min=1, max=64)},) if kind == "open batch" else None
            torch.export.save(torch.export.export(module, (image,), dynamic_shapes=sizes), path)
    return path
