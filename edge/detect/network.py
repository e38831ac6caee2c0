"""One ONNX file in cv2.dnn, with every way in which it can fail told as a ModelError."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.bundle.manifest import Normalisation
from edge.datatypes import Floats, Image
from edge.errors import ModelError

_SILENT = 0
_CAUSE_CHARS = 200


@contextlib.contextmanager
def opencv_silenced() -> Iterator[None]:
    """OpenCV writes to stderr what it also raises; inside this it only raises."""
    log = getattr(getattr(cv2, "utils", cv2), "logging", cv2)  # OpenCV before 4.12 has the two functions in cv2
    level = log.getLogLevel()
    log.setLogLevel(_SILENT)
    try:
        yield
    finally:
        log.setLogLevel(level)


class Network:
    """Runs on one thread of the caller; not for several threads at once.

    The memory that OpenCV plans belongs to one input size, and planning it again costs as much as running: whoever
    needs two sizes in turn takes two of these.
    """

    def __init__(self, path: Path, outputs: Sequence[str]) -> None:
        """Read `path`; `outputs` names all its outputs. ModelError when it cannot be read or has others."""
        self.path = path
        self._outputs = list(outputs)
        try:
            data = np.fromfile(path, np.uint8)
        except OSError as error:
            raise self._fault(f"cannot be read ({error.strerror})", expected="an ONNX file") from error
        try:
            with opencv_silenced():
                self._net = cv2.dnn.readNetFromONNX(data)
        except cv2.error as error:
            problem = f"OpenCV {cv2.__version__} cannot load it ({_cause(error)})"
            raise self._fault(problem, expected="a whole ONNX file with operators that this OpenCV knows") from error
        # OpenCV 5 gives all outputs or none, and ends the process when a map of another network becomes empty.
        found = sorted(str(name) for name in self._net.getUnconnectedOutLayersNames())
        if found != sorted(self._outputs):
            problem = f"outputs are {', '.join(found[:12])}"
            raise self._fault(problem, expected=f"exactly {', '.join(self._outputs)}")

    def run(self, blob: NDArray[np.float32]) -> list[Floats]:
        """Outputs for one float32 NCHW batch, in the order of the names given to the constructor."""
        try:
            self._net.setInput(blob)
            return [np.asarray(output, np.float32) for output in self._net.forward(self._outputs)]
        except cv2.error as error:
            problem = f"cannot be run on an input of shape {blob.shape} ({_cause(error)})"
            raise self._fault(problem, expected="a detector that takes this size") from error

    def probe(self, blob: NDArray[np.float32], expected: Sequence[tuple[int | None, ...]]) -> list[Floats]:
        """A first run that proves the shapes of the outputs; leading ones do not matter, None is any. ModelError else."""
        with opencv_silenced():
            outputs = self.run(blob)
        for name, output, shape in zip(self._outputs, outputs, expected, strict=True):
            if not _fits(_significant(output.shape), _significant(shape)):
                wanted = str(shape).replace("None", "any")
                raise self._fault(
                    f"output {name} of shape {output.shape} for an input of shape {blob.shape}", expected=wanted
                )
        return outputs

    def _fault(self, problem: str, *, expected: str) -> ModelError:
        hint = "Check detector.kind and detector.artifacts in the bundle's manifest, or build the bundle again."
        return ModelError(problem, where=str(self.path), expected=expected, hint=hint)


def to_blob(images: Sequence[Image], normalisation: Normalisation, colour_order: str) -> Floats:
    """BGR uint8 pictures of one size -> float32 NCHW, (pixel - mean) / std, in the order that the network expects."""
    mean = (normalisation.mean,) * 3
    height, width = images[0].shape[:2]
    factor, swap = 1.0 / normalisation.std, colour_order == "RGB"
    return np.asarray(cv2.dnn.blobFromImages(images, factor, (width, height), mean, swapRB=swap), np.float32)


def _significant(shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
    return tuple(size for size in shape if size != 1)


def _fits(found: tuple[int | None, ...], expected: tuple[int | None, ...]) -> bool:
    return len(found) == len(expected) and all(want in {None, size} for size, want in zip(found, expected, strict=True))


def _cause(error: cv2.error) -> str:
    """The sentence of OpenCV without its build path."""
    text = " ".join(str(error).split())
    return text.split("error: ", 1)[-1][:_CAUSE_CHARS]
