"""The two files of a Caffe network: prototxt says which layers there are, caffemodel holds their weights by layer name."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from convert.importers.caffe.schema import OLD_TYPES, Message, message_class
from convert.importers.formats import companions
from convert.network import Floats
from edge.errors import ModelError, UsageError

MAX_TEXT_BYTES = 4 << 20
"""Of a prototxt; ResNet-152 has a tenth of it. Read by a parser in Python."""
MAX_WEIGHTS_BYTES = 1 << 30
MAX_AXES = 8

_COPY_AGAIN = "Copy both files again; a prototxt and a caffemodel belong together."


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """A layer, old or new, with its weights."""

    name: str
    type: str
    bottoms: tuple[str, ...]
    tops: tuple[str, ...]
    message: Message
    """Its part of the prototxt."""
    blobs: tuple[Floats, ...] = ()

    def __str__(self) -> str:
        return f"{self.type} {self.name!r}"


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """Both files, parsed."""

    prototxt: Path
    caffemodel: Path
    net: Message
    layers: tuple[Layer, ...]


def read_source(files: Sequence[Path]) -> Source:
    """Read a prototxt and a caffemodel, given in any order, or one of them with the other beside it under the same name.

    UsageError when one is missing, ModelError when one cannot be parsed.
    """
    prototxt, caffemodel = _told_apart(files)
    net = _parsed_text(prototxt)
    weights = _weights(caffemodel)
    old = [_layer(raw, OLD_TYPES.get(raw.type, f"V1 type {raw.type}"), weights) for raw in net.layers]
    new = [_layer(raw, raw.type, weights) for raw in net.layer]
    if not old and not new:
        hint = "Give the prototxt that the network is deployed with."
        raise ModelError("no layers", where=str(prototxt), expected="a prototxt with `layer { ... }`", hint=hint)
    if old and new:
        raise ModelError("both `layers` and `layer`", where=str(prototxt), expected="one of them, as Caffe does")
    return Source(prototxt, caffemodel, net, tuple(old or new))


def _layer(raw: Any, kind: str, weights: dict[str, tuple[Floats, ...]]) -> Layer:
    return Layer(raw.name, kind, tuple(raw.bottom), tuple(raw.top), raw, weights.get(raw.name, ()))


def _told_apart(files: Sequence[Path]) -> tuple[Path, Path]:
    """(prototxt, caffemodel), by what is in them: suffixes vary."""
    if len(files) == 1:
        files = companions(files[0])
    texts = [path for path in files if _is_text(path)]
    others = [path for path in files if path not in texts]
    if len(texts) != 1 or len(others) != 1:
        found = ", ".join(path.name for path in files) or "none"
        hint = "Give both: NAME.prototxt NAME.caffemodel."
        raise UsageError(f"Caffe files: {found}", expected="one prototxt and one caffemodel", hint=hint)
    return texts[0], others[0]


def _is_text(path: Path) -> bool:
    start = _read(path, most=4096, whole=False)
    try:
        # A character may have been cut in two at the end.
        start[: start.rfind(b"\n") + 1 or None].decode()
    except UnicodeDecodeError:
        return False
    return b"\0" not in start


def _read(path: Path, *, most: int, whole: bool = True) -> bytes:
    try:
        size = path.stat().st_size
        if whole and size > most:
            raise ModelError(f"{size} bytes", where=str(path), expected=f"at most {most}")
        with path.open("rb") as handle:
            return handle.read(most)
    except OSError as error:
        expected = "a prototxt and a caffemodel"
        raise ModelError(f"cannot be read ({error.strerror})", where=str(path), expected=expected) from error


def _parsed_text(path: Path) -> Message:
    message = message_class("Net")()
    from google.protobuf import text_format

    try:
        text = _read(path, most=MAX_TEXT_BYTES).decode()
        with warnings.catch_warnings():
            # It warns of escapes that are none, and reads them.
            warnings.simplefilter("ignore", DeprecationWarning)
            text_format.Parse(text, message, allow_unknown_field=True, allow_unknown_extension=True)
    except (text_format.ParseError, UnicodeDecodeError, RecursionError, ValueError) as error:
        reason = str(error).strip().splitlines()[0][:200] or type(error).__name__
        raise ModelError(f"not a sound prototxt ({reason})", where=str(path), hint=_COPY_AGAIN) from error
    return message


def _weights(path: Path) -> dict[str, tuple[Floats, ...]]:
    message = message_class("Weights")()
    from google.protobuf.message import DecodeError

    try:
        message.ParseFromString(_read(path, most=MAX_WEIGHTS_BYTES))
    except (DecodeError, RuntimeError) as error:
        raise ModelError(f"not a whole caffemodel ({error})", where=str(path), hint=_COPY_AGAIN) from error
    layers = [*message.layers, *message.layer]
    if not layers:
        raise ModelError("no layers", where=str(path), expected="a caffemodel", hint=_COPY_AGAIN)
    return {
        layer.name: tuple(_blob(blob, f"{path}: layer {layer.name!r}") for blob in layer.blobs)
        for layer in layers
        if layer.blobs
    }


def _blob(blob: Any, where: str) -> Floats:
    """Numbers in the shape that is stored with them. ModelError where they do not fill it."""
    data, kind = (blob.data, "<f4") if blob.data or not blob.double_data else (blob.double_data, "<f8")
    raw = b"".join(data)
    sizes = list(blob.shape.dim) if blob.HasField("shape") else [blob.num, blob.channels, blob.height, blob.width]
    if len(sizes) > MAX_AXES or any(size < 0 for size in sizes):
        raise ModelError(f"weights of shape {sizes[:MAX_AXES]}", where=where, expected="sizes from 0")
    # In Python's whole numbers: a product in NumPy's could wrap around.
    count = 1
    for size in sizes:
        count *= size
    if len(raw) != count * np.dtype(kind).itemsize:
        found = f"{len(raw) // np.dtype(kind).itemsize} numbers for weights of shape {sizes}"
        raise ModelError(found, where=where, expected=f"{count} numbers", hint=_COPY_AGAIN)
    return np.frombuffer(raw, kind).astype(np.float32).reshape(sizes)
