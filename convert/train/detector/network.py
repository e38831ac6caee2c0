"""The student: a small detector with YuNet's twelve outputs, trained in PyTorch and written out as a Network.

Units of a 1x1 and a depthwise 3x3 convolution, three strides, and a neck from coarse to fine, after Wu, Peng, Yu 2023,
"YuNet: A Tiny Millisecond-level Face Detector". Unlike there, what a stride says of a place (face, quality, box, landmarks)
comes from one convolution of 16 channels instead of four small ones: the same arithmetic in fewer operators.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from convert.train.torch_network import import_torch

if TYPE_CHECKING:
    import torch
    from torch import Tensor

INPUT_SCALE = 1 / 128
"""Pixels are scaled for training and not moved: the zeros around a picture stay black."""
STRIDES = (8, 16, 32)
HEAD_CHANNELS = 16
"""One for face or not, one for quality, four of the box, ten of the landmarks."""
EPSILON = 1e-5
_MOMENTUM = 0.02
"""Slow, because views differ much and a batch holds few of them."""


@dataclass(frozen=True, slots=True)
class Unit:
    """A 1x1 convolution from `inputs` to `outputs` channels, a depthwise 3x3 one, a batch norm and ReLU."""

    name: str
    inputs: int
    outputs: int


STAGES: Mapping[str, tuple[Unit, ...]] = {
    "stem": (Unit("stem.1", 16, 16),),
    "fine": (
        Unit("fine.0", 16, 16), Unit("fine.1", 16, 64), Unit("fine.2", 64, 64), Unit("fine.3", 64, 64),
    ),
    "stride8": (Unit("stride8.0", 64, 64), Unit("stride8.1", 64, 64)),
    "stride16": (Unit("stride16.0", 64, 64), Unit("stride16.1", 64, 64)),
    "stride32": (Unit("stride32.0", 64, 64), Unit("stride32.1", 64, 64)),
}  # fmt: skip
"""The backbone, in order; a maximum over 2x2 places stands between two stages."""
POOLED = ("stem", "fine")
"""Stages that nothing reads but the maximum that follows."""
NECK = {stride: Unit(f"neck{stride}", 64, 64) for stride in STRIDES}
TOWER = {stride: Unit(f"tower{stride}", 64, 64) for stride in STRIDES}


def all_units() -> Iterator[Unit]:
    """Every unit, in the order in which a picture passes them."""
    for units in STAGES.values():
        yield from units
    for stride in reversed(STRIDES):
        yield NECK[stride]
    for stride in STRIDES:
        yield TOWER[stride]


@dataclass(frozen=True, slots=True)
class Maps:
    """What the student makes of a batch of B views, NCHW tensors.

    `stages`: the five stages of the backbone by name, the first two after their maximum; `heads`: B x 16 x H x W of each stride, raw: logits of
    face and quality, box, landmarks.
    """

    stages: Mapping[str, Tensor]
    heads: Mapping[int, Tensor]


class Student:
    """Weights by name, all drawn from a seed, and the running statistics of the batch norms."""

    def __init__(self, seed: int) -> None:
        """Seeded weights: normal, scaled by what a convolution reads (He et al. 2015, arXiv:1502.01852)."""
        torch = import_torch()
        generator = torch.Generator().manual_seed(seed)
        self.weights: dict[str, Tensor] = {}
        self.statistics: dict[str, Tensor] = {}
        self._draw("stem.0.weight", (16, 3, 3, 3), (2 / 27) ** 0.5, generator)
        self._norm("stem.0", 16)
        for unit in all_units():
            self._draw(f"{unit.name}.point", (unit.outputs, unit.inputs, 1, 1), (2 / unit.inputs) ** 0.5, generator)
            self.weights[f"{unit.name}.bias"] = torch.zeros(unit.outputs)
            self._draw(f"{unit.name}.depth", (unit.outputs, 1, 3, 3), 1 / 3, generator)
            self._norm(unit.name, unit.outputs)
        for stride in STRIDES:
            self._head(stride, generator)
        for weight in self.weights.values():
            weight.requires_grad_()
        self.training = True

    def to(self, device: str) -> Student:
        """Move everything to a device, before training."""
        self.weights = {name: value.detach().to(device).requires_grad_() for name, value in self.weights.items()}
        self.statistics = {name: value.to(device) for name, value in self.statistics.items()}
        return self

    def tensors(self) -> dict[str, Tensor]:
        """Weights and statistics by name: all that there is to know of a student."""
        return {**self.weights, **self.statistics}

    def _head(self, stride: int, generator: torch.Generator) -> None:
        torch = import_torch()
        self._draw(f"head{stride}.point", (HEAD_CHANNELS, 64, 1, 1), (1 / 64) ** 0.5, generator)
        self.weights[f"head{stride}.bias"] = torch.zeros(HEAD_CHANNELS)
        self._draw(f"head{stride}.depth", (HEAD_CHANNELS, 1, 3, 3), 1 / 3, generator)
        # Faces are rare: a student that begins by seeing one in every place first has to unlearn that.
        self.weights[f"head{stride}.shift"] = torch.tensor([-3.0] * 2 + [0.0] * 14)

    def _draw(self, name: str, shape: tuple[int, ...], deviation: float, generator: torch.Generator) -> None:
        self.weights[name] = import_torch().randn(shape, generator=generator) * deviation

    def _norm(self, name: str, channels: int) -> None:
        torch = import_torch()
        self.weights[f"{name}.scale"] = torch.ones(channels)
        self.weights[f"{name}.shift"] = torch.zeros(channels)
        self.statistics[f"{name}.mean"] = torch.zeros(channels)
        self.statistics[f"{name}.variance"] = torch.ones(channels)

    def __call__(self, pixels: Tensor, fed: Mapping[str, Tensor] | None = None) -> Maps:
        """`pixels` B x 3 x H x W, BGR 0..255, sides multiples of 32.

        `fed`: what stages give by name; the stage that follows then reads it instead of what the student's own stage gave,
        so that each stage learns by itself.
        """
        functional = import_torch().nn.functional
        given = fed or {}
        stages: dict[str, Tensor] = {}
        values = functional.conv2d(pixels * INPUT_SCALE, self.weights["stem.0.weight"], stride=2, padding=1)
        values = functional.relu(self._normed(values, "stem.0"))
        for index, (name, units) in enumerate(STAGES.items()):
            if index > len(POOLED):
                values = functional.max_pool2d(values, 2)
            for unit in units:
                values = self._unit(values, unit)
            if name in POOLED:
                values = functional.max_pool2d(values, 2)
            stages[name] = values
            values = given.get(name, values)
        read = {stride: given.get(f"stride{stride}", stages[f"stride{stride}"]) for stride in STRIDES}
        return Maps(stages, self._heads(read))

    def begin_like(self, stages: Mapping[str, Tensor]) -> None:
        """Set the last batch norm of each stage so that its channels begin as often above zero, and as far, as those given.

        A ReLU of a normal distribution: P(above) gives mean / deviation, then the mean of what is above gives the deviation.
        """
        torch = import_torch()
        normal = torch.distributions.Normal(0.0, 1.0)
        for name, values in stages.items():
            share = (values > 1e-6).float().mean((0, 2, 3)).clamp(0.02, 0.98)
            ratio = normal.icdf(share)
            deviation = values.float().mean((0, 2, 3)) / (normal.log_prob(ratio).exp() + ratio * share)
            last = STAGES[name][-1].name
            with torch.no_grad():
                self.weights[f"{last}.scale"].copy_(deviation)
                self.weights[f"{last}.shift"].copy_(deviation * ratio)

    def _heads(self, read: Mapping[int, Tensor]) -> dict[int, Tensor]:
        functional = import_torch().nn.functional
        heads: dict[int, Tensor] = {}
        above: Tensor | None = None
        for stride in reversed(STRIDES):
            values = read[stride]
            if above is not None:
                values = values + functional.interpolate(above, scale_factor=2.0, mode="nearest")
            above = self._unit(values, NECK[stride])
            values = self._unit(above, TOWER[stride])
            name = f"head{stride}"
            values = functional.conv2d(values, self.weights[f"{name}.point"], self.weights[f"{name}.bias"])
            heads[stride] = functional.conv2d(
                values, self.weights[f"{name}.depth"], self.weights[f"{name}.shift"], padding=1, groups=HEAD_CHANNELS
            )
        return heads

    def _unit(self, values: Tensor, unit: Unit) -> Tensor:
        functional = import_torch().nn.functional
        name = unit.name
        values = functional.conv2d(values, self.weights[f"{name}.point"], self.weights[f"{name}.bias"])
        values = functional.conv2d(values, self.weights[f"{name}.depth"], padding=1, groups=unit.outputs)
        passed: Tensor = functional.relu(self._normed(values, name))
        return passed

    def _normed(self, values: Tensor, name: str) -> Tensor:
        normed: Tensor = import_torch().nn.functional.batch_norm(
            values, self.statistics[f"{name}.mean"], self.statistics[f"{name}.variance"],
            self.weights[f"{name}.scale"], self.weights[f"{name}.shift"],
            training=self.training, momentum=_MOMENTUM, eps=EPSILON,
        )  # fmt: skip
        return normed
