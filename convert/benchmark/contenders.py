"""What takes part: each file, once in every runtime that runs it as it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from convert.network import Array, Port
from convert.proof.compare import open_any
from convert.runners import runtimes_of
from convert.runners.base import Feeds, Runner, Timed
from edge.errors import MissingDependencyError, ModelError, UsageError

_LARGEST_INPUT = 50_000_000


@dataclass(frozen=True, slots=True)
class Contender:
    """One file in one runtime, loaded and run once."""

    file: str
    runner: str
    precision: str
    input_shape: tuple[tuple[int, ...], ...]
    action: Callable[[], object]
    is_bare: bool
    """Whether turning axes and quantising are left out of the time; False where the runner cannot do without."""


def contenders_of(
    paths: Sequence[Path],
    *,
    threads: int,
    size: tuple[int, int] | None = None,
    values: Mapping[str, Array] | None = None,
) -> tuple[list[Contender], list[str]]:
    """All that can run, in the order of the files, and a sentence for each runtime that cannot.

    UsageError or ModelError where a file runs nowhere.
    """
    found: list[Contender] = []
    passed_over: list[str] = []
    for path in paths:
        made, faults = _of_file(path, threads, size, values or {})
        if not made:
            raise faults[0]
        found += made
        passed_over += [str(fault) for fault in faults]
    return found, passed_over


def _of_file(
    path: Path, threads: int, size: tuple[int, int] | None, values: Mapping[str, Array]
) -> tuple[list[Contender], list[ModelError | MissingDependencyError]]:
    made: list[Contender] = []
    faults: list[ModelError | MissingDependencyError] = []
    for runtime in runtimes_of(path) or ("",):
        try:
            made.append(_contender(path, open_any(path, runtime, threads=threads), size, values))
        except (ModelError, MissingDependencyError) as fault:
            faults.append(fault)
    return made, faults


def _contender(path: Path, runner: Runner, size: tuple[int, int] | None, values: Mapping[str, Array]) -> Contender:
    feeds = {
        port.name: values[port.name] if port.name in values else random_input(port, size) for port in runner.inputs
    }
    is_bare = isinstance(runner, Timed)
    action = runner.prepared(feeds) if isinstance(runner, Timed) else _whole(runner, feeds)
    shapes = tuple(value.shape for value in feeds.values())
    precision = str(getattr(runner, "precision", "float32"))
    return Contender(path.name, runner.label, precision, shapes, action, is_bare)


def _whole(runner: Runner, feeds: Feeds) -> Callable[[], object]:
    runner.run(feeds)
    return lambda: runner.run(feeds)


def random_input(port: Port, size: tuple[int, int] | None, seed: int = 0) -> Array:
    """Pixels 0..255 of one picture, or numbers for an input of another form. UsageError where its size is open."""
    shape = list(port.shape)
    if shape and shape[0] is None:
        shape[0] = 1
    if len(shape) == 4 and size is not None:
        shape[2:] = [one if one is not None else other for one, other in zip(shape[2:], size, strict=True)]
    sizes = [one for one in shape if one is not None]
    if len(sizes) != len(shape):
        hint = "Say which: --size HEIGHTxWIDTH for a picture, --set NAME=NUMBER,... for anything else."
        raise UsageError(f"input {port.name} of shape {list(port.shape)}", expected="a size", hint=hint)
    count = 1
    for one in sizes:
        count *= one
    if count > _LARGEST_INPUT:
        raise UsageError(f"input {port.name} of shape {sizes}", expected=f"at most {_LARGEST_INPUT:,} numbers")
    made = np.random.default_rng(seed).integers(0, 256, sizes)
    return made.astype(port.dtype)
