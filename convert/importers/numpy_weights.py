"""A .npy file with one pickled dict of weights, layer -> kind -> array, as davidsandberg/facenet has its MTCNN."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from convert.architectures import ARCHITECTURES, Architecture
from convert.architectures.mtcnn import from_numpy
from convert.importers.base import Imported, Request
from convert.importers.safe_pickle import read_npy_object
from convert.network import Array
from convert.runners.onnx_runtime import ImportedRunner
from edge.errors import ModelError, UsageError

Layers = dict[str, dict[str, Array]]


def import_numpy_weights(request: Request) -> Imported:
    """Read weights, and the architecture that they belong to: the one named, or the only one whose weights have these names.

    Nothing that the pickle says is executed. The reference is the network as built, run by ONNX Runtime: such a file has no
    framework of its own.
    """
    if len(request.files) != 1:
        raise UsageError(f"{len(request.files)} files", expected="one .npy file for each network")
    path = request.files[0]
    weights = from_numpy(read_layers(path))
    network = _architecture(weights, request.architecture, path).network(weights, str(path))
    if request.outputs:
        unknown = [name for name in request.outputs if name not in network.outputs]
        if unknown:
            raise UsageError(f"no output {', '.join(unknown)}", where=str(path), expected=", ".join(network.outputs))
        network = network.with_outputs(request.outputs)
    notes = ("Kernels are turned: their first axis ran along x.",)
    return Imported("numpy", network, ImportedRunner(network), request.files, notes)


def read_layers(path: Path) -> Layers:
    """Layer -> kind -> float array. ModelError where the file holds anything else."""
    found = read_npy_object(path)
    if not isinstance(found, dict) or not found or not all(_is_layer(*item) for item in found.items()):
        raise ModelError(
            "no dict of layers",
            where=str(path),
            expected="{layer: {'weights': array, 'biases': array}}, as numpy.save writes it",
        )
    return found


def _is_layer(name: Any, kinds: Any) -> bool:
    if not isinstance(name, str) or not isinstance(kinds, dict):
        return False
    return all(
        isinstance(kind, str) and isinstance(value, np.ndarray) and value.dtype.kind == "f"
        for kind, value in kinds.items()
    )


def _architecture(weights: dict[str, Array], wanted: str, path: Path) -> Architecture:
    if wanted in ARCHITECTURES:
        return ARCHITECTURES[wanted]
    listed = ", ".join(ARCHITECTURES)
    if wanted:
        raise UsageError(f"no architecture {wanted!r}", where=str(path), expected=f"one of {listed}")
    fitting = [known for known in ARCHITECTURES.values() if known.keys <= weights.keys()]
    if len(fitting) != 1:
        hint = "Choose it with --architecture NAME."
        expected = f"those of one of {listed}"
        raise ModelError(f"weights {', '.join(list(weights)[:6])} ...", where=str(path), expected=expected, hint=hint)
    return fitting[0]
