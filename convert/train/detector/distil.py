"""What the student is told: how its maps should have been."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from convert.train.detector.network import STRIDES, Maps
from convert.train.torch_network import import_torch

if TYPE_CHECKING:
    from torch import Tensor

_SMALL = 0.02
"""Distances, in face widths, below which the loss is quadratic."""

_FEWEST = 4.0
"""Added to the number of faces of a stride: a batch with hardly any shall not count as one that is full of them."""


@dataclass(frozen=True, slots=True)
class Losses:
    """Scalars: `face` of both confidences, `box` and `landmarks` in face widths, `hints` as unexplained variance by stage."""

    face: Tensor
    box: Tensor
    landmarks: Tensor
    hints: Mapping[str, Tensor]


def losses(student: Maps, teacher: Maps, *, hinted: bool) -> Losses:
    """All that the maps differ in, in float32.

    Each stride counts as much as the others: a picture has room for hundreds of small faces and for one large one.
    """
    torch = import_torch()
    each = [_of_stride(_places(student.heads[stride]), _places(teacher.heads[stride])) for stride in STRIDES]
    face, box, landmarks = torch.stack(each).mean(0)
    stages = teacher.stages if hinted else {}
    return Losses(
        face=face,
        box=box,
        landmarks=landmarks,
        hints={name: _unexplained(student.stages[name], values) for name, values in stages.items()},
    )


def _of_stride(mine: Tensor, theirs: Tensor) -> Tensor:
    """Face, box, landmarks of B x places x 16."""
    torch = import_torch()
    wanted = torch.sigmoid(theirs[..., :2])
    score = wanted.prod(-1)
    total = score.sum() + _FEWEST
    return torch.stack(
        [
            _confidence(mine[..., :2], wanted, theirs[..., :2], total),
            _distance(mine[..., 2:6], theirs, score, total, (2, 6)),
            _distance(mine[..., 6:], theirs, score, total, (6, 16)),
        ]
    )


def _places(head: Tensor) -> Tensor:
    """B x 16 x H x W -> B x places x 16."""
    return head.flatten(2).transpose(1, 2).float()


def _confidence(logits: Tensor, wanted: Tensor, their: Tensor, total: Tensor) -> Tensor:
    """Cross-entropy above the least that a soft target allows (its own entropy), and a little of the logits' difference."""
    functional = import_torch().nn.functional
    entropy = functional.binary_cross_entropy_with_logits
    above = entropy(logits, wanted, reduction="none") - entropy(their, wanted, reduction="none")
    logit = functional.smooth_l1_loss(logits.clamp(-8, 8), their.clamp(-8, 8), reduction="none")
    near = 0.02 + wanted.detach()
    loss: Tensor = (above.sum() + 0.1 * (near * logit).sum()) / total
    return loss


def _distance(mine: Tensor, theirs: Tensor, score: Tensor, total: Tensor, columns: tuple[int, int]) -> Tensor:
    """Differences where there are faces, in units of the face's size; sizes are logarithms and compare as they are."""
    torch = import_torch()
    wanted = theirs[..., columns[0] : columns[1]]
    size = torch.exp(theirs[..., 4:6].clamp(-4, 6)).mean(-1, keepdim=True)
    unit = torch.ones_like(wanted) / size
    if columns[0] == 2:
        unit[..., 2:] = 1
    apart = torch.nn.functional.smooth_l1_loss(mine * unit, wanted * unit, beta=_SMALL, reduction="none")
    loss: Tensor = (apart.mean(-1) * score).sum() / total
    return loss


def _unexplained(mine: Tensor, theirs: Tensor) -> Tensor:
    """Squared difference over variance of each channel, mean over channels: 0 is the teacher's own, 1 knows nothing."""
    axes = (0, 2, 3)
    theirs = theirs.float()
    variance = theirs.var(axes)
    # A channel that hardly ever says anything must not count more than those that do.
    loss: Tensor = ((mine.float() - theirs).square().mean(axes) / (variance + 0.2 * variance.mean() + 1e-6)).mean()
    return loss
