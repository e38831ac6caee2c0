"""What every phase has: a teacher, faces to learn from and faces to be judged on, and a learning rate over its steps."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from convert.network import Network
from convert.train.embedder.batches import Batches
from convert.train.embedder.faces import Faces
from convert.train.embedder.phase import Phase
from convert.train.embedder.views import inner_part, views
from convert.train.run import Figures
from convert.train.torch_network import import_torch, torch_network

if TYPE_CHECKING:
    from torch import Tensor

_JUDGED = 256
"""Held-out faces."""
_AT_ONCE = 32


class Taught(ABC):
    """A phase of a student's training; a task of convert.train.run but for `step`, `state` and `restore`."""

    def __init__(self, teacher: Network, faces: Faces, phase: Phase, *, seed: int) -> None:
        """A GPU is used where there is one."""
        torch = import_torch()
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        self._teacher = torch_network(teacher).to(self._device)
        self._batches = Batches(faces.taught(), phase.batch, seed)
        self._held_out = inner_part(faces.held_out()[:_JUDGED])
        self._phase, self._seed = phase, seed

    @property
    def settings(self) -> Mapping[str, Any]:
        """Of the phase and of what it learns from."""
        return {**asdict(self._phase), "seed": self._seed, "faces": len(self._batches.faces)}

    @property
    def steps(self) -> int:
        """Of the phase."""
        return self._phase.steps

    @abstractmethod
    def embed(self, pixels: Tensor) -> Tensor:
        """The student's embeddings, (N, length), of float32 (N, 3, 112, 112) 0..255, as it will run."""

    def seen(self, number: int) -> Tensor:
        """The views of step `number`, float32 (N, 3, 112, 112) 0..255."""
        generator = np.random.default_rng([self._seed, number])
        return views(self._batches.batch(number), generator).to(self._device)

    def as_teacher_takes(self, pixels: Tensor) -> Tensor:
        """The same pixels, normalised as the teacher wants them."""
        return (pixels - self._teacher.network.mean) / self._teacher.network.std

    def judge(self, number: int) -> Figures:
        """Cosine between student and teacher on held-out faces, as they are aligned."""
        del number
        torch = import_torch()
        normalise, cosines = torch.nn.functional.normalize, []
        with torch.no_grad():
            for start in range(0, len(self._held_out), _AT_ONCE):
                pixels = (
                    torch.from_numpy(np.array(self._held_out[start : start + _AT_ONCE])).permute(0, 3, 1, 2).float()
                )
                pixels = pixels.contiguous(memory_format=torch.channels_last).to(self._device)
                ours, theirs = self.embed(pixels), self._teacher(self.as_teacher_takes(pixels))
                cosines.append((normalise(ours.float()) * normalise(theirs.float())).sum(1).cpu())
        found = torch.cat(cosines)
        return {"held_out_cosine": float(found.mean()), "held_out_least": float(found.min())}
