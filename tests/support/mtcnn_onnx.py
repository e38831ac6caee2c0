"""MTCNN's three networks as a bundle has them, from the numpy weights of davidsandberg/facenet (det1.npy to det3.npy)."""

from __future__ import annotations

from pathlib import Path

from convert.architectures import ARCHITECTURES
from convert.architectures.mtcnn import from_numpy
from convert.importers.numpy_weights import read_layers
from convert.passes.mtcnn import MtcnnForm, to_device_form
from convert.targets.base import Options
from convert.targets.onnx import write_onnx


def write_all(source: Path, folder: Path) -> dict[str, Path]:
    """`source` holds det1.npy to det3.npy; returns part -> file, as a manifest's `artifacts` name them."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {}
    for number, part in enumerate(("pnet", "rnet", "onet"), start=1):
        weights = from_numpy(read_layers(source / f"det{number}.npy"))
        network = ARCHITECTURES[f"mtcnn-{part}"].network(weights)
        (files[part],) = write_onnx(to_device_form(network, part, MtcnnForm()), folder / f"{part}.onnx", Options())
    return files
