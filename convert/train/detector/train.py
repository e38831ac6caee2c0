"""From a teacher and pictures to a detector, in one folder that a later run goes on from."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from convert.importers.base import Request as ImportRequest
from convert.importers.onnx import import_onnx
from convert.passes.tidy import tidy
from convert.pictures import PictureStore, person_of
from convert.targets.base import Options
from convert.targets.onnx import write_onnx
from convert.train.curves import write_curves
from convert.train.detector.judge import face_detector_yn
from convert.train.detector.lessons import Lessons
from convert.train.detector.plan import Plan
from convert.train.detector.task import CONFIDENCE, DetectorTask
from convert.train.detector.teacher import Teacher
from convert.train.detector.views import Views
from convert.train.record import named_file, write_record
from convert.train.run import Pace, Tell, run
from convert.train.torch_network import import_torch
from edge.cli.common import progress
from edge.datatypes import Image
from edge.errors import UsageError

FILE, CURVES = "detector.onnx", "curves.svg"
_HELD_OUT_SHARE = 25
"""One of so many people is not taught."""
_JUDGED = 150
"""Held-out pictures."""
_LEAST_PEOPLE = 50


@dataclass(frozen=True, slots=True, eq=False)
class Request:
    """What to train on, and where to. `teacher`: YuNet n, an ONNX file. `people` are those who may be taught."""

    teacher: Path
    store: PictureStore
    people: frozenset[str]
    folder: Path
    plan: Plan = field(default_factory=Plan)
    seed: int = 1
    threads: int = 1
    pace: Pace = field(default_factory=Pace)


def train(request: Request, tell: Tell) -> Path:
    """The detector's file, an ONNX that cv2.FaceDetectorYN reads; goes on from a checkpoint in the folder."""
    request.folder.mkdir(parents=True, exist_ok=True)
    task = detector_task(request)
    run(task, request.folder, request.pace, tell=tell)
    path = request.folder / FILE
    write_onnx(task.averaged_network(), path, Options())
    write_curves(request.folder, request.folder / CURVES, title="detector")
    about = {
        "what": "a detector with YuNet's outputs, by distillation without labels, from weights of seeded chance",
        "teacher": named_file(request.teacher),
        "people": len(request.people),
        "seed": request.seed,
    }
    write_record(request.folder, about, ["."])
    tell(f"{path}: {path.stat().st_size} bytes")
    return path


def detector_task(request: Request) -> DetectorTask:
    """All that a run needs, before its first step or its checkpoint."""
    torch = import_torch()
    torch.set_num_threads(request.threads)
    cv2.setNumThreads(request.threads)
    _keep_memory()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    network = tidy(import_onnx(ImportRequest(files=(request.teacher,))).network)
    teacher = Teacher(network, device)
    taught, held_out = split_people(request.store.names, request.people, request.seed)
    pictures = _read(request.store, taught, "pictures to teach")
    find = face_detector_yn(request.teacher, CONFIDENCE)
    judged = [(image, find(image)) for image in _read(request.store, held_out[:_JUDGED], "held-out pictures")]
    lessons = Lessons(Views(pictures), teacher, request.seed, device)
    return DetectorTask(lessons, request.plan, request.seed, device=device, held_out=judged)


def split_people(names: Sequence[str], people: frozenset[str], seed: int) -> tuple[list[str], list[str]]:
    """Names of the pictures to teach, and of held-out ones, in random order; nobody is in both.

    UsageError when there are pictures of only a few of the people.
    """
    generator = np.random.default_rng(seed)
    found = sorted({person_of(name) for name in names} & people)
    if len(found) < _LEAST_PEOPLE:
        raise UsageError(f"pictures of {len(found)} of the people listed", expected=f"at least {_LEAST_PEOPLE}")
    held_out = frozenset(generator.choice(found, len(found) // _HELD_OUT_SHARE, replace=False).tolist())
    chosen = [name for name in names if person_of(name) in people]
    aside = [name for name in chosen if person_of(name) in held_out]
    return [name for name in chosen if person_of(name) not in held_out], [
        aside[place] for place in generator.permutation(len(aside))
    ]


def _read(store: PictureStore, names: Sequence[str], what: str) -> list[Image]:
    return [store.read(name) for name in progress(names, f"{len(names)} {what}")]


def _keep_memory() -> None:
    """Tell glibc not to give memory back after each step: asking for it anew takes a third of the time. Nothing elsewhere."""
    try:
        options = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return
    most_mapped, trim_threshold = -4, -1
    options(most_mapped, 0)
    options(trim_threshold, 2**31 - 1)
