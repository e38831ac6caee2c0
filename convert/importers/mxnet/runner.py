"""The reference of an MXNet network: MXNet itself where it can be imported, else ONNX Runtime on what was imported."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from convert.network import Network
from convert.runners.base import Feeds, OfNetwork, Outputs, Runner
from convert.runners.onnx_runtime import ImportedRunner
from edge.errors import ModelError


def reference_runner(files: tuple[Path, Path], network: Network) -> Runner:
    """MXNet's last release needs NumPy before 1.24, so that mostly the imported network is its own reference."""
    try:
        mxnet = importlib.import_module("mxnet")
    except (ImportError, AttributeError, OSError):
        # AttributeError: what it takes from NumPy is no longer there.
        return ImportedRunner(network)
    return MxnetRunner(files, network, mxnet)


class MxnetRunner(OfNetwork):
    """A symbol with its parameters on MXNet's CPU."""

    def __init__(self, files: tuple[Path, Path], network: Network, mxnet: Any) -> None:
        self._mxnet = mxnet
        super().__init__(network)
        self._symbol = mxnet.sym.load(str(files[0]))
        saved = mxnet.nd.load(str(files[1]))
        self._saved = {name.split(":", 1)[-1]: value for name, value in saved.items()}

    @property
    def label(self) -> str:
        """MXNet and its version."""
        return f"mxnet {self._mxnet.__version__}"

    @property
    def tensors(self) -> tuple[str, ...]:
        """What both have: the network's other tensors are steps of one operator."""
        there = set(self._symbol.get_internals().list_outputs())
        return tuple(name for name in self._network.tensors() if name in there)

    def run(self, feeds: Feeds, wanted: Sequence[str] = ()) -> Outputs:
        """float32 arrays by name; see `Runner`."""
        names = list(wanted or self.outputs)
        try:
            values = self._computed(names, feeds)
        except self._mxnet.MXNetError as error:
            reason = str(error).strip().splitlines()[0]
            raise ModelError(f"MXNet cannot run it ({reason})", where=", ".join(names)) from error
        return {name: value.asnumpy().astype(np.float32) for name, value in zip(names, values, strict=True)}

    def _computed(self, names: list[str], feeds: Feeds) -> list[Any]:
        internals = self._symbol.get_internals()
        group = self._mxnet.sym.Group([internals[name] for name in names])
        given = {name: self._mxnet.nd.array(value) for name, value in feeds.items()}
        arguments = {name: self._saved.get(name, given.get(name)) for name in group.list_arguments()}
        # Labels are read by nothing, and yet must have a shape.
        shapes, _, _ = group.infer_shape_partial(**{name: value.shape for name, value in given.items()})
        for name, shape in zip(group.list_arguments(), shapes, strict=True):
            if arguments[name] is None:
                arguments[name] = self._mxnet.nd.zeros(shape)
        states = {name: self._saved[name] for name in group.list_auxiliary_states()}
        executor = group.bind(self._mxnet.cpu(), arguments, args_grad=None, grad_req="null", aux_states=states)
        return list(executor.forward(is_train=False))
