"""What an integer converter is fed to learn the ranges of all activations.

Jacob et al. 2018, Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference. Which
pictures, in which order, and that they span every value of a byte, is for the caller: convert.calibrate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from convert.network import Array, Network, Port
from convert.targets.base import Options
from edge.errors import ModelError, UsageError

Progress = Callable[[int, int], None]
"""Told how many examples of how many have been run."""


def examples_of_inputs(network: Network, options: Options) -> list[Array]:
    """Calibration arrays in the order of the network's inputs, NHWC, all of one length.

    UsageError where one is missing or empty, ModelError where one does not fit its input.
    """
    missing = [port.name for port in network.inputs if not len(options.examples.get(port.name, ()))]
    if missing:
        raise UsageError(
            f"no calibration examples for {', '.join(missing)}",
            expected="some hundred of what the network will see",
            hint="Give pictures with --calibration, or choose a target without integers.",
        )
    arrays = [_checked(port, np.asarray(options.examples[port.name])) for port in network.inputs]
    if len({len(values) for values in arrays}) != 1:
        found = ", ".join(f"{len(values)} for {port.name}" for port, values in zip(network.inputs, arrays, strict=True))
        raise ModelError(f"examples: {found}", expected="as many for each input")
    return arrays


def _checked(port: Port, values: Array) -> Array:
    expected = port.shape[1:]
    fits = values.ndim == len(port.shape) and all(
        wanted in {None, found} for wanted, found in zip(expected, values.shape[1:], strict=True)
    )
    if not fits:
        wanted_shape = "(N, " + ", ".join(str(size) for size in expected) + ")"
        raise ModelError(f"examples of shape {values.shape} for input {port.name!r}", expected=wanted_shape)
    if not np.isfinite(values).all():
        raise ModelError(f"examples for input {port.name!r} are not finite", expected="numbers")
    ordered = values.transpose(0, 2, 3, 1) if values.ndim == 4 else values
    return np.ascontiguousarray(ordered.astype(port.dtype))


def feed(
    keys: list[str], arrays: list[Array], batch: int | None, progress: Progress | None
) -> Callable[[], Iterator[dict[str, Array]]]:
    """What `representative_dataset` wants: a function that goes through all examples, `batch` of them at a time.

    The last run is filled up with the first examples: ranges do not mind seeing one twice.
    """
    size, count = batch or 1, len(arrays[0])
    starts = range(0, count, size)

    def run() -> Iterator[dict[str, Array]]:
        for start in starts:
            places = [index % count for index in range(start, start + size)]
            yield {key: values[places] for key, values in zip(keys, arrays, strict=True)}
            if progress is not None:
                progress(min(start + size, count), count)

    return run
