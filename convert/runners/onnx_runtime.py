"""ONNX Runtime: the reference of an ONNX file, and of any Network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from convert.network import Array, Network, Port
from convert.onnx_model import LARGEST_FILE, import_onnx_package, model_of
from convert.runners.base import Feeds, Outputs
from convert.shapes import port_of
from edge.errors import MissingDependencyError, ModelError

Source = Network | Path | bytes


class OnnxRuntimeRunner:
    """Runs a Network, an ONNX file, or the bytes of one, on the CPU.

    Sessions are made when they are first needed: one for the outputs, one for the last choice of inner tensors.
    """

    def __init__(self, source: Source, *, threads: int = 1) -> None:
        """ModelError where `source` is no ONNX model; what it computes is looked at when it is run."""
        self._runtime = _import_onnxruntime()
        onnx = import_onnx_package("reading an ONNX file")
        self._threads = threads
        self._where = str(source) if isinstance(source, Path) else ""
        self._model = _loaded(onnx, source)
        # As the file is, so that data beside it is found; None where there is no file.
        self._file = source if isinstance(source, Path) else None
        constants = {tensor.name for tensor in self._model.graph.initializer}
        given = [value for value in self._model.graph.input if value.name not in constants]
        self._inputs = tuple(port_of(onnx, value) or Port(value.name, ()) for value in given)
        self._sessions: dict[tuple[str, ...], Any] = {}

    @property
    def label(self) -> str:
        """`onnxruntime 1.20.0`."""
        return f"onnxruntime {self._runtime.__version__}"

    @property
    def inputs(self) -> tuple[Port, ...]:
        """What it takes."""
        return self._inputs

    @property
    def outputs(self) -> tuple[str, ...]:
        """What it gives."""
        return tuple(value.name for value in self._model.graph.output)

    @property
    def tensors(self) -> tuple[str, ...]:
        """Every tensor that the nodes make, in their order."""
        return tuple(name for node in self._model.graph.node for name in node.output if name)

    def run(self, feeds: Feeds, wanted: Sequence[str] = ()) -> Outputs:
        """float32 arrays by name: the outputs, or the tensors `wanted`."""
        return {name: np.asarray(value, np.float32) for name, value in self.run_as_is(feeds, wanted).items()}

    def run_as_is(self, feeds: Feeds, wanted: Sequence[str] = ()) -> Outputs:
        """As `run`, in the dtypes of the file."""
        names = tuple(dict.fromkeys(wanted)) or self.outputs
        session = self._session(names)
        given = self._checked(feeds)
        try:
            values = session.run(list(names), given)
        except _faults(self._runtime) as error:
            raise ModelError(f"ONNX Runtime cannot run it ({_first_line(error)})", where=self._where) from error
        return dict(zip(names, values, strict=True))

    def prepared(self, feeds: Feeds) -> Callable[[], object]:
        """One run of the outputs, ready to be timed."""
        session, given, names = self._session(self.outputs), self._checked(feeds), list(self.outputs)
        return lambda: session.run(names, given)

    def _checked(self, feeds: Feeds) -> dict[str, Array]:
        names = [port.name for port in self._inputs]
        if set(feeds) != set(names):
            raise ModelError(
                f"fed with {', '.join(sorted(feeds)) or 'nothing'}", where=self._where, expected=", ".join(names)
            )
        return {port.name: np.ascontiguousarray(feeds[port.name], port.dtype) for port in self._inputs}

    def _session(self, names: tuple[str, ...]) -> Any:
        if names in self._sessions:
            return self._sessions[names]
        if not set(names) <= set(self.outputs):
            # Only the last choice of inner tensors is kept: a session holds a copy of all weights.
            self._sessions = {key: value for key, value in self._sessions.items() if key == self.outputs}
        options = self._runtime.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 4
        try:
            made = self._runtime.InferenceSession(self._source(names), options, providers=["CPUExecutionProvider"])
        except _faults(self._runtime) as error:
            raise ModelError(f"ONNX Runtime cannot load it ({_first_line(error)})", where=self._where) from error
        self._sessions[names] = made
        return made

    def _source(self, names: tuple[str, ...]) -> str | bytes:
        extra = [name for name in names if name not in self.outputs]
        unknown = sorted(set(extra) - set(self.tensors))
        if unknown:
            raise ModelError(f"no tensor {', '.join(unknown)}", where=self._where)
        if not extra and self._file is not None:
            return str(self._file)
        model = self._model
        if extra:
            onnx = import_onnx_package("reading an ONNX file")
            model = onnx.ModelProto()
            model.CopyFrom(self._model)
            model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in extra)
        return _serialised(model)


class ImportedRunner(OnnxRuntimeRunner):
    """ONNX Runtime on the imported network: shows what later steps lose, not whether the import is right."""

    @property
    def label(self) -> str:
        """ONNX Runtime and its version, and that it did not read the source."""
        return f"{super().label} on the imported network"


def _loaded(onnx: Any, source: Source) -> Any:
    from google.protobuf.message import DecodeError

    if isinstance(source, Network):
        return model_of(source)
    where = str(source) if isinstance(source, Path) else ""
    try:
        model = onnx.load_model_from_string(source) if isinstance(source, bytes) else onnx.load(str(source))
    except OSError as error:
        raise ModelError(f"cannot be read ({error.strerror})", where=where, expected="an ONNX file") from error
    except (DecodeError, ValueError, onnx.checker.ValidationError) as error:
        raise ModelError(f"not a sound ONNX file ({_first_line(error)})", where=where) from error
    if not model.graph.node:
        raise ModelError("not a sound ONNX file (no nodes)", where=where)
    return model


def _serialised(model: Any) -> bytes:
    if model.ByteSize() > LARGEST_FILE:
        raise ModelError(f"{model.ByteSize()} bytes", expected=f"at most {LARGEST_FILE}, what a protocol buffer holds")
    return bytes(model.SerializeToString())


def _import_onnxruntime() -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingDependencyError("onnxruntime", extra="convert", purpose="running an ONNX model") from error
    return onnxruntime


def _faults(runtime: Any) -> tuple[type[Exception], ...]:
    """What ONNX Runtime raises: its own classes have no common one but Exception."""
    own = vars(runtime.capi.onnxruntime_pybind11_state).values()
    found = [kind for kind in own if isinstance(kind, type) and issubclass(kind, Exception)]
    return (*found, RuntimeError, ValueError, TypeError)


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:300] if lines else type(error).__name__
