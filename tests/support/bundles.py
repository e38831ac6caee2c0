"""Bundles around given files: a folder with a manifest whose digests are right."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edge.bundle import MANIFEST_NAME, Bundle, load_bundle, sha256_of

YUNET: dict[str, Any] = {"kind": "yunet", "confidence": 0.6, "nms_iou": 0.3, "smallest_px": 10, "largest_px": 300}
"""YuNet n and the project's own detector."""
MTCNN: dict[str, Any] = {
    "kind": "mtcnn", "confidence": 0.7, "nms_iou": 0.3, "smallest_px": 20, "colour_order": "RGB",
    "normalisation": {"kind": "fixed", "mean": 127.5, "std": 128.0}, "thresholds": [0.6, 0.7, 0.7],
}  # fmt: skip
SSD: dict[str, Any] = {
    "kind": "ssd", "confidence": 0.6, "nms_iou": 0.3, "colour_order": "RGB",
    "input_width_px": 320, "input_height_px": 240, "normalisation": {"kind": "fixed", "mean": 127.0, "std": 128.0},
}  # fmt: skip
"""RFB-320 and slim-320."""

_EMBEDDER: dict[str, Any] = {
    "runtime": "tflite", "embedder_id": "test-embedder", "alignment_template": "arcface-112x112",
    "embedding_length": 128, "colour_order": "RGB",
}  # fmt: skip
_POINT = {
    "threshold": 0.4, "fmr": 1e-4, "fnmr": 0.1, "impostor_pairs": 1000, "genuine_pairs": 1000, "measured_on": "nothing",
}  # fmt: skip


def make_bundle(
    folder: Path,
    *,
    detector_file: Path | Mapping[str, Path],
    detector: Mapping[str, Any] | None = None,
    embedder_file: Path | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> Path:
    """Write a bundle into `folder` and return it.

    `detector_file` is one file, or part -> file for MTCNN; `detector` the manifest's section without its artifacts
    (YUNET when None). Without `embedder_file` four bytes stand in for one. `overrides` is laid over the manifest,
    dictionaries merged key by key, everything else replaced: {"embedder": {"embedder_id": "other"}}.
    """
    folder.mkdir(parents=True, exist_ok=True)
    given = dict(detector_file) if isinstance(detector_file, Mapping) else {"model": detector_file}
    artifacts = {part: _copied(source, folder, f"detector-{part}.onnx") for part, source in given.items()}
    name = "embedder.tflite" if embedder_file is None else f"embedder{embedder_file.suffix}"
    if embedder_file is None:
        (folder / name).write_bytes(b"none")
    else:
        _copied(embedder_file, folder, name)
    roles = dict.fromkeys(artifacts.values(), "detector") | {name: "embedder"}
    manifest = {
        "schema": 1,
        "bundle_id": "test-bundle-1",
        "description": "Made by a test.",
        "files": [_file(folder / path, role) for path, role in roles.items()],
        "detector": {**(YUNET if detector is None else detector), "artifacts": artifacts},
        "embedder": {**_EMBEDDER, "artifact": name},
        "operating_points": {f"fmr-1e-{power}": {**_POINT, "fmr": 10.0**-power} for power in (2, 3, 4, 5)},
    }
    (folder / MANIFEST_NAME).write_text(json.dumps(_merged(manifest, overrides or {}), indent=1), encoding="utf-8")
    return folder


def detector_bundle(
    folder: Path, detector_file: Path | Mapping[str, Path], section: Mapping[str, Any], **changes: Any
) -> Bundle:
    """A loaded bundle for tests of detectors; `changes` are laid over the manifest's section of the detector."""
    return load_bundle(make_bundle(folder, detector_file=detector_file, detector={**section, **changes}))


def _copied(source: Path, folder: Path, name: str) -> str:
    shutil.copyfile(source, folder / name)
    return name


def _file(path: Path, role: str) -> dict[str, Any]:
    return {"path": path.name, "role": role, "sha256": sha256_of(path), "bytes": path.stat().st_size}


def _merged(base: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    made = dict(base)
    for key, value in changes.items():
        inner = made.get(key)
        made[key] = _merged(inner, value) if isinstance(inner, dict) and isinstance(value, Mapping) else value
    return made
