"""Which format a file has: by its content where that tells, by its name where only that does."""

from __future__ import annotations

import zipfile
from pathlib import Path

from edge.errors import ModelError, UsageError

HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
TFLITE_MAGIC = b"TFL3"
MXNET_MAGIC = (0x112).to_bytes(8, "little")
NPY_MAGIC = b"\x93NUMPY"
KNOWN = (
    "an ONNX, GraphDef (.pb), TFLite, Keras (.h5, .keras), PyTorch (.pt, .pth, .ckpt, .pt2) or .npy file, a SavedModel folder, "
    "a TF1 checkpoint (NAME.meta), MXNet's NAME-symbol.json and NAME-0000.params, or Caffe's .prototxt and .caffemodel"
)


def format_of(files: tuple[Path, ...]) -> str:
    """The format of files that belong together, as a name of Imported.format. UsageError or ModelError where it cannot be told."""
    for path in files:
        if not path.exists() and not _is_checkpoint(path):
            raise UsageError("no such file or folder", where=str(path), expected=KNOWN)
    found = {kind for path in files if (kind := _kind(path))}
    if len(found) != 1:
        shown = ", ".join(path.name for path in files)
        if not found:
            raise ModelError("a format that is not known", where=shown, expected=KNOWN)
        raise UsageError(
            f"files of several formats: {', '.join(sorted(found))}", where=shown, expected="those of one model"
        )
    return found.pop()


def companions(path: Path) -> tuple[Path, ...]:
    """The path with what belongs to it by name: params of a symbol, the caffemodel of a prototxt, and the other way round."""
    name = path.name
    if name.endswith("-symbol.json"):
        others = sorted(path.parent.glob(f"{name.removesuffix('-symbol.json')}-*.params"))
        return (path, others[-1]) if others else (path,)
    if path.suffix == ".params":
        symbol = path.with_name(f"{path.stem.rpartition('-')[0]}-symbol.json")
        return (symbol, path) if symbol.exists() else (path,)
    other = {".prototxt": ".caffemodel", ".caffemodel": ".prototxt"}.get(path.suffix)
    if other is not None and path.with_suffix(other).exists():
        return (path, path.with_suffix(other))
    return (path,)


def _kind(path: Path) -> str:
    if path.is_dir():
        return _kind_of_folder(path)
    if _is_checkpoint(path):
        return "tf1-checkpoint"
    by_name = {".json": "mxnet", ".prototxt": "caffe", ".caffemodel": "caffe", ".onnx": "onnx", ".pb": "frozen-graph"}
    return _kind_by_content(path) or by_name.get(path.suffix.lower(), "") or _kind_by_name(path)


def _kind_of_folder(path: Path) -> str:
    if (path / "saved_model.pb").exists() or (path / "saved_model.pbtxt").exists():
        return "saved-model"
    if any(path.glob("*/saved_model.pb")):
        return "saved-model"
    return "tf1-checkpoint" if any(path.glob("*.meta")) or (path / "checkpoint").exists() else ""


def _is_checkpoint(path: Path) -> bool:
    if path.suffix in {".meta", ".index"} or ".data-0" in path.name:
        return True
    return any(Path(f"{path}{ending}").exists() for ending in (".meta", ".index"))


def _kind_by_content(path: Path) -> str:
    try:
        with path.open("rb") as handle:
            head = handle.read(16)
    except OSError as error:
        raise ModelError(f"cannot be read ({error.strerror})", where=str(path), expected=KNOWN) from error
    if head.startswith(HDF5_MAGIC):
        return "keras"
    if head[4:8] == TFLITE_MAGIC:
        return "tflite"
    if head.startswith(MXNET_MAGIC):
        return "mxnet"
    if head.startswith(NPY_MAGIC):
        return "numpy"
    return _kind_of_zip(path) if head.startswith(b"PK") else ""


def _kind_of_zip(path: Path) -> str:
    """Keras 3 files and PyTorch's archives both are zip files."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist()[:1000])
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        raise ModelError(f"a damaged zip archive ({error})", where=str(path), hint="Copy the file again.") from error
    return "keras" if {"config.json", "model.weights.h5"} & names else "pytorch"


def _kind_by_name(path: Path) -> str:
    return "pytorch" if path.suffix.lower() in {".pt", ".pth", ".ckpt", ".pt2", ".tar", ".bin"} else ""
