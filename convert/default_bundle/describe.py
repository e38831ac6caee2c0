"""The parts of a manifest that say what a bundle is and how it was made."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from convert.default_bundle.recipe import (
    DETECTOR_FILE,
    DETECTOR_SOURCE,
    EMBEDDER_FILE,
    EMBEDDER_FLOAT_SOURCE,
    EMBEDDER_SOURCE,
    Recipe,
    Sources,
)
from convert.network import Network
from convert.provenance import tool_versions
from edge.bundle import sha256_of
from edge.bundle.manifest import SCHEMA_VERSION, Detector, Embedder, Normalisation
from edge.interpreter import TfliteModel

LICENCE = "Apache-2.0"
_DESCRIPTION = (
    "The models that Ostiary carries, so that a fresh install works with no download. Small, and trained from scratch by the"
    " project. README.md says what they reach and what they must not be used for."
)


def about_bundle(sources: Sources, recipe: Recipe, network: Network, artifact: Path) -> dict[str, Any]:
    """The manifest's fields but `files`, `operating_points` and `measured`; `artifact` is the TFLite file."""
    return {
        "schema": SCHEMA_VERSION,
        "bundle_id": recipe.bundle_id,
        "description": _DESCRIPTION,
        "detector": _detector(recipe),
        "embedder": _embedder(recipe, network, artifact),
        "tools": tools(artifact),
        "recipe": _recipe(sources, recipe),
    }


def artifact_sources(recipe: Recipe) -> dict[str, tuple[str, str]]:
    """File -> what it was made from, and its licence."""
    return {
        DETECTOR_FILE: ("the project's own detector with YuNet's outputs, float32, trained from scratch", LICENCE),
        EMBEDDER_FILE: (f"the project's own {recipe.embedder_id}, uint8, trained from scratch", LICENCE),
    }


def tools(artifact: Path) -> dict[str, str]:
    """Versions of what wrote and ran the artifact."""
    return tool_versions(TfliteModel(artifact).runtime)


def _detector(recipe: Recipe) -> Detector:
    return Detector(
        kind="yunet",
        artifacts={"model": DETECTOR_FILE},
        confidence=recipe.confidence,
        nms_iou=recipe.nms_iou,
        smallest_px=recipe.smallest_px,
        largest_px=recipe.largest_px,
    )


def _embedder(recipe: Recipe, network: Network, artifact: Path) -> Embedder:
    model = TfliteModel(artifact)
    return Embedder(
        artifact=artifact.name,
        runtime="tflite",
        embedder_id=recipe.embedder_id,
        alignment_template=recipe.alignment_template,
        embedding_length=model.outputs[0].shape[-1],
        colour_order=recipe.colour_order,
        normalisation=Normalisation(mean=network.mean, std=network.std),
        input=model.inputs[0].quantisation,
        output=model.outputs[0].quantisation,
        add_mirrored=recipe.add_mirrored,
    )


def _recipe(sources: Sources, recipe: Recipe) -> dict[str, Any]:
    names = (DETECTOR_SOURCE, EMBEDDER_SOURCE, EMBEDDER_FLOAT_SOURCE)
    return {
        "command": "ostiary-convert default-bundle",
        "sources_sha256": {name: sha256_of(sources.model(name)) for name in names},
        "training": sources.training(),
        "choices": dataclasses.asdict(recipe),
    }
