"""Network -> TFLite: float32, float16, dynamic range, int8, uint8, and the old per-tensor uint8."""

from __future__ import annotations

from pathlib import Path

from convert.network import Network
from convert.targets.base import Options, Target
from convert.targets.tflite.calibration import Progress
from convert.targets.tflite.describe import TensorView, TfliteView, describe_tflite
from convert.targets.tflite.legacy import INACCURATE, legacy_bytes
from convert.targets.tflite.legacy import NAME as LEGACY
from convert.targets.tflite.precisions import DYNAMIC, FLOAT16, FLOAT32, INT8, UINT8
from convert.targets.tflite.versions import oldest_runtime_faults
from convert.targets.tflite.writing import tflite_bytes
from convert.tensorflow import import_tensorflow

__all__ = [
    "INACCURATE",
    "LEGACY",
    "TARGETS",
    "TensorView",
    "TfliteView",
    "describe_tflite",
    "import_tensorflow",
    "oldest_runtime_faults",
    "tflite_target",
    "to_float",
]

PRECISIONS = {precision.name: precision for precision in (FLOAT32, FLOAT16, DYNAMIC, INT8, UINT8)}


def tflite_target(name: str, *, progress: Progress | None = None) -> Target:
    """The target of that name. `progress` is told of calibration: examples done, examples in all."""

    def write(network: Network, path: Path, options: Options) -> list[Path]:
        data = _made(name, network, options, progress)
        path.write_bytes(data)
        return [path]

    return write


def _made(name: str, network: Network, options: Options, progress: Progress | None) -> bytes:
    if name == LEGACY:
        return legacy_bytes(network, options)
    return tflite_bytes(network, options, PRECISIONS[name], progress)


TARGETS: dict[str, Target] = {name: tflite_target(name) for name in (*PRECISIONS, LEGACY)}


def to_float(network: Network) -> bytes:
    """A float32 TFLite file. Its input is NHWC and holds (pixel - network.mean) / network.std."""
    return tflite_bytes(network, Options(), FLOAT32)
