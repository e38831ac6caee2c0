"""What the tensors of a float network hold on real pictures: extremes and samples, channel by channel."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from convert.network import Array, Floats, Network
from convert.quantise.channels import Tie
from convert.quantise.form import steps
from convert.runners.onnx_runtime import OnnxRuntimeRunner
from edge.datatypes import Image
from edge.errors import ModelError, UsageError

SAMPLES = 512
"""Of each channel, over all pictures."""
Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True, eq=False)
class Observation:
    """One tensor over all pictures; a row of N numbers counts as N channels."""

    low: Floats
    """(C,) least value of each channel."""
    high: Floats
    """(C,)"""
    samples: Floats
    """(C, S) values at random places, the same for all channels."""

    def scaled(self, factors: Array) -> Observation:
        """Of the tensor with channel c multiplied by factors[c] > 0."""
        row = np.asarray(factors, np.float32)
        return Observation(self.low * row, self.high * row, self.samples * row[:, np.newaxis])

    @property
    def magnitude(self) -> Floats:
        """(C,) greatest absolute value of each channel."""
        return np.maximum(-self.low, self.high)


Observations = Mapping[str, Observation]
"""By tensor."""


def as_input(network: Network, pictures: Image) -> Floats:
    """uint8 (N, H, W, 3) in the network's colour order -> float32 NCHW as it takes them. UsageError for another form."""
    _, channels, height, width = network.input_shape
    if pictures.dtype != np.uint8 or pictures.shape[1:] != (height, width, channels) or not len(pictures):
        found = f"pictures of {pictures.dtype} {pictures.shape}"
        raise UsageError(found, expected=f"uint8 (N, {height}, {width}, {channels}), at least one")
    values = (pictures.astype(np.float32) - np.float32(network.mean)) / np.float32(network.std)
    return np.ascontiguousarray(values.transpose(0, 3, 1, 2))


def run_float(network: Network, pictures: Image, wanted: Sequence[str] = ()) -> dict[str, list[Floats]]:
    """Tensors of the float network (its outputs, or those wanted), an array for each picture."""
    runner = OnnxRuntimeRunner(network)
    values = as_input(network, pictures)
    made = [runner.run({network.input_name: values[i : i + 1]}, wanted) for i in range(len(values))]
    return {name: [run[name] for run in made] for name in made[0]}


def observe(network: Network, pictures: Image, *, seed: int = 0) -> dict[str, Observation]:
    """Run the float network and look at what each of its steps makes (convert.quantise.form.steps).

    ModelError where a tensor is not finite: no grid holds it.
    """
    names = [(last or node).output for node, last in steps(network)]
    runner = OnnxRuntimeRunner(network)
    values = as_input(network, pictures)
    generator = np.random.default_rng(seed)
    share = -(-SAMPLES // len(values))
    parts: dict[str, list[Observation]] = {name: [] for name in names}
    for index in range(len(values)):
        made = runner.run({network.input_name: values[index : index + 1]}, names)
        for name in names:
            parts[name].append(_seen(name, made[name], share, generator))
    return {name: _together(found) for name, found in parts.items()}


def _seen(name: str, value: Floats, share: int, generator: np.random.Generator) -> Observation:
    flat = value[0].reshape(value.shape[1], -1)
    if not np.isfinite(flat).all():
        raise ModelError(f"tensor {name} is not finite on a calibration picture", expected="numbers")
    places = generator.integers(flat.shape[1], size=min(share, flat.shape[1]))
    return Observation(flat.min(1), flat.max(1), flat[:, places])


def _together(parts: Sequence[Observation]) -> Observation:
    return Observation(
        np.min([part.low for part in parts], axis=0),
        np.max([part.high for part in parts], axis=0),
        np.concatenate([part.samples for part in parts], axis=1),
    )


def rescaled_observations(
    observations: Observations, ties: Sequence[Tie], factors: Sequence[Array]
) -> dict[str, Observation]:
    """What would be seen in the network that `convert.quantise.channels.rescaled` makes with these factors."""
    by_tensor = {name: factor for tie, factor in zip(ties, factors, strict=True) for name in tie.tensors}
    return {name: seen.scaled(by_tensor[name]) if name in by_tensor else seen for name, seen in observations.items()}
