"""The two float phases: every part by itself beside the teacher's, then the whole.

First each part is fed what the teacher's part is fed, and learns to give what it gives: small problems, from random weights well
solved within minutes. Then the parts are joined, and learn the teacher's embedding of every view and the similarities between the
views of a batch, with the inner tensors as hints (Romero et al. 2015, FitNets).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from convert.network import Network
from convert.train.embedder.faces import Faces
from convert.train.embedder.hints import hints_for
from convert.train.embedder.losses import apart, unexplained
from convert.train.embedder.phase import Phase
from convert.train.embedder.student import MEAN, SIZE, STD, Part, branch, forward
from convert.train.embedder.taught import Taught
from convert.train.run import Figures
from convert.train.torch_network import import_torch
from edge.errors import ModelError

if TYPE_CHECKING:
    from torch import Tensor

_EARLY_PX = 28
"""Parts whose maps are this large or larger learn from a part of the batch by themselves: every place of a map is an example."""
_EARLY_SHARE = 4


@dataclass(frozen=True, slots=True, eq=False)
class Lesson:
    """Who is taught, by whom, on what."""

    modules: Any
    """The student's, trained in place."""
    parts: tuple[Part, ...]
    teacher: Network
    faces: Faces
    seed: int


class FloatPhase(Taught):
    """What both phases share."""

    def __init__(self, lesson: Lesson, phase: Phase) -> None:
        """The student is moved to where it is taught."""
        super().__init__(lesson.teacher, lesson.faces, phase, seed=lesson.seed)
        torch = import_torch()
        self._modules, self._parts = lesson.modules.to(self._device), lesson.parts
        self._hints = hints_for(lesson.teacher, _sizes(self._modules, self._parts)) or ()
        self._optimiser = torch.optim.AdamW(self._modules.parameters(), phase.rate, weight_decay=0.0)

    def step(self, number: int) -> Figures:
        """One batch."""
        torch = import_torch()
        pixels = self.seen(number)
        for group in self._optimiser.param_groups:
            group["lr"] = self._phase.rate_at(number)
        self._modules.train()
        with torch.autocast(self._device, torch.bfloat16):
            loss, figures = self.loss(pixels)
        self._optimiser.zero_grad()
        loss.backward()
        self._optimiser.step()
        return {**figures, "pictures": float(len(pixels))}

    @abstractmethod
    def loss(self, pixels: Tensor) -> tuple[Tensor, dict[str, float]]:
        """Of a batch, float32 (N, 3, 112, 112) 0..255; and what the log tells of it."""

    def taught(self, pixels: Tensor) -> tuple[list[Tensor], Tensor]:
        """The teacher's inner tensors that are hints, and its embedding of the same pixels."""
        with import_torch().no_grad():
            values = self.as_teacher_takes(pixels)
            *hints, embedding = self._teacher.inner(values, (*self._hints, self._teacher.network.output_name))
        return hints, embedding

    def embed(self, pixels: Tensor) -> Tensor:
        """In inference, bfloat16."""
        self._modules.eval()
        with import_torch().autocast(self._device, import_torch().bfloat16):
            return forward(self._modules, self._parts, (pixels - MEAN) / STD)[-1].flatten(1)

    def state(self) -> Mapping[str, Any]:
        """Weights and the optimiser's moments."""
        return {"student": self._modules.state_dict(), "optimiser": self._optimiser.state_dict()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Both."""
        self._modules.load_state_dict(state["student"])
        self._optimiser.load_state_dict(state["optimiser"])


class ByParts(FloatPhase):
    """Every part by itself. For teachers with a tensor of the size of each part's output."""

    def __init__(self, lesson: Lesson, phase: Phase) -> None:
        """ModelError where the teacher has no such tensors."""
        super().__init__(lesson, phase)
        if not self._hints:
            raise ModelError(
                "a teacher whose inner tensors have other sizes than the student's parts", expected="MobileFaceNet's"
            )

    def loss(self, pixels: Tensor) -> tuple[Tensor, dict[str, float]]:
        """Sum over the parts of the variance that each leaves unexplained in what its counterpart adds."""
        hints, embedding = self.taught(pixels)
        losses, values = [], (pixels - MEAN) / STD
        for module, part, target in zip(self._modules, self._parts, [*hints, embedding[:, :, None, None]], strict=True):
            some = len(pixels) // _EARLY_SHARE if target.shape[-1] >= _EARLY_PX else len(pixels)
            wanted = target[:some] - values[:some] if part.shortcut else target[:some]
            losses.append(unexplained(branch(module, values[:some]), wanted))
            values = target
        total: Tensor = import_torch().stack(losses).sum()
        worst = max(loss.item() for loss in losses)
        return total, {"unexplained": total.item() / len(losses), "unexplained_worst": worst}


class Joined(FloatPhase):
    """The whole network."""

    def loss(self, pixels: Tensor) -> tuple[Tensor, dict[str, float]]:
        """That of the embeddings, and the hints'."""
        hints, embedding = self.taught(pixels)
        made = forward(self._modules, self._parts, (pixels - MEAN) / STD)
        loss, figures = apart(made[-1].flatten(1), embedding)
        if self._phase.hints and hints:
            differing = [unexplained(value, hint) for value, hint in zip(made, hints, strict=False)]
            inner = import_torch().stack(differing).mean()
            loss, figures = loss + self._phase.hints * inner, {**figures, "unexplained": inner.item()}
        return loss, figures


def _sizes(modules: Any, parts: tuple[Part, ...]) -> list[tuple[int, int, int]]:
    """(channels, height, width) of the output of every part but the last."""
    torch = import_torch()
    modules.eval()
    device = next(modules.parameters()).device
    with torch.no_grad():
        made = forward(modules, parts, torch.zeros(1, 3, SIZE, SIZE, device=device))
    return [tuple(value.shape[1:]) for value in made[:-1]]
