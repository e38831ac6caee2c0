"""A training that is cut short goes on as if nothing had happened, and tells what it does."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from convert.train.run import CHECKPOINT, LOG, Pace, read_checkpoint, read_log, run
from edge.errors import ModelError, UsageError

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

OFTEN = Pace(tell_every=2, judge_every=4, checkpoint_every_s=0.0)


class CutError(Exception):
    """As if the machine had lost power."""


@dataclasses.dataclass
class Walk:
    """Adds a number of the step's own chance; `dies_at` breaks off before that step."""

    steps: int = 10
    dies_at: int = 1000
    seed: int = 3
    place: float = 0.0
    taken: list[int] = dataclasses.field(default_factory=list)

    @property
    def settings(self) -> Mapping[str, Any]:
        return {"steps": self.steps, "seed": self.seed}

    def step(self, number: int) -> Mapping[str, float]:
        if number == self.dies_at:
            raise CutError
        self.taken.append(number)
        self.place += float(np.random.default_rng([self.seed, number]).normal())
        return {"place": self.place, "pictures": 4.0}

    def judge(self, number: int) -> Mapping[str, float]:
        return {"judged": float(number)}

    def state(self) -> Mapping[str, Any]:
        return {"place": torch.tensor(self.place, dtype=torch.float64)}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.place = float(state["place"])


def test_a_run_cut_short_ends_where_an_uncut_one_does(tmp_path: Path) -> None:
    whole, first, second = Walk(), Walk(dies_at=7), Walk()
    run(whole, tmp_path / "whole", OFTEN, tell=lambda _: None)
    with pytest.raises(CutError):
        run(first, tmp_path / "cut", OFTEN, tell=lambda _: None)
    run(second, tmp_path / "cut", OFTEN, tell=lambda _: None)
    assert first.taken + second.taken == whole.taken
    assert second.place == whole.place
    logs = [[_untimed(line) for line in read_log(tmp_path / name)] for name in ("whole", "cut")]
    # Six was told before the cut and its checkpoint was taken: nothing is told twice, and nothing is missing.
    assert [line["step"] for line in logs[1]] == [line["step"] for line in logs[0]]


def _untimed(line: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in line.items() if name not in {"seconds", "pictures_per_s"}}


def test_what_came_after_the_last_checkpoint_is_taken_and_told_again(tmp_path: Path) -> None:
    seldom = dataclasses.replace(OFTEN, checkpoint_every_s=1e9)
    with pytest.raises(CutError):
        run(Walk(dies_at=7), tmp_path, seldom, tell=lambda _: None)
    again = Walk()
    run(again, tmp_path, seldom, tell=lambda _: None)
    assert again.taken == list(range(10))
    assert [line["step"] for line in read_log(tmp_path) if "place" in line] == [2, 4, 6, 8, 10]


def test_a_run_that_has_ended_is_not_run_again(tmp_path: Path) -> None:
    run(Walk(), tmp_path, OFTEN, tell=lambda _: None)
    told: list[str] = []
    later = Walk()
    run(later, tmp_path, OFTEN, tell=told.append)
    assert later.taken == []
    assert later.place != 0.0
    assert told == ["going on from step 10 of 10"]


def test_figures_are_means_since_the_last_line(tmp_path: Path) -> None:
    told: list[str] = []
    run(Walk(), tmp_path, Pace(tell_every=5, judge_every=100), tell=told.append)
    chances = [float(np.random.default_rng([3, number]).normal()) for number in range(10)]
    lines = [line for line in read_log(tmp_path) if "place" in line]
    assert lines[0]["place"] == pytest.approx(np.mean(np.cumsum(chances)[:5]), rel=1e-4)
    assert lines[1]["place"] == pytest.approx(np.mean(np.cumsum(chances)[5:]), rel=1e-4)
    assert "10 of 10" in told[-1]
    assert "judged 10" in told[-1]


def test_a_folder_of_another_run_is_refused(tmp_path: Path) -> None:
    run(Walk(), tmp_path, OFTEN, tell=lambda _: None)
    with pytest.raises(UsageError, match=r"seed 3 \(now 4\)"):
        run(Walk(seed=4), tmp_path, OFTEN, tell=lambda _: None)


@pytest.mark.parametrize("damage", [b"", b"no archive", "truncated"])
def test_a_damaged_checkpoint_is_refused_and_left_alone(tmp_path: Path, damage: bytes | str) -> None:
    run(Walk(), tmp_path, OFTEN, tell=lambda _: None)
    path = tmp_path / CHECKPOINT
    spoilt = path.read_bytes()[:-100] if isinstance(damage, str) else damage
    path.write_bytes(spoilt)
    with pytest.raises(ModelError, match="damaged checkpoint"):
        run(Walk(), tmp_path, OFTEN, tell=lambda _: None)
    assert path.read_bytes() == spoilt


def test_a_checkpoint_executes_nothing(tmp_path: Path) -> None:
    import pickle

    class Hostile:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.write_text, (tmp_path / "executed", "yes"))

    torch.save({"settings": "{}", "step": 1, "state": Hostile()}, tmp_path / CHECKPOINT, pickle_module=pickle)
    with pytest.raises(ModelError, match="damaged checkpoint"):
        read_checkpoint(tmp_path)
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("text", ["{", "no json\n"])
def test_a_damaged_log_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / LOG).write_text(text)
    with pytest.raises(ModelError, match="damaged log"):
        read_log(tmp_path)


def test_no_log_is_a_mistake_of_the_users(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no log"):
        read_log(tmp_path)


def test_the_log_is_json_a_line(tmp_path: Path) -> None:
    run(Walk(), tmp_path, OFTEN, tell=lambda _: None)
    lines = [json.loads(line) for line in (tmp_path / LOG).read_text().splitlines()]
    assert {"step", "seconds", "pictures_per_s", "place"} <= lines[0].keys()
