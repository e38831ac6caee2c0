"""How anything that computes a network is run: an original model in its own framework, or an artifact in a runtime."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, runtime_checkable

from convert.network import Array, Network, Port

Feeds = Mapping[str, Array]
Outputs = dict[str, Array]


class Runner(Protocol):
    """One loaded network.

    What goes in and out has the layout of convert.network (pictures NCHW) and real values: a runner whose file is NHWC or
    quantised turns axes, quantises and dequantises itself. Names are those of the file.
    """

    @property
    def label(self) -> str:
        """What runs it, with its version: `cv2.dnn 5.0.0`."""

    @property
    def inputs(self) -> tuple[Port, ...]:
        """What it takes."""

    @property
    def outputs(self) -> tuple[str, ...]:
        """What it gives, in the file's order."""

    @property
    def tensors(self) -> tuple[str, ...]:
        """Every tensor that can be asked for, in an order in which they are computed; the outputs alone where no other can."""

    def run(self, feeds: Feeds, wanted: Sequence[str] = ()) -> Outputs:
        """float32 arrays by name: the outputs, or the tensors `wanted`. ModelError where the runtime fails."""


class OfNetwork:
    """A runner of a source whose inputs and outputs are those of the network that was read of it."""

    def __init__(self, network: Network) -> None:
        self._network = network

    @property
    def inputs(self) -> tuple[Port, ...]:
        """What it takes."""
        return self._network.inputs

    @property
    def outputs(self) -> tuple[str, ...]:
        """What it gives."""
        return self._network.outputs


@runtime_checkable
class Timed(Protocol):
    """A runner that can be timed without what only the converter does: turning axes, quantising, dequantising."""

    def prepared(self, feeds: Feeds) -> Callable[[], object]:
        """What a device does for one picture that is ready: hand over the input, run, take the outputs as they are."""
