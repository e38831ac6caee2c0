"""What runs a network: an original model in its own framework, or an artifact in a runtime."""

from __future__ import annotations

from pathlib import Path

from convert.runners.base import Runner
from edge.errors import UsageError

RUNTIMES = ("onnxruntime", "opencv", "tensorflow", "tflite")
_RUNTIMES_OF = {
    "tflite": ("tflite",),
    "onnx": ("onnxruntime", "opencv"),
    "frozen-graph": ("tensorflow", "opencv"),
    "saved-model": ("tensorflow",),
}
"""By format; the first is what runs it when none is asked for."""


def runtimes_of(path: Path) -> tuple[str, ...]:
    """The runtimes that can run this file as it is, the usual one first; none where it must be imported first.

    UsageError where there is no such file, ModelError where it is nothing known.
    """
    from convert.importers.formats import format_of

    return _RUNTIMES_OF.get(format_of((path,)), ())


def open_runner(path: Path, *, threads: int = 1, runtime: str = "") -> Runner:
    """The runner of a file, by its content; `runtime` is one of RUNTIMES where several could run it.

    UsageError where no runtime takes the file as it is, or not the one asked for; ModelError where the runtime refuses it.
    """
    possible = runtimes_of(path)
    chosen = runtime or next(iter(possible), "")
    if chosen not in possible:
        expected = f"one of {', '.join(possible)}" if possible else "ONNX, TFLite, a SavedModel or a frozen graph"
        problem = f"{runtime} does not run it" if runtime else "no runtime runs it as it is"
        raise UsageError(problem, where=str(path), expected=expected)
    if chosen == "tflite":
        from convert.runners.tflite import TfliteRunner

        return TfliteRunner(path, threads=threads)
    if chosen == "opencv":
        from convert.runners.opencv import OpenCvRunner

        text = path.with_suffix(".pbtxt")
        config = text if path.suffix == ".pb" and text.is_file() else None
        return OpenCvRunner(path, threads=threads, config=config)
    if chosen == "onnxruntime":
        from convert.runners.onnx_runtime import OnnxRuntimeRunner

        return OnnxRuntimeRunner(path, threads=threads)
    return _tensorflow(path, threads)


def _tensorflow(path: Path, threads: int) -> Runner:
    from convert.runners.tensorflow import open_tensorflow

    return open_tensorflow(path, threads=threads)
