"""TFLite networks by the instructions that one inference takes on an emulated ARM board, in each runtime, and by what comes out."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from convert.benchmark.boards import Board
from convert.benchmark.emulator import Count, Emulator, Run, run_emulated
from convert.network import Array
from convert.runners.tflite import TfliteRunner
from edge.errors import ModelError, UsageError
from edge.interpreter import Tensor, TfliteModel

RUNS = 3
PICTURES = 4


@dataclass(frozen=True, slots=True)
class Difference:
    """Between the outputs of the emulated board and of this one, over all inputs and outputs."""

    greatest: float
    """Absolute; in steps of the output's grid where it is an integer one."""
    is_steps: bool
    cosine: float
    """The worst of an input's; of real values, that is with the zero point taken off."""

    def __str__(self) -> str:
        return f"{self.greatest:.0f} steps" if self.is_steps else f"{self.greatest:.1e}"


@dataclass(frozen=True, slots=True)
class Counted:
    """One file in one runtime on one board."""

    file: str
    runtime: str
    precision: str
    count: Count
    """The median of the inferences."""
    spread: int
    """Instructions between the inference that took the most and the one that took the fewest."""
    ratio: float | None
    """Its instructions over those of the baseline in the same runtime: 0.5 is half of them. None where that did not run."""
    difference: Difference

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "file": self.file,
            "runtime": self.runtime,
            "precision": self.precision,
            "instructions": self.count.instructions,
            "dot_products": self.count.dot_products,
            "spread": self.spread,
            "ratio": None if self.ratio is None else round(self.ratio, 4),
            "greatest_difference": self.difference.greatest,
            "difference_in_steps": self.difference.is_steps,
            "cosine": round(self.difference.cosine, 6),
        }


@dataclass(frozen=True, slots=True)
class _Side:
    """A file on this machine: what it is fed with, and what it makes of it."""

    path: Path
    precision: str
    inputs: Array
    outputs: tuple[Array, ...]
    tensors: tuple[Tensor, ...]


def count_all(
    paths: Sequence[Path],
    emulator: Emulator,
    board: Board,
    *,
    baseline: str = "",
    runs: int = RUNS,
    pictures: Array | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> tuple[list[Counted], list[str]]:
    """Every file in every runtime of the root, and a sentence for each runtime that fails on a file.

    `baseline` is a file's name; the first file when empty. `pictures` are pixels 0..255 (n, height, width, channels); noise when
    left out. UsageError for a file that is not TFLite, ModelError where nothing runs at all.
    """
    _check(paths, baseline)
    sides = [_side(path, pictures) for path in paths]
    found: list[Counted] = []
    faults: list[ModelError] = []
    for runtime, label in emulator.runtimes.items():
        made: dict[str, Run] = {}
        for side in sides:
            say(f"{side.path.name} in {label} on an emulated {board.title} ...")
            try:
                made[side.path.name] = run_emulated(emulator, board, runtime, side.path, side.inputs, runs=runs)
            except ModelError as fault:
                faults.append(fault)
        base = made.get(baseline or paths[0].name)
        found += [_counted(side, made[side.path.name], label, base) for side in sides if side.path.name in made]
    if not found:
        raise faults[0]
    return found, [str(fault) for fault in faults]


def difference_of(here: Sequence[Array], there: Sequence[Array], tensors: Sequence[Tensor]) -> Difference:
    """Outputs (inputs, *shape) of two machines, as stored. ModelError where shapes or dtypes are not the same."""
    greatest, worst = 0.0, 1.0
    for ours, theirs, tensor in zip(here, there, tensors, strict=True):
        if ours.shape != theirs.shape or ours.dtype != theirs.dtype:
            found = f"output {tensor.name} is {theirs.dtype} {list(theirs.shape)} on the emulated board"
            raise ModelError(found, expected=f"{ours.dtype} {list(ours.shape)}")
        rows = [values.reshape(len(values), -1).astype(np.float64) for values in (ours, theirs)]
        greatest = max(greatest, float(np.abs(rows[0] - rows[1]).max()))
        zero = tensor.quantisation.zero_point
        worst = min(worst, *_cosines(rows[0] - zero, rows[1] - zero))
    is_steps = all(tensor.quantisation.dtype != "float32" for tensor in tensors)
    return Difference(greatest, is_steps, worst)


def _cosines(left: Array, right: Array) -> list[float]:
    lengths = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
    products = (left * right).sum(axis=1)
    # A row without a direction is like another of its kind alone.
    same = (left == right).all(axis=1).astype(np.float64)
    return [float(one) for one in np.divide(products, lengths, out=same, where=lengths > 0)]


def _check(paths: Sequence[Path], baseline: str) -> None:
    names = [path.name for path in paths]
    if baseline and baseline not in names:
        raise UsageError(f"no file {baseline} to measure against", expected=f"one of {', '.join(names)}")
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise UsageError(f"two files called {twice.pop()}", expected="names that tell them apart")
    for path in paths:
        if path.suffix != ".tflite":
            raise UsageError("only TFLite files run on the emulated board", where=str(path), expected="NAME.tflite")
        if not path.is_file():
            raise UsageError("no such file", where=str(path))


def _side(path: Path, pictures: Array | None) -> _Side:
    precision = TfliteRunner(path).precision
    model = TfliteModel(path)
    (source,) = model.inputs
    inputs = stored_pictures(source, pictures)
    made = [[model.run(values, place) for values in inputs] for place in range(len(model.outputs))]
    return _Side(path, precision, inputs, tuple(np.stack(each) for each in made), model.outputs)


def stored_pictures(source: Tensor, pictures: Array | None) -> Array:
    """Pixels as an input takes them, (n, *shape): 0..255 in float32 and uint8, -128..127 in int8. UsageError where they do not fit."""
    if pictures is None:
        pictures = np.random.default_rng(0).integers(0, 256, (PICTURES, *source.shape))
    elif source.shape != (1, *pictures.shape[1:]):
        expected = f"pictures of {list(source.shape[1:])} for input {source.name}"
        raise UsageError(f"pictures of {list(pictures.shape[1:])}", expected=expected)
    lowest = -128 if source.quantisation.dtype == "int8" else 0
    return (pictures.astype(np.int64) + lowest).reshape(len(pictures), *source.shape).astype(source.quantisation.dtype)


def _counted(side: _Side, run: Run, runtime: str, base: Run | None) -> Counted:
    count = _median(run.counts)
    totals = [one.instructions for one in run.counts]
    return Counted(
        file=side.path.name,
        runtime=runtime,
        precision=side.precision,
        count=count,
        spread=max(totals) - min(totals),
        ratio=None if base is None else count.instructions / max(_median(base.counts).instructions, 1),
        difference=difference_of(side.outputs, run.outputs, side.tensors),
    )


def _median(counts: Sequence[Count]) -> Count:
    """Of an even number the lower one in the middle: a count that was really seen."""
    return Count(
        statistics.median_low([one.instructions for one in counts]),
        statistics.median_low([one.dot_products for one in counts]),
    )
