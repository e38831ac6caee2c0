"""What a student sees of a face: turned, shifted, lit, coloured, blurred, covered, mixed with another, by chance.

The teacher embeds the very same view, so a view may be anything that teaches something: it needs no label.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from convert.train.embedder.student import SIZE
from convert.train.torch_network import import_torch

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from edge.datatypes import Image

RIM_PX = 16
"""Around a face of SIZE, so that a turned one has no black corners."""


def views(faces: Image, generator: np.random.Generator) -> Tensor:
    """float32 (N, 3, 112, 112) 0..255 of uint8 (N, 144, 144, 3) aligned faces, in their colour order."""
    torch = import_torch()
    values = torch.from_numpy(np.ascontiguousarray(faces)).permute(0, 3, 1, 2).float()
    values = _moved(values, generator)
    values = _mixed(values, generator)
    values = _lit(values, generator)
    values = _blurred(values, generator)
    values = _covered(values, generator)
    seen: Tensor = values.clamp(0, 255).contiguous(memory_format=torch.channels_last)
    return seen


def _uniform(generator: np.random.Generator, low: float, high: float, *shape: int) -> Any:
    return import_torch().from_numpy(generator.uniform(low, high, shape).astype(np.float32))


def _chance(generator: np.random.Generator, share: float, count: int) -> NDArray[np.bool_]:
    return generator.random(count) < share


def _moved(values: Tensor, generator: np.random.Generator) -> Tensor:
    """Mirrored, turned by up to 9 degrees, 8 % larger or smaller, shifted by up to 4 px: more than alignment errs."""
    torch = import_torch()
    count, _, height, _ = values.shape
    angle = _uniform(generator, -0.15, 0.15, count)
    scale = SIZE / height * _uniform(generator, 0.92, 1.08, count)
    mirrored = torch.from_numpy(np.where(_chance(generator, 0.5, count), -1.0, 1.0).astype(np.float32))
    matrix = torch.zeros(count, 2, 3)
    cosine, sine = torch.cos(angle) * scale, torch.sin(angle) * scale
    matrix[:, 0, 0], matrix[:, 0, 1] = cosine * mirrored, -sine
    matrix[:, 1, 0], matrix[:, 1, 1] = sine * mirrored, cosine
    matrix[:, :, 2] = _uniform(generator, -0.05, 0.05, count, 2)
    functional = torch.nn.functional
    grid = functional.affine_grid(matrix, [count, 3, SIZE, SIZE], align_corners=False)
    moved: Tensor = functional.grid_sample(values, grid, align_corners=False, padding_mode="reflection")
    return moved


def _mixed(values: Tensor, generator: np.random.Generator) -> Tensor:
    """A third of the faces with up to half of another one: people whom nobody has seen (mixup, Zhang et al. 2018)."""
    torch = import_torch()
    count = len(values)
    share = generator.uniform(0, 0.5, count) * _chance(generator, 0.35, count)
    weight = torch.from_numpy(share.astype(np.float32)).view(-1, 1, 1, 1)
    return values * (1 - weight) + values[torch.from_numpy(generator.permutation(count))] * weight


def _lit(values: Tensor, generator: np.random.Generator) -> Tensor:
    """Exposure, contrast, white balance; a tenth in grey."""
    torch = import_torch()
    count = len(values)
    values = values * _uniform(generator, 0.65, 1.35, count, 1, 1, 1) + _uniform(generator, -25, 25, count, 1, 1, 1)
    mean = values.mean((2, 3), keepdim=True)
    values = mean + (values - mean) * _uniform(generator, 0.7, 1.3, count, 1, 1, 1)
    values = values * _uniform(generator, 0.9, 1.1, count, 3, 1, 1)
    grey = torch.from_numpy(_chance(generator, 0.1, count)).view(-1, 1, 1, 1)
    return torch.where(grey, values.mean(1, keepdim=True).expand_as(values), values)


def _blurred(values: Tensor, generator: np.random.Generator) -> Tensor:
    """A quarter of the batches as if the face had been 28 to 90 px wide."""
    if generator.random() >= 0.25:
        return values
    interpolate = import_torch().nn.functional.interpolate
    width = int(generator.integers(28, 90))
    small = interpolate(values, size=(width, width), mode="bilinear", antialias=True)
    large: Tensor = interpolate(small, size=(SIZE, SIZE), mode="bilinear")
    return large


def _covered(values: Tensor, generator: np.random.Generator) -> Tensor:
    """A quarter of the faces with a patch of noise (random erasing, Zhong et al. 2020)."""
    torch = import_torch()
    values = values.clone()
    for index in np.flatnonzero(_chance(generator, 0.25, len(values))):
        height, width = generator.integers(4, 40, 2)
        top, left = generator.integers(0, SIZE - height), generator.integers(0, SIZE - width)
        patch = generator.uniform(0, 255, (3, height, width)).astype(np.float32)
        values[index, :, top : top + height, left : left + width] = torch.from_numpy(patch)
    return values


def inner_part(pictures: Image) -> Image:
    """Aligned faces without their rim: as the device sees them."""
    return pictures[:, RIM_PX:-RIM_PX, RIM_PX:-RIM_PX]
