"""Students, pictures and teachers, small enough to be made anew in every test."""

from __future__ import annotations

from typing import Any

import numpy as np

from convert.network import Network
from convert.train.detector.network import Student
from convert.train.detector.written import network_of
from edge.datatypes import Image


def changed_student(seed: int) -> Student:
    """Not as it is drawn: every weight and statistic differs from what a mistake would leave in its place."""
    import torch

    student = Student(seed)
    generator = torch.Generator().manual_seed(seed + 1)
    with torch.no_grad():
        for value in student.weights.values():
            value.add_(0.05 * torch.randn(value.shape, generator=generator))
        for value in student.statistics.values():
            value.add_(0.3 * torch.rand(value.shape, generator=generator))
    student.training = False
    return student


def written(student: Student) -> Network:
    arrays = {name: value.detach().numpy() for name, value in student.tensors().items()}
    return network_of(arrays, arrays)


def pixels(count: int, height: int, width: int, seed: int = 0) -> Any:
    """BGR 0..255 as a tensor, smooth enough to be a picture."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand((count, 3, height // 8, width // 8), generator=generator) * 255
    return torch.nn.functional.interpolate(coarse, scale_factor=8, mode="bilinear")


def pictures(count: int, high: int = 100, wide: int = 90) -> list[Image]:
    generator = np.random.default_rng(5)
    return [generator.integers(0, 256, (high, wide, 3), dtype=np.uint8) for _ in range(count)]
