from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from convert.bundle import Artifact, replaced_folder, write_bundle
from edge.bundle import load_bundle
from edge.bundle.manifest import Detector, Embedder, OperatingPoint
from edge.errors import EXIT_USAGE, BundleError, UsageError


def about() -> dict[str, Any]:
    return {
        "schema": 1,
        "bundle_id": "tiny-1",
        "description": "made by a test",
        "detector": Detector("yunet", {"model": "detector.onnx"}),
        "embedder": Embedder("embedder.tflite", "tflite", "tiny", "arcface-112x112", 8, "RGB"),
        "operating_points": {"fmr-1e-2": OperatingPoint(0.5, 0.01, 0.1, 3000, 10, "nothing")},
    }


ARTIFACTS = {
    "detector.onnx": Artifact(b"one", "detector", "somewhere", "MIT"),
    "embedder.tflite": Artifact(b"two", "embedder"),
    "README.md": Artifact(b"# card", "document"),
}


def test_what_is_written_loads_as_it_was_meant(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "bundle"
    with replaced_folder(target) as folder:
        written = write_bundle(folder, ARTIFACTS, about())
    bundle = load_bundle(target)
    assert bundle.manifest == written.manifest
    assert {file.path: file.role for file in bundle.manifest.files} == {
        name: artifact.role for name, artifact in ARTIFACTS.items()
    }
    assert bundle.manifest.files[1].licence == "MIT"
    assert [path.name for path in target.parent.iterdir()] == ["bundle"]
    assert {path.stat().st_mode & 0o777 for path in target.iterdir()} == {0o644}


def stop_half_way(target: Path) -> None:
    with replaced_folder(target) as folder:
        (folder / "detector.onnx").write_bytes(b"half of")
        raise KeyboardInterrupt


def test_an_older_bundle_stays_until_the_new_one_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "bundle"
    with replaced_folder(target) as folder:
        write_bundle(folder, ARTIFACTS, about())
    with pytest.raises(KeyboardInterrupt):
        stop_half_way(target)
    assert load_bundle(target).manifest.bundle_id == "tiny-1"
    with replaced_folder(target) as folder:
        write_bundle(folder, ARTIFACTS, {**about(), "bundle_id": "tiny-2"})
    assert load_bundle(target).manifest.bundle_id == "tiny-2"
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def test_what_is_no_bundle_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "aunt.jpg").write_bytes(b"dear to somebody")
    (tmp_path / "file").write_text("a file")
    for name in ("photos", "file"):
        with pytest.raises(UsageError, match="no bundle is there") as caught, replaced_folder(tmp_path / name):
            pass
        assert caught.value.exit_code == EXIT_USAGE
    assert (tmp_path / "photos" / "aunt.jpg").read_bytes() == b"dear to somebody"


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a file")
    with pytest.raises(UsageError, match="cannot be written"), replaced_folder(tmp_path / "file" / "bundle"):
        pass


def test_a_manifest_that_no_device_would_load_is_refused_here(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="bundle_id"):
        write_bundle(tmp_path, ARTIFACTS, {**about(), "bundle_id": "not a name"})
