from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
import pytest

from convert.pictures import PictureFolder
from convert.targets.base import Options
from convert.targets.onnx import write_onnx
from convert.train.detector.judge import face_detector_yn
from convert.train.detector.lessons import BATCHES, REPEATS, STEPS, Lessons
from convert.train.detector.plan import Plan
from convert.train.detector.task import DetectorTask
from convert.train.detector.teacher import Teacher
from convert.train.detector.train import Request, split_people, train
from convert.train.detector.views import Views
from convert.train.run import Pace, run
from edge.errors import UsageError
from tests.convert.train.detector.made import changed_student, pictures, written

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

QUICK = Plan(steps=6, normed=2, apart=4, hinted=1, exact=0.2)
SAID: list[str] = []


def _lessons(seed: int = 1) -> Lessons:
    return Lessons(Views(pictures(3)), Teacher(written(changed_student(9))), seed, "cpu", sizes=((1.0, 64, 2),))


def test_a_lesson_does_not_depend_on_those_before() -> None:
    ordered, picked = _lessons(), _lessons()
    made = [ordered.lesson(step) for step in range(STEPS + 2)]
    for step in (STEPS + 1, 3, STEPS - 1):
        one = picked.lesson(step)
        assert torch.equal(one.pixels, made[step].pixels)
        assert all(torch.equal(one.maps.heads[stride], made[step].maps.heads[stride]) for stride in one.maps.heads)
    assert not torch.equal(_lessons(seed=2).lesson(0).pixels, made[0].pixels)


def test_each_view_comes_as_often_with_what_the_teacher_said_of_it() -> None:
    lessons, teacher = _lessons(), Teacher(written(changed_student(9)))
    seen: dict[bytes, int] = {}
    for step in range(STEPS):
        lesson = lessons.lesson(step)
        for view in lesson.pixels:
            seen[view.numpy().tobytes()] = seen.get(view.numpy().tobytes(), 0) + 1
    assert len(seen) == 2 * BATCHES
    assert set(seen.values()) == {REPEATS}
    maps = teacher(lesson.pixels)
    assert all((lesson.maps.heads[stride] - head).abs().max() < 1e-3 for stride, head in maps.heads.items())
    assert all((lesson.maps.stages[name] - values).abs().max() < 0.1 for name, values in maps.stages.items())


def _task(plan: Plan = QUICK) -> DetectorTask:
    return DetectorTask(_lessons(), plan, 1, device="cpu")


class CutError(Exception):
    """As if the machine had lost power."""


class Cut(DetectorTask):
    def step(self, number: int) -> Mapping[str, float]:
        if number == 3:
            raise CutError
        return super().step(number)


def test_cut_short_and_gone_on_it_learns_the_same(tmp_path: Path) -> None:
    often = Pace(tell_every=1, judge_every=100, checkpoint_every_s=0.0)
    whole, second = _task(), _task()
    run(whole, tmp_path / "whole", often, tell=SAID.append)
    with pytest.raises(CutError):
        run(Cut(_lessons(), QUICK, 1, device="cpu"), tmp_path / "cut", often, tell=SAID.append)
    run(second, tmp_path / "cut", often, tell=SAID.append)
    one, other = whole.averaged_network(), second.averaged_network()
    assert all(np.array_equal(value, other.constants[name]) for name, value in one.constants.items())


def test_a_run_goes_on_under_a_longer_plan(tmp_path: Path) -> None:
    pace = Pace(judge_every=100)
    run(_task(Plan(steps=2)), tmp_path, pace, tell=SAID.append)
    run(_task(Plan(steps=3)), tmp_path, pace, tell=SAID.append)
    with pytest.raises(UsageError, match="a training begun with rate"):
        run(_task(Plan(steps=3, rate=1e-3)), tmp_path, pace, tell=SAID.append)


def test_it_learns() -> None:
    """What the teacher is sure of is half explained after a few dozen steps."""
    task = _task(Plan(steps=60, normed=60, apart=60))
    first = task.step(0)
    for number in range(1, 59):
        task.step(number)
    last = task.step(59)
    assert last["face"] < 0.5 * first["face"]
    assert last["box"] < 0.7 * first["box"]
    assert last["hint_stem"] < 0.7 * first["hint_stem"]


@pytest.mark.parametrize(
    ("number", "rate", "hints", "is_so"),
    [
        (0, 0.02 / 50, 1.0, "normed apart"),
        (99, 0.02, 1.0, "normed apart"),
        (100, 0.004 / 50, 1.0, "apart"),
        (199, 0.004, 1.0, "apart"),
        (200, 0.004 / 50, 1.0, ""),
        (300, 0.004, 0.5, ""),
        (400, 0.004, 0.0, ""),
        (750, 0.002, 0.0, ""),
        (900, 0.0008, 0.0, "exact"),
    ],
)
def test_what_a_plan_asks_of_a_step(number: int, rate: float, hints: float, is_so: str) -> None:
    plan = Plan(steps=1000, normed=100, apart=200, hinted=200, rate_normed=0.02, rate=0.004, falling=0.5, exact=0.1)
    assert plan.rate_at(number) == pytest.approx(rate)
    assert plan.hints_at(number) == pytest.approx(hints)
    found = {"normed": plan.is_normed(number), "apart": plan.is_apart(number), "exact": plan.is_exact(number)}
    assert {name for name, value in found.items() if value} == set(is_so.split())


def test_nobody_is_both_taught_and_held_out() -> None:
    names = [f"person_{index // 2:03}/person_{index // 2:03}_{index % 2:04}.jpg" for index in range(400)]
    people = frozenset(f"person_{index:03}" for index in range(150))
    taught, held_out = split_people(names, people, 1)
    assert len(taught) + len(held_out) == 300
    assert len({name.split("/")[0] for name in held_out}) == 6
    assert not {name.split("/")[0] for name in taught} & {name.split("/")[0] for name in held_out}
    assert split_people(names, people, 1) == (taught, held_out)
    assert split_people(names, people, 2)[1] != held_out


def test_too_few_people() -> None:
    names = [f"person_{index}/person_{index}_0001.jpg" for index in range(80)]
    with pytest.raises(UsageError, match="pictures of 49 of the people"):
        split_people(names, frozenset(f"person_{index}" for index in range(49)), 1)


def test_from_files_to_a_file(tmp_path: Path) -> None:
    teacher = tmp_path / "teacher.onnx"
    write_onnx(written(changed_student(4)), teacher, Options())
    for index, picture in enumerate(pictures(52)):
        (tmp_path / "pictures" / f"person{index}").mkdir(parents=True)
        cv2.imwrite(str(tmp_path / "pictures" / f"person{index}" / f"person{index}_0001.png"), picture)
    people = frozenset(f"person{index}" for index in range(52))
    store, plan = PictureFolder(tmp_path / "pictures"), Plan(steps=2, normed=1, apart=1)
    request = Request(teacher, store, people, tmp_path / "run", plan)
    said: list[str] = []
    path = train(request, said.append)
    assert path.stat().st_size < 350_000
    assert face_detector_yn(path, 0.7)(pictures(1)[0]) is not None
    assert (tmp_path / "run" / "curves.svg").exists()
    assert any("recall" in line for line in said)
    assert train(request, said.append).read_bytes() == path.read_bytes()
