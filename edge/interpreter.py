"""The only place that knows which TFLite runtime is installed.

ai-edge-litert and tflite-runtime have the same interface. Both write to standard error from C++, and what they write
there is the only explanation of a refused model: it is caught while a model is loaded and put into the error.
"""

from __future__ import annotations

import contextlib
import faulthandler
import importlib
import os
import signal
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.bundle.manifest import Quantisation
from edge.errors import MissingDependencyError, ModelError

RUNTIMES = {"ai-edge-litert": "ai_edge_litert.interpreter", "tflite-runtime": "tflite_runtime.interpreter"}
"""Preferred first."""

_REHEARSAL_S = 20
_IDENTIFIER = b"TFL3"
"""Bytes 4 to 8 of every TFLite flatbuffer (schema.fbs: file_identifier)."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """An input or output of a network."""

    name: str
    index: int
    shape: tuple[int, ...]
    quantisation: Quantisation


def installed_runtimes() -> list[str]:
    """Names of the runtimes that import here, preferred first."""
    return [name for name, module in RUNTIMES.items() if _importable(module)]


def _importable(module: str) -> bool:
    try:
        importlib.import_module(module)
    except ImportError:
        return False
    return True


class TfliteModel:
    """A loaded TFLite network, ready to run. ModelError when it is truncated, needs an unknown operator, or fails a first run."""

    def __init__(self, path: Path, *, threads: int = 1, runtime: str = "auto") -> None:
        self.path = path
        self.runtime, self._interpreter = open_interpreter(path, threads=threads, runtime=runtime)
        self.inputs = tuple(_tensor(path, detail) for detail in self._interpreter.get_input_details())
        self.outputs = tuple(_tensor(path, detail) for detail in self._interpreter.get_output_details())
        if len(self.inputs) != 1 or not self.outputs:
            found = f"{len(self.inputs)} inputs and {len(self.outputs)} outputs"
            raise ModelError(found, where=str(path), expected="one input, and at least one output")

    def run(self, values: NDArray[Any], output: int = 0) -> NDArray[Any]:
        """The only input -> copy of one of `outputs`, in the network's own dtypes and shapes."""
        self._interpreter.set_tensor(self.inputs[0].index, values)
        self._interpreter.invoke()
        return np.asarray(self._interpreter.get_tensor(self.outputs[output].index))


def open_interpreter(
    path: Path, *, threads: int = 1, runtime: str = "auto", keep_tensors: bool = False
) -> tuple[str, Any]:
    """Name of the runtime, and its Interpreter of the file, allocated and run once; ModelError where that fails.

    `keep_tensors` keeps what is between inputs and outputs, too; no delegate then takes the network, as XNNPACK shows
    nothing of the nodes that it takes.
    """
    name, module = _choose(runtime)
    _check_identifier(path)
    if name == "tflite-runtime":
        _rehearse(module, path)
    log: list[str] = []
    try:
        with caught_stderr(log):
            return name, _loaded(module, path, threads, keep_tensors=keep_tensors)
    except (ValueError, RuntimeError, MemoryError) as error:
        raise _refused(path, name, f"{error} {' '.join(log)}") from error


def _choose(runtime: str) -> tuple[str, Any]:
    wanted = list(RUNTIMES) if runtime == "auto" else [runtime]
    for name in wanted:
        if _importable(RUNTIMES[name]):
            return name, importlib.import_module(RUNTIMES[name])
    extra = "tflite-runtime" if runtime == "tflite-runtime" else "litert"
    package = " or ".join(wanted)
    raise MissingDependencyError(package, extra=extra, purpose="the embedder")


def _loaded(module: Any, path: Path, threads: int, *, keep_tensors: bool = False) -> Any:
    options: dict[str, Any] = {}
    if keep_tensors:
        resolver = module.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        options = {"experimental_preserve_all_tensors": True, "experimental_op_resolver_type": resolver}
    interpreter = module.Interpreter(model_path=str(path), num_threads=threads, **options)
    interpreter.allocate_tensors()
    interpreter.invoke()
    return interpreter


def _rehearse(module: Any, path: Path) -> None:
    """tflite-runtime 2.14 does not verify the flatbuffer, and dies of a truncated one."""
    died = rehearse(lambda: _loaded(module, path, 1))
    if died:
        raise _refused(path, "tflite-runtime", died)


def rehearse(action: Callable[[], object]) -> str:
    """Do it in a forked child first: how it ended the process ("it crashes (signal 11)"), or "" where it returned or raised.

    For C++ code that a damaged file may kill.
    """
    with warnings.catch_warnings():
        # Python 3.12 warns of a fork beside threads; the child takes no lock and leaves by _exit.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        # Its death is foreseen: no traceback on the terminal.
        faulthandler.disable()
        # A damaged file may also send it round in circles.
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(_REHEARSAL_S)
        with contextlib.suppress(BaseException), caught_stderr([]):
            action()
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if not os.WIFSIGNALED(status):
        return ""
    number = os.WTERMSIG(status)
    return f"no end within {_REHEARSAL_S} s" if number == signal.SIGALRM else f"it crashes (signal {number})"


def _check_identifier(path: Path) -> None:
    try:
        with path.open("rb") as handle:
            head = handle.read(8)
    except OSError as error:
        raise ModelError(f"cannot be read ({error.strerror})", where=str(path), expected="a TFLite model") from error
    if head[4:8] != _IDENTIFIER:
        hint = "Is it another kind of file, or a download that broke off?"
        raise ModelError("not a TFLite model", where=str(path), expected="the identifier TFL3", hint=hint)


def _refused(path: Path, runtime: str, said: str) -> ModelError:
    text = " ".join(said.split())
    hint = (
        "The file may be truncated, or made for a newer runtime: copy it again, or build the bundle for this runtime."
    )
    return ModelError(f"{runtime} refuses it: {text[:400]}", where=str(path), hint=hint)


def _tensor(path: Path, detail: dict[str, Any]) -> Tensor:
    scale, zero_point = detail["quantization"]
    dtype = np.dtype(detail["dtype"]).name
    if dtype not in {"float32", "uint8", "int8"}:
        raise ModelError(f"tensor {detail['name']} is {dtype}", where=str(path), expected="float32, uint8 or int8")
    try:
        quantisation = Quantisation(dtype) if dtype == "float32" else Quantisation(dtype, float(scale), int(zero_point))
    except ValueError as error:
        raise ModelError(f"tensor {detail['name']} has {error}", where=str(path)) from error
    return Tensor(str(detail["name"]), int(detail["index"]), tuple(int(n) for n in detail["shape"]), quantisation)


@contextlib.contextmanager
def caught_stderr(lines: list[str]) -> Iterator[None]:
    """What C++ code writes to descriptor 2 while the block runs goes to `lines` instead of the terminal."""
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as sink:
        os.dup2(sink.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            sink.seek(0)
            lines.extend(sink.read(20_000).decode("utf-8", "replace").splitlines())
