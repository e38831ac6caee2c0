"""TFLite files in the runtime that a device would use; real numbers and NCHW outside, whatever the file has inside."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from convert.network import Array, Floats, Port
from convert.runners.base import Feeds, Outputs
from convert.runners.layout import shape_to_nchw, to_nchw, to_nhwc
from edge.bundle.manifest import Quantisation
from edge.errors import ModelError
from edge.interpreter import open_interpreter, rehearse
from edge.quant import LIMITS, dequantise, quantise

_HINT = "The file may be damaged, or made for a newer runtime: build it again."


class TfliteRunner:
    """Runs a TFLite file; several inputs and outputs, float or integer. Not for several threads at once."""

    def __init__(self, path: Path, *, threads: int = 1, runtime: str = "auto") -> None:
        """ModelError where the file cannot be read, loaded or run once; a file that would kill the process kills a child."""
        self.path = path
        self._threads = threads
        self._runtime = runtime
        died = rehearse(lambda: open_interpreter(path, threads=1, runtime=runtime))
        if died:
            raise ModelError(f"the TFLite runtime refuses it: {died}", where=str(path), hint=_HINT)
        self._name, self._interpreter = open_interpreter(path, threads=threads, runtime=runtime)
        self._inner: Any = None
        self._inputs = {str(detail["name"]): detail for detail in self._interpreter.get_input_details()}
        self._outputs = {str(detail["name"]): detail for detail in self._interpreter.get_output_details()}
        self._computed = computed_tensors(self._interpreter)

    @property
    def label(self) -> str:
        """`ai-edge-litert 2.1.0`."""
        return f"{self._name} {importlib.metadata.version(self._name)}"

    @property
    def inputs(self) -> tuple[Port, ...]:
        """What it takes, NCHW; an integer input that has a scale is fed with real numbers."""
        return tuple(_port(name, detail) for name, detail in self._inputs.items())

    @property
    def outputs(self) -> tuple[str, ...]:
        """What it gives."""
        return tuple(self._outputs)

    @property
    def tensors(self) -> tuple[str, ...]:
        """What every operator makes, in their order."""
        return tuple(self._computed)

    @property
    def precision(self) -> str:
        """float32, float16, dynamic, int8 or uint8: what the input is, and what the weights are."""
        return _precision(list(self._inputs.values()), self._interpreter.get_tensor_details())

    @property
    def aliases(self) -> Mapping[str, str]:
        """Tensor name -> name in the only signature, which keeps the names of the source; empty where there is none."""
        signatures = self._interpreter.get_signature_list()
        if len(signatures) != 1:
            return {}
        runner = self._interpreter.get_signature_runner(next(iter(signatures)))
        details = {**runner.get_input_details(), **runner.get_output_details()}
        return {str(detail["name"]): str(alias) for alias, detail in details.items()}

    def run(self, feeds: Feeds, wanted: Sequence[str] = ()) -> Outputs:
        """float32 arrays by name, dequantised, NCHW: the outputs, or the tensors `wanted`.

        Inner tensors come from the runtime's own kernels, without a delegate, which shows none of them.
        """
        names = tuple(wanted) or self.outputs
        unknown = [name for name in names if name not in self._computed and name not in self._outputs]
        if unknown:
            raise ModelError(f"no tensor {', '.join(unknown)}", where=str(self.path))
        interpreter = self._interpreter if set(names) <= set(self._outputs) else self._preserving()
        self._feed(interpreter, feeds)
        self._invoke(interpreter)
        details = {**self._computed, **self._outputs}
        return {
            name: to_nchw(real_values(interpreter.get_tensor(details[name]["index"]), details[name])) for name in names
        }

    def prepared(self, feeds: Feeds) -> Callable[[], object]:
        """Hand over the quantised NHWC input, invoke, take the outputs as they are."""
        self._feed(self._interpreter, feeds)
        self._invoke(self._interpreter)
        interpreter = self._interpreter
        given = [(detail["index"], _stored(feeds[name], detail)) for name, detail in self._inputs.items()]
        taken = [detail["index"] for detail in self._outputs.values()]

        def act() -> None:
            for index, value in given:
                interpreter.set_tensor(index, value)
            interpreter.invoke()
            for index in taken:
                interpreter.get_tensor(index)

        return act

    def _preserving(self) -> Any:
        if self._inner is None:
            _, self._inner = open_interpreter(
                self.path, threads=self._threads, runtime=self._runtime, keep_tensors=True
            )
        return self._inner

    def _feed(self, interpreter: Any, feeds: Feeds) -> None:
        if set(feeds) != set(self._inputs):
            found = f"fed with {', '.join(sorted(feeds)) or 'nothing'}"
            raise ModelError(found, where=str(self.path), expected=", ".join(self._inputs))
        values = {name: _stored(feeds[name], detail) for name, detail in self._inputs.items()}
        shapes = {int(detail["index"]): tuple(detail["shape"]) for detail in interpreter.get_input_details()}
        try:
            for name, value in values.items():
                if shapes[self._inputs[name]["index"]] != value.shape:
                    interpreter.resize_tensor_input(self._inputs[name]["index"], value.shape, strict=True)
            interpreter.allocate_tensors()
            for name, value in values.items():
                interpreter.set_tensor(self._inputs[name]["index"], value)
        except (ValueError, RuntimeError) as error:
            expected = ", ".join(f"{port.name} {list(port.shape)}" for port in self.inputs)
            raise ModelError(
                f"takes no input of this shape ({_brief(error)})", where=str(self.path), expected=expected
            ) from error

    def _invoke(self, interpreter: Any) -> None:
        try:
            interpreter.invoke()
        except (ValueError, RuntimeError) as error:
            raise ModelError(
                f"{self.label} cannot run it ({_brief(error)})", where=str(self.path), hint=_HINT
            ) from error


def computed_tensors(interpreter: Any) -> dict[str, dict[str, Any]]:
    """Name -> detail of what each operator makes, in order. A name that comes twice gets `#index` behind it."""
    by_index = {int(detail["index"]): detail for detail in interpreter.get_tensor_details()}
    made: dict[str, dict[str, Any]] = {}
    # The only list of operators that either runtime gives; both have it under this name.
    for operator in interpreter._get_ops_details():  # noqa: SLF001
        # What a delegate makes is made by the operators that it stands for, too.
        for index in operator["outputs"] if operator["op_name"] != "DELEGATE" else ():
            detail = by_index.get(int(index))
            if detail is None:
                continue
            name = str(detail["name"])
            made[f"{name}#{index}" if name in made else name] = detail
    return made


def real_values(value: Array, detail: Mapping[str, Any]) -> Floats:
    """What a tensor of any dtype stands for: (value - zero point) * scale, one scale or one for each channel."""
    parameters = detail["quantization_parameters"]
    scales, zeros = parameters["scales"], parameters["zero_points"]
    if not len(scales):
        return np.asarray(value, np.float32)
    if len(scales) == 1 and value.dtype.name in LIMITS:
        return dequantise(value, _quantisation(value.dtype.name, scales, zeros))
    shape = [1] * value.ndim
    if len(scales) > 1:
        shape[int(parameters["quantized_dimension"])] = len(scales)
    whole = value.astype(np.int64) - np.reshape(zeros, shape)
    return np.asarray(whole * np.reshape(scales, shape).astype(np.float64), np.float32)


def _stored(value: Array, detail: Mapping[str, Any]) -> Array:
    """NCHW real numbers -> NHWC in the dtype of the file."""
    dtype = np.dtype(detail["dtype"])
    turned = to_nhwc(np.asarray(value))
    parameters = detail["quantization_parameters"]
    if dtype.name in LIMITS and len(parameters["scales"]) == 1:
        return quantise(turned, _quantisation(dtype.name, parameters["scales"], parameters["zero_points"]))
    if dtype.kind in "iu" and len(parameters["scales"]) == 1:
        limits = np.iinfo(dtype)
        steps = np.round(turned / float(parameters["scales"][0])) + int(parameters["zero_points"][0])
        return np.clip(steps, limits.min, limits.max).astype(dtype)
    return np.ascontiguousarray(turned, dtype)


def _quantisation(dtype: str, scales: Array, zeros: Array) -> Quantisation:
    try:
        return Quantisation(dtype, float(scales[0]), int(zeros[0]))
    except ValueError as error:
        raise ModelError(f"a tensor has {error}", hint=_HINT) from error


def _port(name: str, detail: Mapping[str, Any]) -> Port:
    signature = detail.get("shape_signature", detail["shape"])
    sizes = signature if len(signature) == len(detail["shape"]) else detail["shape"]
    shape = tuple(int(size) if size > 0 else None for size in sizes)
    is_real = len(detail["quantization_parameters"]["scales"]) > 0
    return Port(name, shape_to_nchw(shape), "float32" if is_real else np.dtype(detail["dtype"]).name)


def _precision(inputs: Sequence[Mapping[str, Any]], details: Sequence[Mapping[str, Any]]) -> str:
    quantised = [detail for detail in inputs if len(detail["quantization_parameters"]["scales"])]
    if quantised:
        return str(np.dtype(quantised[0]["dtype"]).name)
    scaled = {np.dtype(detail["dtype"]).name for detail in details if len(detail["quantization_parameters"]["scales"])}
    if scaled & {"int8", "uint8", "int16"}:
        return "dynamic"
    return "float16" if any(np.dtype(detail["dtype"]) == np.float16 for detail in details) else "float32"


def _brief(error: BaseException) -> str:
    return " ".join(str(error).split())[:300]
