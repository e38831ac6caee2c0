"""The training itself, for convert.train.run: steps, the held-out figures, and what a checkpoint holds."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convert.network import Floats, Network
from convert.targets.base import Options
from convert.targets.onnx import write_onnx
from convert.train.detector.distil import Losses, losses
from convert.train.detector.judge import agreement, face_detector_yn
from convert.train.detector.lessons import Lesson, Lessons
from convert.train.detector.network import Student
from convert.train.detector.plan import Plan
from convert.train.detector.written import network_of
from convert.train.run import Figures
from convert.train.torch_network import import_torch
from edge.datatypes import Image
from edge.detect.faces import Faces

if TYPE_CHECKING:
    from torch import Tensor

CONFIDENCE = 0.7
"""At which YuNet n is said to see a face."""
_DISTANCES = 15.0
"""Weight of box and landmarks beside face or not."""


class DetectorTask:
    """A student, its teacher's lessons and its running average. A task of convert.train.run."""

    def __init__(
        self, lessons: Lessons, plan: Plan, seed: int, *, device: str, held_out: Sequence[tuple[Image, Faces]] = ()
    ) -> None:
        """`held_out`: pictures of people who are not taught, and the faces that the teacher finds there."""
        torch = import_torch()
        self._lessons, self._plan, self._seed, self._device = lessons, plan, seed, device
        self._held_out = held_out
        self.student = Student(seed).to(device)
        self._averaged = {name: value.detach().clone() for name, value in self.student.tensors().items()}
        self._optimiser = torch.optim.AdamW(
            list(self.student.weights.values()), plan.rate, betas=(0.9, 0.99), weight_decay=0.0
        )

    @property
    def settings(self) -> Mapping[str, Any]:
        """Of the plan, but for the number of steps."""
        return {"seed": self._seed, **self._plan.settings()}

    @property
    def steps(self) -> int:
        """Of the plan."""
        return self._plan.steps

    def step(self, number: int) -> Figures:
        """Learn from one batch."""
        torch = import_torch()
        plan, lesson = self._plan, self._lessons.lesson(number)
        if number == 0:
            self.student.begin_like(lesson.maps.stages)
        for group in self._optimiser.param_groups:
            group["lr"] = plan.rate_at(number)
        self.student.training = plan.is_normed(number)
        found = self._losses(lesson, number)
        hints = sum(found.hints.values(), torch.zeros((), device=self._device))
        self._optimiser.zero_grad(set_to_none=True)
        loss = found.face + _DISTANCES * (found.box + found.landmarks) + plan.hints_at(number) * hints
        loss.backward()
        self._optimiser.step()
        self._average(plan.kept_at(number))
        return _figures(found, len(lesson.pixels))

    def _losses(self, lesson: Lesson, number: int) -> Losses:
        torch = import_torch()
        plan = self._plan
        fed = {name: value.float() for name, value in lesson.maps.stages.items()} if plan.is_apart(number) else None
        with torch.autocast(self._device, torch.bfloat16, enabled=not plan.is_exact(number)):
            maps = self.student(lesson.pixels, fed)
        return losses(maps, lesson.maps, hinted=plan.hints_at(number) > 0)

    def _average(self, kept: float) -> None:
        torch = import_torch()
        with torch.no_grad():
            mine = self.student.tensors()
            names = list(mine)
            torch._foreach_lerp_([self._averaged[name] for name in names], [mine[name] for name in names], 1 - kept)

    def judge(self, _: int) -> Figures:
        """The averaged student beside the teacher on the held-out pictures, in cv2.FaceDetectorYN."""
        if not self._held_out:
            return {}
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "student.onnx"
            write_onnx(self.averaged_network(), path, Options())
            find = face_detector_yn(path, CONFIDENCE)
            found = agreement([faces for _, faces in self._held_out], [find(image) for image, _ in self._held_out])
        return {
            "recall": found.recall,
            "extra_per_picture": found.extra_per_picture,
            "landmark_error": found.landmark_error,
        }

    def averaged_network(self) -> Network:
        """What is written: the running average of weights and statistics."""
        arrays: dict[str, Floats] = {name: value.float().cpu().numpy() for name, value in self._averaged.items()}
        return network_of(
            {name: arrays[name] for name in self.student.weights},
            {name: arrays[name] for name in self.student.statistics},
        )

    def state(self) -> Mapping[str, Any]:
        """Tensors by name, and the optimiser's."""
        return {
            "student": {name: value.detach() for name, value in self.student.tensors().items()},
            "averaged": self._averaged,
            "optimiser": self._optimiser.state_dict(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a checkpoint."""
        _copy(state["student"], self.student.tensors())
        _copy(state["averaged"], self._averaged)
        self._optimiser.load_state_dict(state["optimiser"])


def _copy(values: Mapping[str, Tensor], into: Mapping[str, Tensor]) -> None:
    torch = import_torch()
    with torch.no_grad():
        for name, value in into.items():
            value.copy_(values[name])


def _figures(found: Losses, pictures: int) -> Figures:
    hints = {f"hint_{name}": value.item() for name, value in found.hints.items()}
    return {
        "pictures": pictures,
        "face": found.face.item(),
        "box": found.box.item(),
        "landmarks": found.landmarks.item(),
        **hints,
    }
