"""The self-test: what sound bundles pass, and what is told of all others."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge.bundle import load_bundle
from edge.bundle.drawn_face import scene
from edge.bundle.selftest import SelfTest, judge, self_test
from edge.bundle.selftest_process import measured
from edge.config.settings import Detect, Runtime, Settings, Updates
from edge.datatypes import AlignedFace, Embedding
from edge.detect import make_detector
from edge.errors import BundleError, ModelError
from edge.interpreter import installed_runtimes
from edge.reader import Models, PictureReader, load_models
from tests.support.bundles import SSD, YUNET, make_bundle
from tests.support.data import test_data

SOUND: dict[str, Any] = {
    "faces": 1, "faces_smaller": 1, "overlap": 0.8, "similarity": 0.9, "noise_similarity": 0.1, "frame_ms": 20.0,
}  # fmt: skip


@pytest.mark.skipif(not installed_runtimes(), reason="no TFLite runtime")
def test_the_packages_own_bundle_passes() -> None:
    report = self_test(Settings(updates=Updates(budget_ms=60_000)), load_bundle())
    assert report.similarity > 0.8
    assert report.noise_similarity < 0.4
    assert report.frame_ms > 0


@pytest.mark.parametrize(
    ("parts", "section"),
    [
        (("yunet", "yunet_n_320_320.onnx"), YUNET),
        (("ultralight", "version-RFB-320.onnx"), SSD),
        (("ultralight", "version-slim-320.onnx"), SSD),
    ],
)
def test_other_detectors_find_the_drawn_face(tmp_path: Path, parts: tuple[str, str], section: dict[str, Any]) -> None:
    file = test_data("models", *parts)
    template = {"alignment_template": "facenet-160x160"} if section is SSD else {}
    bundle = make_bundle(tmp_path, detector_file=file, detector=section, overrides={"embedder": template})
    for share, mirrored in ((1.0, False), (0.5, True)):
        picture, box = scene(share, mirrored=mirrored)
        [found] = make_detector(load_bundle(bundle), Detect()).detect(picture)
        assert found.box.iou(box) > 0.5


def test_the_drawn_face_is_the_same_on_every_box() -> None:
    picture, box = scene()
    assert picture.shape == (480, 640, 3)
    assert picture.dtype == np.uint8
    # Not byte for byte: OpenCV's versions smooth edges a little differently.
    assert cv2.mean(picture)[:3] == pytest.approx((133.9, 137.1, 143.6), abs=1.5)
    assert box.contains(320, 250)


def test_what_sound_bundles_measure_is_passed() -> None:
    report = judge(SOUND, 20.0, "x")
    assert (report.frame_ms, report.similarity) == (20.0, 0.9)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"faces": 0}, "finds 0 faces"), ({"faces": 2}, "finds 2 faces"), ({"faces_smaller": 0}, "finds 0 faces"),
        ({"overlap": 0.1}, "finds the face elsewhere"), ({"overlap": math.nan}, "finds the face elsewhere"),
        ({"similarity": 0.5}, "unlike itself"), ({"similarity": math.nan}, "unlike itself"),
        ({"noise_similarity": 0.9}, "from noise"), ({"noise_similarity": math.nan}, "from noise"),
        ({"frame_ms": 20.1}, "for a frame; expected at most updates.budget_ms, 20"), ({"frame_ms": math.nan}, "for a frame"),
    ],
)  # fmt: skip
def test_what_is_not_passed(change: dict[str, Any], problem: str) -> None:
    with pytest.raises(BundleError, match=problem):
        judge({**SOUND, **change}, 20.0, "x")


@pytest.mark.skipif(not installed_runtimes(), reason="no TFLite runtime")
def test_an_embedder_that_answers_always_the_same_is_found_out() -> None:
    models = load_models(Settings())
    first = PictureReader(models).faces(scene()[0])[0].embedding

    class Stuck:
        template, embedder_id = models.embedder.template, models.embedder.embedder_id

        def embed(self, faces: Sequence[AlignedFace]) -> list[Embedding]:
            return [first for _ in faces]

    found = measured(Models(models.bundle, models.detector, Stuck()))
    with pytest.raises(BundleError, match="from noise"):
        judge(found, 1000.0, "x")


def test_an_artifact_that_no_runtime_loads_is_told(tmp_path: Path) -> None:
    bundle = load_bundle(make_bundle(tmp_path, detector_file=Path(__file__)))
    with pytest.raises((BundleError, ModelError)):
        self_test(Settings(), bundle)


def other(*program: str, start_s: float = 60.0, budget_ms: float = 1000.0) -> SelfTest:
    settings = Settings(updates=Updates(budget_ms=budget_ms), runtime=Runtime(threads=1))
    return SelfTest(settings, load_bundle(), program=program, start_s=start_s)


@pytest.mark.parametrize(
    ("code", "problem"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "crashes this box's runtime \\(SIGSEGV\\)"),
        ("raise SystemExit(3)", "ends with exit code 3"),
        ("print('x' * 1_000_000)", "ends with exit code 0"),
    ],
)
def test_a_crash_is_told_and_stays_in_its_process(code: str, problem: str) -> None:
    running = other("-S", "-c", code)
    try:
        with pytest.raises(BundleError, match=problem):
            running.wait()
    finally:
        running.close()


def test_a_hang_is_ended() -> None:
    running = other("-S", "-c", "import time; time.sleep(1000)", start_s=0.1, budget_ms=1.0)
    with pytest.raises(BundleError, match="gives no answer within"):
        running.wait()
    running.close()
    assert running._process.returncode == -9


def test_what_libraries_print_does_not_matter() -> None:
    code = f"print('x' * 200_000); import json; print(json.dumps({SOUND}))"
    running = other("-S", "-c", code)
    assert running.wait().frame_ms == 20.0
    running.close()
