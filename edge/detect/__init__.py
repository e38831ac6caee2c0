"""Finding faces: a bundle's detector behind one interface, over the sizes of picture that it needs.

`make_detector` is the way in. Detections of a single-shot detector have no landmarks, and a face without landmarks cannot
be aligned: `Pyramid.gives_landmarks` says so before the first frame.
"""

from __future__ import annotations

from edge.bundle import Bundle
from edge.config.settings import Detect
from edge.detect.finder import Finder, Limits
from edge.detect.pyramid import Pyramid
from edge.errors import ModelError

__all__ = ["Pyramid", "make_detector"]


def make_detector(bundle: Bundle, settings: Detect) -> Pyramid:
    """The detector of `bundle`, loaded and run once.

    `confidence` and `nms_iou` are the manifest's where the settings leave them out. ModelError (exit code 4) when an
    artifact is not what the manifest says.
    """
    manifest = bundle.manifest.detector
    limits = Limits(
        confidence=manifest.confidence if settings.confidence is None else settings.confidence,
        nms_iou=manifest.nms_iou if settings.nms_iou is None else settings.nms_iou,
    )
    if manifest.normalisation.kind != "fixed":
        hint = "Set detector.normalisation in the manifest to {kind: fixed, mean: ..., std: ...}."
        problem = f"detector.normalisation {manifest.normalisation.kind}"
        raise ModelError(problem, where=str(bundle.folder), expected="fixed for a detector", hint=hint)
    return Pyramid(lambda: _make_finder(bundle, limits), settings, limits.nms_iou)


def _make_finder(bundle: Bundle, limits: Limits) -> Finder:
    manifest = bundle.manifest.detector
    paths = {part: bundle.path(name) for part, name in manifest.artifacts.items()}
    if manifest.kind == "mtcnn":
        from edge.detect.mtcnn import Mtcnn

        return Mtcnn(paths, manifest, limits)
    if manifest.kind == "ssd":
        from edge.detect.ssd import SingleShot

        return SingleShot(paths["model"], manifest, limits)
    from edge.detect.yunet import YuNet

    return YuNet(paths["model"], manifest, limits)
