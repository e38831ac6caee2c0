"""AlignedFace -> L2-normalised Embedding, by a TFLite or an OpenCV-DNN network as the bundle's manifest says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.align import template_named
from edge.bundle import Bundle
from edge.bundle.manifest import Embedder as EmbedderSpec
from edge.bundle.manifest import Quantisation
from edge.config.settings import Runtime
from edge.datatypes import AlignedFace, Embedding, Floats, Image
from edge.errors import ModelError
from edge.interfaces import Embedder
from edge.interpreter import TfliteModel
from edge.quant import dequantise, is_identity, pixel_table, quantise


class Network(Protocol):
    """What differs between runtimes: prepared pictures in, raw embeddings out."""

    def run(self, pictures: list[Image]) -> Floats:
        """N pictures (uint8 HxWx3 in the network's colour order) -> float32 (N, embedding_length), not normalised."""


def make_embedder(bundle: Bundle, runtime: Runtime) -> Embedder:
    """The bundle's embedder, loaded, checked against the manifest and run once. ModelError where they differ."""
    spec = bundle.manifest.embedder
    path = bundle.path(spec.artifact)
    network: Network
    if spec.runtime == "tflite":
        network = TfliteNetwork(TfliteModel(path, threads=runtime.threads, runtime=runtime.tflite), spec)
    else:
        network = OpenCvNetwork(path, spec)
    return FaceEmbedder(network, spec)


class FaceEmbedder:
    """Prepares faces, runs the network, and normalises."""

    def __init__(self, network: Network, spec: EmbedderSpec) -> None:
        self._network = network
        self._spec = spec
        template_named(spec.alignment_template)

    @property
    def embedder_id(self) -> str:
        """What galleries are bound to."""
        return self._spec.embedder_id

    @property
    def template(self) -> str:
        """Alignment template that faces must be warped onto."""
        return self._spec.alignment_template

    def embed(self, faces: Sequence[AlignedFace]) -> list[Embedding]:
        """One embedding for each face, in order. ValueError for a face of another template."""
        if not faces:
            return []
        for face in faces:
            if face.template != self.template:
                raise ValueError(f"face aligned onto {face.template}; expected {self.template}")
        pictures = [self._coloured(face.image) for face in faces]
        vectors = self._network.run(pictures)
        if self._spec.add_mirrored:
            vectors = vectors + self._network.run([np.ascontiguousarray(picture[:, ::-1]) for picture in pictures])
        return [self._embedding(vector) for vector in vectors]

    def _coloured(self, image: Image) -> Image:
        if self._spec.colour_order == "BGR":
            return image
        return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)

    def _embedding(self, vector: Floats) -> Embedding:
        norm = float(np.linalg.norm(vector))
        if not np.isfinite(norm) or norm < 1e-6:
            raise ModelError(
                f"embedding of length {norm:g}", where=self._spec.artifact, expected="finite numbers, not all 0"
            )
        return Embedding((vector / np.float32(norm)).astype(np.float32), self.embedder_id)


class TfliteNetwork:
    """A TFLite network with one picture in and one embedding out; float32, uint8 or int8."""

    def __init__(self, model: TfliteModel, spec: EmbedderSpec) -> None:
        self._model = model
        self._spec = spec
        template = template_named(spec.alignment_template)
        self._shape = (1, template.height, template.width, 3)
        where = str(model.path)
        self._output = _output_named(where, [tensor.name for tensor in model.outputs], spec.output_name)
        source, result = model.inputs[0], model.outputs[self._output]
        _expect(where, "input shape", source.shape, self._shape)
        _expect(where, "output shape", result.shape, (1, spec.embedding_length))
        _expect_quantisation(where, "input", source.quantisation, spec.input)
        _expect_quantisation(where, "output", result.quantisation, spec.output)
        self._table = pixel_table(spec.normalisation, spec.input)

    def run(self, pictures: list[Image]) -> Floats:
        """One invocation a picture: TFLite fixes the batch when it allocates, and XNNPACK gains nothing from a larger one."""
        rows = [self._model.run(self._prepared(one).reshape(self._shape), self._output) for one in pictures]
        return dequantise(np.concatenate(rows), self._spec.output)

    def _prepared(self, picture: Image) -> NDArray[Any]:
        if self._spec.normalisation.kind == "prewhiten":
            return quantise(prewhiten(picture), self._spec.input)
        return picture if is_identity(self._table) else self._table[picture]


class OpenCvNetwork:
    """An ONNX network in `cv2.dnn`, float32."""

    def __init__(self, path: Any, spec: EmbedderSpec) -> None:
        self._spec = spec
        self._where = str(path)
        template = template_named(spec.alignment_template)
        try:
            self._net = cv2.dnn.readNetFromONNX(self._where)
        except cv2.error as error:
            raise ModelError(
                f"cv2.dnn cannot load it: {_brief(error)}", where=self._where, hint="Copy or build it again."
            ) from error
        blank = np.zeros((template.height, template.width, 3), np.uint8)
        _expect(self._where, "output shape", self.run([blank]).shape, (1, spec.embedding_length))

    def run(self, pictures: list[Image]) -> Floats:
        """One forward pass a picture: an ONNX file with a fixed batch of one takes no other."""
        return np.concatenate([self._one(picture) for picture in pictures])

    def _one(self, picture: Image) -> Floats:
        normal = self._spec.normalisation
        if normal.kind == "prewhiten":
            blob: NDArray[Any] = prewhiten(picture).transpose(2, 0, 1)[None]
        else:
            blob = cv2.dnn.blobFromImage(picture, 1.0 / normal.std, mean=(normal.mean,) * 3)
        try:
            self._net.setInput(np.ascontiguousarray(blob))
            result = self._net.forward(self._spec.output_name) if self._spec.output_name else self._net.forward()
        except cv2.error as error:
            raise ModelError(f"cv2.dnn cannot run it: {_brief(error)}", where=self._where) from error
        return np.asarray(result, np.float32).reshape(1, -1)


def prewhiten(picture: Image) -> Floats:
    """Zero mean and unit deviation of this picture, float32, the deviation at least 1/sqrt(N) (davidsandberg/facenet)."""
    values = picture.astype(np.float32)
    deviation = max(float(values.std()), 1.0 / float(np.sqrt(values.size)))
    return (values - np.float32(values.mean())) / np.float32(deviation)


def _output_named(where: str, names: list[str], wanted: str) -> int:
    if not wanted and len(names) == 1:
        return 0
    if wanted not in names:
        hint = "Set embedder.output_name in the manifest to one of them."
        raise ModelError(f"outputs {', '.join(names)}", where=where, expected=f"one named {wanted!r}", hint=hint)
    return names.index(wanted)


def _brief(error: cv2.error) -> str:
    return " ".join(str(error).split())[:300]


def _expect(where: str, what: str, found: object, expected: object) -> None:
    if found != expected:
        raise ModelError(
            f"{what} {found}", where=where, expected=str(expected), hint="Manifest and artifact do not belong together."
        )


def _expect_quantisation(where: str, what: str, found: Quantisation, expected: Quantisation) -> None:
    same = found.dtype == expected.dtype and found.zero_point == expected.zero_point
    if not same or abs(found.scale - expected.scale) > 1e-6 * max(expected.scale, 1e-9):
        _expect(where, f"{what} quantisation", f"{found}", f"{expected}")
