"""Files of Keras, HDF5 (.h5) and zip (.keras): configuration and weights, checked before anything in them is believed."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from convert.importers.formats import HDF5_MAGIC
from convert.importers.safe_pickle.archive import entry_bytes, open_archive
from convert.network import Array
from edge.errors import MissingDependencyError, ModelError, UsageError

_LARGEST_FILE = 2 << 30
_LARGEST_CONFIG = 64 << 20
_MOST_OBJECTS = 200_000
_DEEPEST = 100
_INFLATION = 20
"""How much larger than the file its compressed entries may be: weights hardly compress at all."""
_AGAIN = "Copy the file again, or save the model again."
_WHOLE = "Save the whole model (model.save), or export it as a SavedModel (model.export)."
_FAULTS = (
    OSError,
    KeyError,
    ValueError,
    TypeError,
    RuntimeError,
    AttributeError,
    UnicodeError,
    MemoryError,
    OverflowError,
)


@dataclass(frozen=True, slots=True, eq=False)
class KerasFile:
    """A model as it is in its file."""

    config: Any
    by_layer: dict[str, list[Array]]
    """Weights of the .h5 format: layer -> its arrays, in order."""
    weights: bytes = b""
    """model.weights.h5 of the .keras format."""
    version: str = ""


def read_keras_file(path: Path) -> KerasFile:
    """ModelError where it is damaged, hostile, or holds weights alone."""
    where = str(path)
    try:
        if path.stat().st_size > _LARGEST_FILE:
            raise ModelError(f"{path.stat().st_size} bytes", where=where, expected="at most 2 GiB")
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot be read ({error.strerror})", where=where, expected="a .h5 or .keras file") from error
    if data.startswith(HDF5_MAGIC):
        read: KerasFile = _guarded(lambda: _read_h5(data, where), where)
        return read
    return _read_zip(data, where)


def _guarded(act: Callable[[], Any], where: str) -> Any:
    try:
        return act()
    except _FAULTS as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise ModelError(f"a damaged HDF5 file ({reason})", where=where, hint=_AGAIN) from error


def _open(data: bytes) -> Any:
    try:
        import h5py
    except ImportError as error:
        raise MissingDependencyError("h5py", extra="convert", purpose="reading a Keras file") from error
    return h5py.File(io.BytesIO(data), "r")


def _read_zip(data: bytes, where: str) -> KerasFile:
    archive = open_archive(data, where, most_inflated=min(_LARGEST_FILE, _INFLATION * len(data) + (1 << 20)))
    names = set(archive.namelist())
    if "config.json" not in names or "model.weights.h5" not in names:
        raise ModelError(
            "a zip archive without config.json and model.weights.h5", where=where, expected="what model.save wrote",
            hint=_WHOLE,
        )  # fmt: skip
    if archive.getinfo("config.json").file_size > _LARGEST_CONFIG:
        raise ModelError("a configuration of more than 64 MiB", where=where)
    weights = entry_bytes(archive, "model.weights.h5", where)
    _guarded(lambda: _check_h5(weights, where), where)
    version = _json(entry_bytes(archive, "metadata.json", where), where) if "metadata.json" in names else {}
    written = str(version.get("keras_version", ""))[:20] if isinstance(version, dict) else ""
    return KerasFile(_json(entry_bytes(archive, "config.json", where), where), {}, weights, written)


def _json(text: bytes | str, where: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ModelError(
            f"a configuration that is not sound JSON ({str(error)[:100]})", where=where, hint=_AGAIN
        ) from error


def _check_h5(data: bytes, where: str) -> None:
    with _open(data) as file:
        for _ in _datasets(file, where):
            pass


def _read_h5(data: bytes, where: str) -> KerasFile:
    with _open(data) as file:
        datasets = dict(_datasets(file, where))
        config = _attribute(file, "model_config", where)
        if config is None:
            raise ModelError(
                "weights without a network", where=where, expected="a whole model (model.save)",
                hint=f"{_WHOLE} Weights alone (model.save_weights) do not say what the layers are.",
            )  # fmt: skip
        group = file.get("model_weights", file)
        by_layer = {name: _arrays(group, name, datasets, where) for name in _texts(group, "layer_names", where)}
        version = _attribute(group, "keras_version", where) or _attribute(file, "keras_version", where) or ""
        return KerasFile(_json(config, where), by_layer, version=str(version)[:20])


def _datasets(file: Any, where: str) -> Iterator[tuple[str, Any]]:
    """Every dataset by its path; none that is elsewhere, or larger than the file can hold."""
    import h5py

    size, total, count = int(file.id.get_filesize()), 0, 0
    waiting: list[tuple[str, Any, int]] = [("", file, 0)]
    while waiting:
        path, group, depth = waiting.pop()
        for name in group:
            link, inner = group.get(name, getlink=True), f"{path}/{name}"
            count += 1
            if not isinstance(link, h5py.HardLink):
                raise ModelError(f"{inner!r} is a link to elsewhere: refused", where=where)
            if count > _MOST_OBJECTS or depth > _DEEPEST:
                raise ModelError("groups within groups without end", where=where)
            found = group[name]
            if isinstance(found, h5py.Group):
                waiting.append((inner, found, depth + 1))
            elif isinstance(found, h5py.Dataset):
                _check_dataset(found, inner, where)
                total += math.prod(found.shape or ()) * found.dtype.itemsize
                yield inner.strip("/"), found
    if total > _INFLATION * size + (1 << 20):
        raise ModelError(f"{total} bytes of weights in a file of {size}: refused", where=where)


def _check_dataset(found: Any, path: str, where: str) -> None:
    if found.external or found.is_virtual:
        raise ModelError(f"{path!r} is stored in another file: refused", where=where)
    if found.dtype.kind not in "fiub" or found.dtype.hasobject:
        # Keras 3 keeps a few texts beside the weights of some layers; nothing reads them here.
        if found.size and found.size > 1 << 16:
            raise ModelError(f"{path!r} holds {found.dtype}", where=where, expected="numbers")
        return
    if found.size and found.size * found.dtype.itemsize > _LARGEST_FILE:
        raise ModelError(f"{path!r} of shape {found.shape}", where=where, expected="at most 2 GiB")


def _attribute(group: Any, name: str, where: str) -> str | None:
    """A text; None where it is not there."""
    values = _values(group, name, where)
    return values[0] if values else None


def _texts(group: Any, name: str, where: str) -> list[str]:
    """A list of texts, which Keras splits into name0, name1, ... where it is long."""
    if name in group.attrs:
        return _values(group, name, where)
    made: list[str] = []
    for index in range(_MOST_OBJECTS):
        if f"{name}{index}" not in group.attrs:
            break
        made.extend(_values(group, f"{name}{index}", where))
    return made


def _values(group: Any, name: str, where: str) -> list[str]:
    if name not in group.attrs:
        return []
    about = group.attrs.get_id(name)
    if math.prod(about.shape) * about.dtype.itemsize > _LARGEST_CONFIG:
        raise ModelError(f"attribute {name!r} of more than 64 MiB", where=where)
    values = np.ravel(np.asarray(group.attrs[name], object))
    return [each.decode("utf-8") if isinstance(each, bytes) else str(each) for each in values]


def _arrays(group: Any, layer: str, datasets: dict[str, Any], where: str) -> list[Array]:
    if layer not in group:
        raise ModelError(f"no weights of layer {layer!r}", where=where, hint=_AGAIN)
    inside = group[layer]
    made = []
    for name in _texts(inside, "weight_names", where):
        path = f"{inside.name}/{name}".strip("/")
        if path not in datasets:
            raise ModelError(f"no weights {path!r}", where=where, hint=_AGAIN)
        made.append(np.asarray(datasets[path][()], np.float32))
    return made
