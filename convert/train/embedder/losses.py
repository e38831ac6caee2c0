"""How far a student is from its teacher."""

from __future__ import annotations

from typing import TYPE_CHECKING

from convert.train.torch_network import import_torch

if TYPE_CHECKING:
    from torch import Tensor

_SIMILARITIES = 4.0
"""Weight of the similarities between the views of a batch beside the embeddings' own."""


def apart(student: Tensor, teacher: Tensor) -> tuple[Tensor, dict[str, float]]:
    """1 - cosine to the teacher's embedding, and the differences of the similarities in the batch; both (N, length).

    Relational distillation: Park et al. 2019.
    """
    normalise = import_torch().nn.functional.normalize
    ours, theirs = normalise(student.float()), normalise(teacher.float())
    away = (1 - (ours * theirs).sum(1)).mean()
    similarities = ((ours @ ours.T - theirs @ theirs.T) ** 2).mean()
    return away + _SIMILARITIES * similarities, {
        "one_minus_cosine": away.item(),
        "similarities": similarities.item(),
    }


def unexplained(values: Tensor, target: Tensor) -> Tensor:
    """Mean squared difference in parts of the target's variance: 0 is equal, 1 is as good as a constant."""
    target = target.float()
    return (values.float() - target).square().mean() / target.var().clamp(min=1e-8)
