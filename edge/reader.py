"""Pictures to faces: detect, align, assess, embed. One picture at a time, for enrolment, `identify` and `verify`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2

from edge.align import align, template_named
from edge.bundle import Bundle, load_bundle
from edge.bundle.store import BundleStore
from edge.config.settings import Settings
from edge.datatypes import Image, ReadFace
from edge.detect import Pyramid, make_detector
from edge.embed import make_embedder
from edge.errors import BundleError
from edge.interfaces import Embedder
from edge.quality import assess


@dataclass(frozen=True, slots=True)
class Models:
    """A bundle's networks, loaded and checked."""

    bundle: Bundle
    detector: Pyramid
    embedder: Embedder


def bundle_folder(settings: Settings) -> Path | None:
    """`bundle`, else the active one of `bundles`; None for the package's own."""
    if settings.bundle is not None or settings.bundles is None:
        return settings.bundle
    return BundleStore(settings.bundles).active()


def load_models(settings: Settings) -> Models:
    """Load the configured bundle. BundleError or ModelError (exit code 4) when it cannot be used, or must not be."""
    cv2.setNumThreads(settings.runtime.threads)
    folder = bundle_folder(settings)
    if folder is not None:
        check_trusted(settings, folder)
    bundle = load_bundle(folder)
    detector = make_detector(bundle, settings.detect)
    template = template_named(bundle.manifest.embedder.alignment_template)
    if template.points is not None and not detector.gives_landmarks:
        hint = "Build the bundle with yunet or mtcnn, or with an embedder that is aligned by the box (facenet-160x160)."
        problem = f"its detector gives no landmarks, and {template.name} aligns by landmarks"
        raise BundleError(problem, where=str(bundle.folder), hint=hint)
    return Models(bundle, detector, make_embedder(bundle, settings.runtime))


def check_trusted(settings: Settings, folder: Path) -> None:
    """BundleError unless its signature is in order, where updates.trust asks for one. The package's own bundle has the package's."""
    from edge.bundle.trust import trust_of

    trust = trust_of(settings)
    if trust is not None:
        trust.check(folder)


class PictureReader:
    """Reads faces from single pictures."""

    def __init__(self, models: Models) -> None:
        self._models = models
        self._template = template_named(models.embedder.template)

    def faces(self, image: Image) -> list[ReadFace]:
        """Every face in a BGR uint8 picture, largest first."""
        detections = sorted(self._models.detector.detect(image), key=lambda found: -found.box.area)
        aligned = [align(image, detection, self._template) for detection in detections]
        embeddings = self._models.embedder.embed(aligned)
        rows = zip(detections, aligned, embeddings, strict=True)
        return [ReadFace(detection, face, assess(detection, face), embedding) for detection, face, embedding in rows]
