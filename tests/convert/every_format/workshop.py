"""Reads each source once, and writes each artifact once; measures what comes out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from convert.build.models import simplified
from convert.importers import Imported, Request, open_source
from convert.network import Network
from convert.passes.tidy import tidy
from convert.runners.base import Runner
from convert.targets import SUFFIXES, write_target
from convert.targets.base import Options
from tests.convert.every_format.design import pictures, reference, weights
from tests.convert.every_format.makers import SOURCES

LEGACY = "tflite-uint8-legacy"


@dataclass(frozen=True, slots=True)
class Read:
    """One source."""

    files: tuple[Path, ...]
    imported: Imported
    network: Network
    """Tidied and folded: what targets are given."""


@dataclass(slots=True)
class Workshop:
    """Keeps what it has made."""

    new_folder: Callable[[str], Path]
    _read: dict[str, Read] = field(default_factory=dict)
    _written: dict[tuple[str, str], Path] = field(default_factory=dict)

    def read(self, name: str) -> Read:
        """A source by its name, its format found out."""
        if name not in self._read:
            source = SOURCES[name]
            files = source.make(self.new_folder("source"), weights())
            imported = open_source(Request(files, shapes=source.shapes))
            network = simplified(tidy(imported.network))
            self._read[name] = Read(files, imported, network)
        return self._read[name]

    def written(self, name: str, target: str) -> Path:
        """The artifact; of a SavedModel the folder that holds it."""
        if (name, target) not in self._written:
            network, path = self.read(name).network, self.new_folder("target") / f"small{SUFFIXES[target]}"
            examples = {network.input_name: pictures(60, seed=1)}
            invented: dict[str, Any] = {}
            if target == LEGACY:
                invented = {"mean": 127.5, "std": 127.5, "default_ranges": (-10.0, 10.0)}
            files = write_target(target, network, path, Options(examples=examples, **invented))
            assert all(each.is_file() for each in files)
            self._written[name, target] = files[0].parent if target == "saved-model" else path
        return self._written[name, target]


def outputs(runner: Runner, images: Any) -> Any:
    """(N, 16), one picture after the other."""
    (port,), (output,) = runner.inputs, runner.outputs
    rows = [runner.run({port.name: image[np.newaxis]})[output] for image in images]
    assert {(row.shape, row.dtype) for row in rows} == {((1, 16), np.dtype(np.float32))}
    return np.concatenate(rows)


def off(found: Any, expected: Any) -> float:
    """Greatest difference, relative to the largest number expected."""
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def least_cosine(found: Any, expected: Any) -> float:
    lengths = np.linalg.norm(found, axis=1) * np.linalg.norm(expected, axis=1)
    return float(((found * expected).sum(axis=1) / lengths).min())


def expected_for(images: Any) -> Any:
    return reference(weights(), images)


def constants_in_order(network: Network) -> Iterator[Any]:
    """Numbers as the layers read them: kernels and biases, slopes as a row, the dense layer's matrix as (out, in) of C, H, W."""
    for node in network.nodes:
        held = [network.constants[name] for name in node.inputs if name in network.constants]
        if node.op == "PRelu":
            yield held[0].reshape(-1)
        elif node.op in {"Gemm", "MatMul"}:
            matrix = held[0] if node.attributes.get("transB", 0) else held[0].T
            yield matrix
            yield from held[1:]
        elif node.op != "Reshape":
            yield from held
