"""The reference of a TFLite network: the runtime itself, on the file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from convert.importers.nhwc.builder import TURNED, Axes, straight
from convert.network import Array, Network
from convert.runners.base import Feeds, OfNetwork, Outputs
from convert.runners.layout import to_nhwc
from convert.runners.tflite import TfliteRunner
from edge.errors import ModelError


class TfliteReference(OfNetwork):
    """A TFLite file with the inputs, outputs and layouts of the network that was made of it.

    The runtime is started when it is first needed: a file is looked at without it.
    """

    def __init__(self, path: Path, network: Network, layouts: Mapping[str, Axes]) -> None:
        self._path = path
        super().__init__(network)
        self._layouts = layouts
        self._runner: TfliteRunner | None = None

    @property
    def label(self) -> str:
        """The runtime and its version."""
        return self._opened().label

    @property
    def tensors(self) -> tuple[str, ...]:
        """What both compute under one name."""
        there = set(self._opened().tensors)
        return tuple(name for name in self._network.tensors() if name in there)

    def run(self, feeds: Feeds, wanted: Sequence[str] = ()) -> Outputs:
        """float32 arrays by name; see `Runner`."""
        runner = self._opened()
        missing = sorted(set(feeds) ^ {port.name for port in runner.inputs})
        if missing:
            raise ModelError(f"inputs {', '.join(missing)} differ from the file's", where=str(self._path))
        made = runner.run(feeds, tuple(wanted) or self.outputs)
        return {name: self._arranged(name, value) for name, value in made.items()}

    def _arranged(self, name: str, value: Array) -> Array:
        """The runner turns whatever has four axes; the network does so with pictures alone."""
        axes = self._layouts.get(name)
        if value.ndim == 4:
            if axes == TURNED:
                return value
            value = to_nhwc(value)
        if axes is None or len(axes) != value.ndim or axes == straight(value.ndim):
            return value
        return np.ascontiguousarray(value.transpose(axes))

    def _opened(self) -> TfliteRunner:
        if self._runner is None:
            self._runner = TfliteRunner(self._path)
        return self._runner
