"""What a model file is, as far as can be told: its network where an importer reads it, and what only its format has."""

from __future__ import annotations

import glob
from collections.abc import Callable
from pathlib import Path
from typing import Any

from convert.importers import Request, open_source
from convert.importers.formats import format_of
from convert.inspection.summary import summarise
from convert.passes.tidy import tidy
from edge.errors import MissingDependencyError, OstiaryError

Details = dict[str, Any]


def inspect(request: Request) -> dict[str, Any]:
    """JSON-ready. Of a file that no importer can read, `problem` says why, and the rest is what can be said all the same.

    UsageError where there is no such file, ModelError where its format is not known.
    """
    kind = format_of(request.files)
    found: dict[str, Any] = {
        "format": kind,
        "files": {path.name: _bytes(path) for path in _all_files(kind, request.files)},
        "inputs": {}, "outputs": {}, "operators": {}, "parameters": None, "macs": None,
        "details": _details(kind, request.files), "licence": "", "notes": [],
    }  # fmt: skip
    try:
        imported = open_source(request, kind)
        found |= summarise(tidy(imported.network)).as_dict()
        found |= {"licence": imported.licence, "notes": list(imported.notes), "reference": imported.reference.label}
    except MissingDependencyError:
        raise
    except OstiaryError as error:
        if not found["details"]:
            raise
        found["problem"] = str(error)
    return found


def _all_files(kind: str, files: tuple[Path, ...]) -> list[Path]:
    """Those asked about; of a checkpoint its variables too, which lie in files of their own."""
    if kind != "tf1-checkpoint" or not files[0].is_file():
        return list(files)
    others = (
        path
        for end in ("index", "data-*")
        for path in sorted(files[0].parent.glob(f"{glob.escape(files[0].stem)}.{end}"))
    )
    return list(dict.fromkeys([*files, *others]))


def _bytes(path: Path) -> int:
    if path.is_dir():
        return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    return path.stat().st_size if path.exists() else 0


def _details(kind: str, files: tuple[Path, ...]) -> Details:
    describe = _DETAILS.get(kind)
    if describe is None:
        return {}
    try:
        return describe(files[0])
    except OstiaryError as error:
        # What reads bytes knows no name.
        error.where = error.where or str(files[0])
        raise


def _tflite(path: Path) -> Details:
    from convert.targets.tflite import describe_tflite, oldest_runtime_faults

    data = path.read_bytes()
    view = describe_tflite(data)
    faults = oldest_runtime_faults(data)
    return {
        "tensors": ", ".join(f"{count} {dtype}" for dtype, count in view.dtypes.items()),
        "quantisation": "; ".join(f"{tensor.name} {_quantised(tensor)}" for tensor in (*view.inputs, *view.outputs)),
        "tflite-runtime 2.14": "; ".join(faults) if faults else "knows every operator of it",
    }


def _quantised(tensor: Any) -> str:
    if not tensor.scales:
        return str(tensor.dtype)
    return f"{tensor.dtype}, scale {tensor.scales[0]:.6g}, zero point {tensor.zero_points[0]}"


def _checkpoint(path: Path) -> Details:
    from convert.importers.tensorflow.checkpoint import variables_of

    rows = [(name, "x".join(map(str, shape)) or "scalar", dtype) for name, shape, dtype in variables_of(path)]
    longest = max((len(name) for name, _, _ in rows), default=0)
    return {"variables": [f"{name:<{longest}}  {dtype}  {shape}" for name, shape, dtype in rows]}


def _saved_model(path: Path) -> Details:
    from convert.importers.tensorflow.saved_model import signatures_of

    return {"signatures": ", ".join(signatures_of(path))}


_DETAILS: dict[str, Callable[[Path], Details]] = {
    "tflite": _tflite,
    "tf1-checkpoint": _checkpoint,
    "saved-model": _saved_model,
}
