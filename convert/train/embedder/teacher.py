"""The float network that teaches, from any file that the converter reads."""

from __future__ import annotations

from dataclasses import replace
from functools import reduce
from pathlib import Path

from convert.build.models import PASSES
from convert.importers import open_file
from convert.network import Network, shown_shape
from convert.passes.fold import take_out_normalisation
from convert.passes.tidy import tidy
from convert.train.embedder.student import SIZE
from edge.errors import ModelError

_CHANNELS = 3


def read_teacher(path: Path) -> Network:
    """Batch norms folded, its normalisation in `mean` and `std`. UsageError or ModelError where it cannot be read."""
    network = reduce(lambda read, rewrite: rewrite(read), PASSES, tidy(open_file(path).network))
    return take_out_normalisation(_for_faces(network))


def _for_faces(network: Network) -> Network:
    """Where a file leaves the picture's size open, that of an aligned face."""
    port, *others = network.inputs
    if others or len(port.shape) != 4 or port.shape[1] != _CHANNELS:
        raise ModelError(f"a teacher that takes {shown_shape(port.shape)}", expected="a picture, Nx3x112x112")
    shape = (None, _CHANNELS, *(size or SIZE for size in port.shape[2:]))
    return replace(network, inputs=(replace(port, shape=shape),))
