"""From a teacher and faces to a uint8 student, in one folder that a later run goes on from."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from convert.network import Network, shown_shape
from convert.pictures import person_of
from convert.quantise.faithful import faithful, remade
from convert.quantise.form import IntegerNetwork
from convert.quantise.search import Budget
from convert.shapes import infer_shapes
from convert.targets.base import Options
from convert.targets.onnx import write_onnx
from convert.targets.tflite.integer import integer_bytes
from convert.train.curves import write_curves
from convert.train.embedder.choice import read_choice, write_choice
from convert.train.embedder.distil import ByParts, Joined, Lesson
from convert.train.embedder.faces import Faces
from convert.train.embedder.integer import IntegerTuning, differing_steps
from convert.train.embedder.phase import Phase
from convert.train.embedder.plan import Plan
from convert.train.embedder.student import network_of, parts_of, student
from convert.train.embedder.views import inner_part
from convert.train.record import write_record
from convert.train.run import Pace, Task, Tell, run
from convert.train.torch_network import import_torch
from edge.bundle import sha256_of
from edge.errors import ModelError

FLOAT_FILE, INTEGER_FILE = "student.onnx", "student.tflite"
INPUT, OUTPUT = "face", "embedding"
_CALIBRATION = 64
_COMPARED = 32


@dataclass(frozen=True, slots=True, eq=False)
class Request:
    """What to train on, and where to."""

    teacher: Network
    teacher_name: str
    """For the record: a file's name and digest."""
    faces: Faces
    folder: Path
    plan: Plan = field(default_factory=Plan)
    seed: int = 1
    threads: int = 1
    pace: Pace = field(default_factory=Pace)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What is in the folder in the end."""

    float_file: Path
    integer_file: Path
    differing_steps: int
    """Between what was trained and what the interpreter here computes, at most; 0 is bit for bit."""


def train(request: Request, tell: Tell) -> Outcome:
    """All phases, each from where it stopped: a student from weights of chance, and its integers."""
    _set_up(request)
    network = _float_student(request, tell)
    write_onnx(network, request.folder / FLOAT_FILE, Options())
    about = "an embedder, by distillation without labels, from weights of seeded chance"
    return _finished(request, network, [phase.name for phase in request.plan.float_phases()], about, tell)


def tune(request: Request, tell: Tell) -> Outcome:
    """The last phase alone: the teacher itself, written in integers, goes on learning beside its float self."""
    _set_up(request)
    write_onnx(request.teacher, request.folder / FLOAT_FILE, Options())
    return _finished(request, request.teacher, [], "the teacher's own weights, tuned as integers, without labels", tell)


def _set_up(request: Request) -> None:
    import_torch().set_num_threads(request.threads)
    request.folder.mkdir(parents=True, exist_ok=True)


def _finished(request: Request, network: Network, phases: list[str], what: str, tell: Tell) -> Outcome:
    """Integers for a float network, tuned and written."""
    tell(f"integers for {FLOAT_FILE}")
    integer = _tuned(request, _integers(network, request, tell), tell)
    path = request.folder / INTEGER_FILE
    path.write_bytes(integer_bytes(integer, description=f"uint8: {what}"))
    differing = differing_steps(integer, path, inner_part(request.faces.held_out()[:_COMPARED]))
    tell(f"{path}: {path.stat().st_size} bytes; differs from what was trained by {differing} steps at most")
    _record(request, what, [*phases, request.plan.integer_phase().name] if request.plan.integer else phases)
    return Outcome(request.folder / FLOAT_FILE, path, differing)


def _float_student(request: Request, tell: Tell) -> Network:
    torch = import_torch()
    length = _embedding_length(request.teacher)
    parts = parts_of(length)
    torch.manual_seed(request.seed)
    modules = student(parts)
    lesson = Lesson(modules, parts, request.teacher, request.faces, request.seed)
    for phase in request.plan.float_phases():
        task = (ByParts if phase.name == "parts" else Joined)(lesson, phase)
        _run_phase(request, phase, task, tell)
    return network_of(modules.cpu().eval(), parts, input_name=INPUT, output_name=OUTPUT)


def _integers(network: Network, request: Request, tell: Tell) -> IntegerNetwork:
    """The student in integers as post-training quantisation has it: where the last phase starts.

    What the search chose is kept: a run that goes on does not search again.
    """
    taught = request.faces.taught()
    count = min(_CALIBRATION, len(taught))
    chosen = np.sort(np.random.default_rng(request.seed).choice(len(taught), count, replace=False))
    faces = np.ascontiguousarray(inner_part(taught[chosen]))
    digest = sha256_of(request.folder / FLOAT_FILE)
    known = read_choice(request.folder, digest)
    if known is not None:
        return remade(network, faces, known, seed=request.seed)
    outcome = faithful(network, faces, Budget(evaluations=request.plan.search, islands=False), tell, seed=request.seed)
    write_choice(request.folder, digest, outcome)
    return outcome.integer


def _tuned(request: Request, integer: IntegerNetwork, tell: Tell) -> IntegerNetwork:
    phase = request.plan.integer_phase()
    if not phase.steps:
        return integer
    task = IntegerTuning(integer, request.teacher, request.faces, phase, seed=request.seed)
    _run_phase(request, phase, task, tell)
    return task.student.trained()


def _run_phase(request: Request, phase: Phase, task: Task, tell: Tell) -> None:
    """In a folder of its own, with its curves beside it."""
    tell(f"phase {phase.name}")
    folder = request.folder / phase.name
    run(task, folder, request.pace, tell=tell)
    write_curves(folder, folder.with_suffix(".svg"), title=phase.name)


def _record(request: Request, what: str, phases: list[str]) -> None:
    faces = request.faces
    about = {
        "what": what,
        "teacher": request.teacher_name,
        "faces": len(faces.names),
        "people": len({person_of(name) for name in faces.names}),
        "held_out_faces": len(faces.held_out()),
        "seed": request.seed,
    }
    write_record(request.folder, about, phases)


def _embedding_length(teacher: Network) -> int:
    shape = infer_shapes(teacher).get(teacher.output_name, ())
    if len(shape) != 2 or shape[1] is None:
        raise ModelError(f"a teacher whose output is {shown_shape(shape)}", expected="an embedding, Nx128 or the like")
    return shape[1]
