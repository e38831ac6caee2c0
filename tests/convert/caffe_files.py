"""Caffe files made by the tests: a prototxt as text, and weights by layer name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from convert.importers.base import Imported, Request
from convert.importers.caffe import import_caffe
from convert.importers.caffe.schema import message_class

Weights = Mapping[str, Sequence[Any]]
SIZES = (1, 4, 9, 11)


def random(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng([seed, *shape]).normal(0, 0.5, shape).astype(np.float32)


def headed(layers: str, sizes: Sequence[int] = SIZES) -> str:
    """A whole prototxt: an input `data` before the layers."""
    dims = " ".join(f"dim: {size}" for size in sizes)
    return f'name: "test"\ninput: "data"\ninput_shape {{ {dims} }}\n{layers}'


def layer(
    kind: str, name: str = "it", *, bottom: str | Sequence[str] = "data", top: str = "out", more: str = ""
) -> str:
    bottoms = [bottom] if isinstance(bottom, str) else bottom
    reads = " ".join(f'bottom: "{each}"' for each in bottoms)
    return f'layer {{ name: "{name}" type: "{kind}" {reads} top: "{top}" {more} }}\n'


def caffemodel(weights: Weights, *, old: bool = False, four_axes: bool = False) -> bytes:
    """`old`: as V1 layers; `four_axes`: shapes as num, channels, height, width."""
    message = message_class("Weights")()
    for name, blobs in weights.items():
        written = (message.layers if old else message.layer).add(name=name)
        for values in blobs:
            array = np.asarray(values, np.float32)
            blob = written.blobs.add(data=[array.tobytes()])
            if four_axes:
                blob.num, blob.channels, blob.height, blob.width = (1,) * (4 - array.ndim) + array.shape
            else:
                blob.shape.dim.extend(array.shape)
                blob.shape.SetInParent()
    if not weights:
        message.layer.add(name="none")
    return bytes(message.SerializeToString())


def files(folder: Path, text: str, weights: Weights, **how: bool) -> tuple[Path, Path]:
    folder.mkdir(parents=True, exist_ok=True)
    prototxt, model = folder / "net.prototxt", folder / "net.caffemodel"
    prototxt.write_text(text)
    model.write_bytes(caffemodel(weights, **how))
    return prototxt, model


def imported(folder: Path, text: str, weights: Weights, **how: Any) -> Imported:
    """`how`: what Request takes."""
    return import_caffe(Request(files(folder, text, weights), **how))
