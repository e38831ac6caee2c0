"""Two embedders that need no network: an embedding is the face, made small, turned by a matrix of the embedder's own."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

import cv2
import numpy as np

from edge.align import template_named
from edge.bundle import load_bundle
from edge.config.fleet import Updates
from edge.config.settings import Privacy, Settings
from edge.datatypes import AlignedFace, Embedding, Floats, Image
from edge.detect import Pyramid
from edge.enrol import encode_png
from edge.gallery.records import EnrolledFace
from edge.reader import Models
from tests.edge.gallery.support import EMBEDDER, LENGTH
from tests.support.bundles import make_bundle

SIDE = 4
ARCFACE, SPHEREFACE, FACENET = "arcface-112x112", "sphereface-112x96", "facenet-160x160"


class Network:
    """An edge.interfaces.Embedder. `watch` is called with the faces of each batch before they are embedded."""

    def __init__(self, embedder_id: str, length: int = LENGTH, template: str = ARCFACE) -> None:
        self.embedder_id = embedder_id
        self.length = length
        self.template = template
        self.watch: Callable[[Sequence[AlignedFace]], object] = lambda _: None
        self.embedded = 0
        random = np.random.default_rng(zlib.crc32(embedder_id.encode()))
        self._turn = random.standard_normal((SIDE * SIDE * 3, length))

    def vector(self, image: Image) -> Floats:
        small = cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.float64).ravel() / 255 - 0.5
        made = small @ self._turn
        return np.asarray(made / np.linalg.norm(made), np.float32)

    def embed(self, faces: Sequence[AlignedFace]) -> list[Embedding]:
        self.watch(faces)
        assert all(face.template == self.template for face in faces)
        self.embedded += len(faces)
        return [Embedding(self.vector(face.image), self.embedder_id) for face in faces]


def images(count: int, seed: int = 0, template: str = ARCFACE) -> list[Image]:
    """Aligned faces that no two have alike: squares of colour, which PNG makes small."""
    size = template_named(template)
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 256, (count, SIDE, SIDE, 3), np.uint8)
    return [cv2.resize(one, (size.width, size.height), interpolation=cv2.INTER_NEAREST) for one in coarse]


def enrolled(
    network: Network, pictures: Sequence[Image], *, keep: bool = True, told: bool = True
) -> list[EnrolledFace]:
    """As enrolment makes them; without `told` as version 2 kept a face, without its template."""
    return [
        EnrolledFace(
            Embedding(network.vector(image), network.embedder_id), 0.5, f"{number}.jpg",
            encode_png(image) if keep else None, network.template if keep and told else "",
        )
        for number, image in enumerate(pictures)
    ]  # fmt: skip


def models_of(folder: Path, network: Network) -> Models:
    """A bundle that names the network, and the network."""
    spec = {
        "embedder_id": network.embedder_id, "embedding_length": network.length, "alignment_template": network.template,
    }  # fmt: skip
    blank = folder / "blank"
    folder.mkdir(parents=True, exist_ok=True)
    blank.write_bytes(b"none")
    bundle = load_bundle(make_bundle(folder / network.embedder_id, detector_file=blank, overrides={"embedder": spec}))
    return Models(bundle, cast("Pyramid", None), network)


def settings_of(path: Path, *, re_embed: bool = True, key_file: Path | None = None) -> Settings:
    return Settings(gallery=path, updates=Updates(re_embed=re_embed), privacy=Privacy(key_file=key_file))


FIRST = EMBEDDER
SECOND = "test-2"
