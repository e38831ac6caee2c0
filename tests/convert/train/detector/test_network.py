from __future__ import annotations

import pytest

from convert.train.detector.network import STAGES, STRIDES, Student
from tests.convert.train.detector.made import changed_student, pixels

torch = pytest.importorskip("torch", reason="PyTorch is not installed")


def test_the_seed_and_nothing_else_draws_the_weights() -> None:
    one, same, other = Student(3), Student(3), Student(4)
    assert all(torch.equal(value, same.tensors()[name]) for name, value in one.tensors().items())
    drawn = [name for name in one.weights if name.endswith((".point", ".depth", ".weight"))]
    assert not any(torch.equal(one.weights[name], other.weights[name]) for name in drawn)


@pytest.mark.parametrize(("height", "width"), [(64, 64), (96, 160)])
def test_maps_have_a_place_for_each_stride(height: int, width: int) -> None:
    maps = Student(0)(pixels(2, height, width))
    assert {stride: tuple(head.shape) for stride, head in maps.heads.items()} == {
        stride: (2, 16, height // stride, width // stride) for stride in STRIDES
    }
    places = {"stem": 4, "fine": 8, "stride8": 8, "stride16": 16, "stride32": 32}
    channels = {"stem": 16, "fine": 64, "stride8": 64, "stride16": 64, "stride32": 64}
    assert {name: tuple(values.shape[1:]) for name, values in maps.stages.items()} == {
        name: (channels[name], height // places[name], width // places[name]) for name in STAGES
    }


@pytest.mark.parametrize("stage", list(STAGES))
def test_fed_a_stage_teaches_nothing_to_the_others(stage: str) -> None:
    student = changed_student(1)
    fed = {name: torch.rand_like(values) for name, values in student(pixels(2, 64, 64)).stages.items()}
    student(pixels(2, 64, 64), fed).stages[stage].square().sum().backward()
    taught = {
        name.split(".")[0] for name, value in student.weights.items() if value.grad is not None and value.grad.any()
    }
    assert taught == {stage}


def test_fed_the_heads_read_what_they_are_fed() -> None:
    student, other = changed_student(1), changed_student(2)
    views = pixels(1, 64, 64)
    fed = other(views).stages
    for name, value in student.weights.items():
        if name.startswith(("neck", "tower", "head")):
            value.data.copy_(other.weights[name])
    for name, value in student.statistics.items():
        value.copy_(other.statistics[name])
    mine, theirs = student(views, fed).heads, other(views).heads
    assert all(torch.equal(mine[stride], theirs[stride]) for stride in STRIDES)
    assert not any(torch.equal(student(views).heads[stride], theirs[stride]) for stride in STRIDES)


def test_begin_like_gives_each_channel_the_range_of_the_others() -> None:
    student = Student(0)
    views = pixels(6, 96, 96)
    generator = torch.Generator().manual_seed(0)
    wanted = {}
    for name, values in student(views).stages.items():
        channels = values.shape[1]
        shift = torch.linspace(-1, 1, channels)[:, None, None]
        scale = torch.linspace(0.1, 0.6, channels)[:, None, None]
        wanted[name] = torch.relu((torch.randn(values.shape, generator=generator) + shift) * scale)
    student.begin_like(wanted)
    # The first two stages are seen after a maximum, which lifts them.
    for name in ("stride8", "stride16"):
        mine = student(views).stages[name].mean((0, 2, 3))
        theirs = wanted[name].mean((0, 2, 3))
        assert torch.corrcoef(torch.stack([mine, theirs]))[0, 1] > 0.9
        assert 0.7 < (mine.sum() / theirs.sum()).item() < 1.4


def test_statistics_move_only_while_training() -> None:
    student = Student(0)
    student.training = False
    student(pixels(2, 64, 64))
    assert torch.equal(student.statistics["stem.0.mean"], torch.zeros(16))
    student.training = True
    student(pixels(2, 64, 64))
    assert not torch.equal(student.statistics["stem.0.mean"], torch.zeros(16))
