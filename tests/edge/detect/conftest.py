from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge.bundle import Bundle, default_bundle_folder
from edge.config.settings import Detect
from edge.datatypes import Image
from edge.detect import Pyramid, make_detector
from tests.support import bundles
from tests.support.data import test_data

ONNX = {
    "own": ("default-model", "detector.onnx"),
    "yunet": ("models", "yunet", "yunet_n_320_320.onnx"),
    "rfb": ("models", "ultralight", "version-RFB-320.onnx"),
    "rfb-offsets": ("models", "ultralight", "version-RFB-320_without_postprocessing.onnx"),
    "slim": ("models", "ultralight", "version-slim-320.onnx"),
}
SECTIONS: dict[str, dict[str, Any]] = {
    "own": bundles.YUNET,
    "yunet": bundles.YUNET,
    "rfb": bundles.SSD,
    "rfb-offsets": {**bundles.SSD, "box_form": "offsets"},
    "slim": bundles.SSD,
    "mtcnn": bundles.MTCNN,
}


def onnx_file(kind: str) -> Path:
    """The project's own detector comes with the package; the others are test data."""
    packaged = default_bundle_folder() / "detector.onnx"
    return packaged if kind == "own" and packaged.is_file() else test_data(*ONNX[kind])


BundleOf = Callable[..., Bundle]
DetectorOf = Callable[..., Pyramid]


@pytest.fixture(scope="session")
def mtcnn_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    pytest.importorskip("onnx", reason="onnx is not installed (dev dependency)")
    from tests.support.mtcnn_onnx import write_all

    return write_all(test_data("models", "mtcnn-numpy"), tmp_path_factory.mktemp("mtcnn"))


@pytest.fixture(scope="session")
def bundle_of(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> BundleOf:
    """Kind -> a bundle with that detector; keywords change the manifest's section."""

    def make(kind: str, **changes: Any) -> Bundle:
        files = request.getfixturevalue("mtcnn_files") if kind == "mtcnn" else onnx_file(kind)
        return bundles.detector_bundle(tmp_path_factory.mktemp(kind), files, {**SECTIONS[kind], **changes})

    return make


@pytest.fixture(scope="session")
def detector_of(bundle_of: BundleOf) -> DetectorOf:
    """Kind and settings -> detector, each made once."""
    made: dict[object, Pyramid] = {}

    def make(kind: str, **settings: Any) -> Pyramid:
        key = (kind, *sorted(settings.items()))
        if key not in made:
            made[key] = make_detector(bundle_of(kind), Detect(**settings))
        return made[key]

    return make


@pytest.fixture(scope="session")
def both(hopper: Image, collins: Image) -> Image:
    """Two people side by side; 1024x512."""
    return np.hstack([cv2.resize(hopper, (512, 600))[:512], collins])
