"""Network -> ONNX file: the exchange format, and what OpenCV reads (4.8 and later, 5)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from convert.network import Network
from convert.onnx_model import LARGEST_FILE, PREFIX, import_onnx_package, model_of
from convert.passes.batch import with_batch
from convert.passes.explicit import with_explicit_windows
from convert.passes.opencv import readable_by_opencv
from convert.shapes import inferred
from convert.targets.base import Options
from edge.errors import ModelError


def to_onnx(network: Network, batch: int | None = 1) -> Any:
    """An onnx.ModelProto, opset 13, checked, with the shape of every tensor; `batch` None leaves the batch open.

    What the input expects of a pixel is not part of the graph: it stands in the metadata, `ostiary.mean` and `ostiary.std`.
    """
    onnx = import_onnx_package("writing an ONNX model")
    written = readable_by_opencv(with_explicit_windows(with_batch(network, batch)))
    model = model_of(_without_unread(written))
    if model.ByteSize() > LARGEST_FILE:
        raise ModelError(f"{model.ByteSize()} bytes", expected=f"at most {LARGEST_FILE}, what a protocol buffer holds")
    onnx.helper.set_model_props(model, {f"{PREFIX}mean": repr(network.mean), f"{PREFIX}std": repr(network.std)})
    try:
        model = inferred(model)
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError as error:
        reason = " ".join(str(error).split())[:300]
        raise ModelError(f"cannot be written as ONNX ({reason})") from error
    return model


def write_onnx(network: Network, path: Path, options: Options) -> list[Path]:
    """Write `path`, the same bytes for the same network. Nothing is left behind where that fails."""
    data = to_onnx(network, options.batch).SerializeToString(deterministic=True)
    draft = path.with_name(f"{path.name}.part")
    try:
        draft.write_bytes(data)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    return [path]


def _without_unread(network: Network) -> Network:
    read = {name for node in network.nodes for name in node.inputs} | set(network.outputs)
    kept = {name: value for name, value in network.constants.items() if name in read}
    return replace(network, constants=kept)
