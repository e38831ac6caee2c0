"""A bundle has two halves, a detector and an embedder. Either is taken from a bundle that exists, or made from a recipe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from convert.build.models import Model
from convert.bundle import Artifact
from convert.catalogue import names, recipe_named
from convert.catalogue.recipe import DetectorUse
from convert.catalogue.sources import find_sources, verify_sources
from convert.network import Network
from convert.targets.base import Options
from convert.targets.onnx import write_onnx
from edge.bundle import Bundle, default_bundle_folder, load_bundle
from edge.bundle.manifest import Detector, Embedder, OperatingPoint
from edge.errors import UsageError

_PARTS = {"mtcnn": ("pnet", "rnet", "onet")}
_FIELDS = (
    "kind", "confidence", "nms_iou", "smallest_px", "largest_px", "input_width_px", "input_height_px", "colour_order",
    "normalisation", "thresholds", "box_form",
)  # fmt: skip
"""Of the manifest's detector; a recipe says them in the same words."""


@dataclass(frozen=True, slots=True)
class DetectorHalf:
    """How to run a detector, and its files."""

    spec: Detector
    artifacts: Mapping[str, Artifact]


@dataclass(frozen=True, slots=True)
class EmbedderHalf:
    """How to run an embedder, its files, and its thresholds."""

    spec: Embedder
    artifacts: Mapping[str, Artifact]
    operating_points: Mapping[str, OperatingPoint] = field(default_factory=dict)
    measured: Mapping[str, Any] = field(default_factory=dict)


def detector_of_bundle(bundle: Bundle) -> DetectorHalf:
    """The detector of a bundle that exists."""
    spec = bundle.manifest.detector
    return DetectorHalf(spec, _artifacts(bundle, set(spec.artifacts.values())))


def embedder_of_bundle(bundle: Bundle) -> EmbedderHalf:
    """The embedder of a bundle that exists; what was measured on it with another detector is left behind."""
    spec = bundle.manifest.embedder
    return EmbedderHalf(spec, _artifacts(bundle, {spec.artifact}), bundle.manifest.operating_points)


def _artifacts(bundle: Bundle, wanted: set[str]) -> dict[str, Artifact]:
    return {
        file.path: Artifact(bundle.path(file.path).read_bytes(), file.role, file.source, file.licence)
        for file in bundle.manifest.files
        if file.path in wanted
    }


def find_detector(named: str, scratch: Path, beside: Path | None = None) -> DetectorHalf:
    """A detector by the folder of its bundle, or by its name in the catalogue; the package's own when `named` is empty.

    UsageError where there is none, or where its files are not at hand.
    """
    if not named:
        return detector_of_bundle(load_bundle(default_bundle_folder()))
    if named not in names():
        if not Path(named).is_dir():
            expected = f"the folder of a bundle, or one of {', '.join(_detectors())}"
            raise UsageError(f"no detector {named!r}", expected=expected)
        return detector_of_bundle(load_bundle(Path(named)))
    return _from_catalogue(named, scratch, beside)


def _detectors() -> list[str]:
    return [name for name in names() if recipe_named(name).role == "detector"]


def _from_catalogue(name: str, scratch: Path, beside: Path | None) -> DetectorHalf:
    from convert.build.models import read_models
    from convert.build.plan import Plan
    from convert.build.sample import Wish

    recipe = recipe_named(name)
    if recipe.detector is None:
        raise UsageError(f"{name} is no detector", expected=f"one of {', '.join(_detectors())}")
    folder = find_sources(name, recipe, None, beside)
    verify_sources(recipe, folder)
    models = read_models(Plan(name, recipe, folder, Wish(None)))
    files = {part: write_part(model, scratch / f"{part}.onnx") for part, model in models.items()}
    return detector_half(recipe.detector, files, recipe.provenance, recipe.licence)


def write_part(model: Model, path: Path) -> Path:
    """One network of a detector as a device reads it; those of a cascade take several crops at once."""
    return write_onnx(model.network, path, Options(batch=None if model.part in _PARTS["mtcnn"] else 1))[0]


def detector_half(use: DetectorUse, files: Mapping[str, Path], source: str, licence: str) -> DetectorHalf:
    """A detector from its artifacts by part. UsageError where parts are missing."""
    parts = _PARTS.get(use.kind, ("model",))
    if set(files) != set(parts):
        raise UsageError(f"networks {', '.join(files)}", expected=f"{', '.join(parts)} for {use.kind}")
    named = {part: f"{part if len(parts) > 1 else 'detector'}.onnx" for part in parts}
    spec = Detector(artifacts=named, **{key: getattr(use, key) for key in _FIELDS})
    made = {named[part]: Artifact(files[part].read_bytes(), "detector", source, licence) for part in parts}
    return DetectorHalf(spec, made)


def sized(use: DetectorUse, network: Network) -> DetectorUse:
    """With the input size of the network, where the recipe leaves it open and the kind needs it."""
    if use.kind != "ssd" or use.input_width_px is not None:
        return use
    _, _, height, width = network.input_shape
    return replace(use, input_width_px=width, input_height_px=height)
