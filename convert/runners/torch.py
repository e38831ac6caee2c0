"""PyTorch: the reference of TorchScript and torch.export files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from convert.network import Port
from convert.runners.base import Feeds, Outputs
from edge.errors import MissingDependencyError, ModelError


def import_torch(purpose: str) -> Any:
    """The torch module. MissingDependencyError where it is not installed."""
    try:
        import torch
    except ImportError as error:
        raise MissingDependencyError("torch", extra="torch", purpose=purpose) from error
    return torch


class TorchRunner:
    """Runs what PyTorch loaded, on the CPU, without gradients. Inner tensors cannot be asked for."""

    def __init__(
        self,
        module: Callable[..., Any],
        inputs: tuple[Port, ...],
        results: tuple[str, ...],
        *,
        what: str,
        outputs: tuple[str, ...] = (),
    ) -> None:
        """`inputs` in the order of the module's arguments, `results` in that of what it gives, of which `outputs` are wanted.

        `what` it is, for the label: `TorchScript`.
        """
        self._torch = import_torch("running a PyTorch model")
        self._module = module
        self._inputs = inputs
        self._results = results
        self._outputs = outputs or results
        self._what = what

    @property
    def label(self) -> str:
        """`torch 2.5.0 (TorchScript)`."""
        return f"torch {self._torch.__version__} ({self._what})"

    @property
    def inputs(self) -> tuple[Port, ...]:
        """What it takes."""
        return self._inputs

    @property
    def outputs(self) -> tuple[str, ...]:
        """What it gives."""
        return self._outputs

    @property
    def tensors(self) -> tuple[str, ...]:
        """The results."""
        return self._results

    def run(self, feeds: Feeds, wanted: Sequence[str] = ()) -> Outputs:
        """float32 arrays by name."""
        unknown = sorted(set(wanted) - set(self._results))
        missing = sorted({port.name for port in self._inputs} ^ set(feeds))
        if unknown or missing:
            raise ModelError(
                f"{self.label} has no tensor {', '.join(unknown)}" if unknown else f"feeds differ in {missing}"
            )
        given = [self._torch.from_numpy(np.array(feeds[port.name], port.dtype)) for port in self._inputs]
        values = [np.asarray(value.detach().cpu().numpy(), np.float32) for value in self.results(*given)]
        if len(values) != len(self._results):
            raise ModelError(f"{self.label} gave {len(values)} results", expected=str(len(self._results)))
        made = dict(zip(self._results, values, strict=True))
        return {name: made[name] for name in wanted or self._outputs}

    def results(self, *tensors: Any) -> list[Any]:
        """Tensors that the module gives, tuples and dicts laid flat."""
        try:
            with self._torch.no_grad():
                return list(flat(self._module(*tensors), self._torch.Tensor))
        except (RuntimeError, TypeError, ValueError, IndexError, AssertionError) as error:
            lines = str(error).strip().splitlines() or [type(error).__name__]
            raise ModelError(f"{self.label} cannot run it ({lines[-1].strip()[:200]})") from error


def flat(result: Any, tensor: type) -> Iterator[Any]:
    """The tensors in nested tuples, lists and dicts, in order."""
    if isinstance(result, tensor):
        yield result
    elif isinstance(result, Mapping):
        for value in result.values():
            yield from flat(value, tensor)
    elif isinstance(result, tuple | list):
        for value in result:
            yield from flat(value, tensor)
