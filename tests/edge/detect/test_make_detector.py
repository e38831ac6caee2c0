from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest

from edge.config.settings import Detect
from edge.datatypes import Detection, Image
from edge.detect import make_detector
from edge.errors import ModelError
from tests.edge.detect.conftest import BundleOf, DetectorOf


@pytest.mark.parametrize(
    ("kind", "landmarks"),
    [("own", True), ("yunet", True), ("mtcnn", True), ("rfb", False), ("rfb-offsets", False), ("slim", False)],
)
def test_a_detector_says_whether_it_gives_landmarks(kind: str, landmarks: bool, detector_of: DetectorOf) -> None:  # noqa: FBT001
    assert detector_of(kind).gives_landmarks is landmarks


@pytest.mark.parametrize("kind", ["yunet", "rfb", "mtcnn"])
@pytest.mark.parametrize(
    ("manifest", "setting", "faces"),
    [
        pytest.param(0.6, None, 2, id="manifest lets them through"),
        pytest.param(1.0, None, 0, id="manifest does not"),
        pytest.param(1.0, 0.6, 2, id="setting lets them through"),
        pytest.param(0.6, 1.0, 0, id="setting does not"),
    ],
)
def test_settings_come_before_the_manifest(
    kind: str, manifest: float, setting: float | None, faces: int, detector_on: Callable[..., list[Detection]]
) -> None:
    assert len(detector_on(kind, manifest, setting)) == faces


@pytest.fixture
def detector_on(bundle_of: BundleOf, both: Image) -> Callable[..., list[Detection]]:
    # Half as sharp, so that no detector is entirely sure.
    blurred = np.asarray(cv2.GaussianBlur(both, (0, 0), 4), np.uint8)

    def detect(kind: str, manifest: float, setting: float | None) -> list[Detection]:
        return make_detector(bundle_of(kind, confidence=manifest), Detect(confidence=setting)).detect(blurred)

    return detect


@pytest.mark.parametrize(("manifest", "settings"), [({"nms_iou": 1.0}, {}), ({"nms_iou": 0.3}, {"nms_iou": 1.0})])
def test_overlaps_stay_when_they_are_allowed(
    manifest: dict[str, Any], settings: dict[str, Any], bundle_of: BundleOf, hopper: Image
) -> None:
    faces = make_detector(bundle_of("yunet", **manifest), Detect(**settings)).detect(hopper)

    assert len(faces) > 1


def test_prewhitening_is_no_normalisation_for_a_detector(bundle_of: BundleOf) -> None:
    with pytest.raises(ModelError, match=r"detector\.normalisation prewhiten"):
        make_detector(bundle_of("yunet", normalisation={"kind": "prewhiten"}), Detect())


def test_making_and_running_one_writes_nothing_to_stderr(
    bundle_of: BundleOf, hopper: Image, capfd: pytest.CaptureFixture[str]
) -> None:
    for kind in ("own", "rfb", "mtcnn"):
        make_detector(bundle_of(kind), Detect()).detect(hopper)

    assert capfd.readouterr().err == ""


def test_only_the_detector_in_use_is_imported() -> None:
    code = "import sys, edge.detect; print([name for name in sys.modules if name.startswith('edge.detect.')])"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)

    assert "edge.detect.mtcnn" not in done.stdout
    assert "edge.detect.pyramid" in done.stdout
