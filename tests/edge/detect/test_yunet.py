from __future__ import annotations

import math

import cv2
import numpy as np
import pytest

from edge.datatypes import Box, Image
from edge.detect.finder import Limits
from edge.detect.network import opencv_silenced
from edge.detect.yunet import OUTPUTS, STRIDES, YuNet, decode
from tests.edge.detect.conftest import BundleOf

OPENCV = tuple(int(part) for part in cv2.__version__.split(".")[:2])
CONFIDENCE, NMS_IOU = 0.6, 0.3


def finder_of(bundle_of: BundleOf, kind: str) -> YuNet:
    bundle = bundle_of(kind)
    return YuNet(bundle.path("detector-model.onnx"), bundle.manifest.detector, Limits(CONFIDENCE, NMS_IOU))


@pytest.mark.skipif(OPENCV < (4, 8), reason="FaceDetectorYN of this OpenCV expects another layout of outputs")
@pytest.mark.parametrize("kind", ["yunet", "own"])
@pytest.mark.parametrize("size", [(320, 320), (640, 375), (333, 217), (160, 90)])
def test_boxes_and_landmarks_are_those_of_facedetectoryn(
    kind: str, size: tuple[int, int], bundle_of: BundleOf, both: Image, lfw: list[Image]
) -> None:
    bundle = bundle_of(kind)
    with opencv_silenced():
        reference = cv2.FaceDetectorYN.create(
            str(bundle.path("detector-model.onnx")), "", size, CONFIDENCE, NMS_IOU, 5000
        )
    finder, compared = finder_of(bundle_of, kind), 0
    for source in (both, *lfw[:5]):
        image = np.asarray(cv2.resize(source, size), np.uint8)
        _, rows = reference.detect(image)
        ours = finder.find(image, 0)
        theirs = np.zeros((0, 15), np.float32) if rows is None else rows

        assert len(ours) == len(theirs)
        for detection, row in zip(ours.detections(), theirs[np.argsort(-theirs[:, 14], kind="stable")], strict=True):
            assert detection.box.iou(Box(row[0], row[1], row[0] + row[2], row[1] + row[3])) > 0.99
            assert detection.landmarks is not None
            assert np.abs(detection.landmarks - row[4:14].reshape(5, 2)).max() < 0.5
            assert detection.confidence == pytest.approx(row[14], abs=1e-4)
            compared += 1
    assert compared >= 5


@pytest.mark.parametrize("kind", ["yunet", "own"])
def test_landmarks_are_in_our_order(kind: str, bundle_of: BundleOf, hopper: Image) -> None:
    points = finder_of(bundle_of, kind).find(hopper, 0).detections()[0].landmarks

    assert points is not None
    right_eye, left_eye, nose, right_mouth, left_mouth = points
    assert right_eye[0] < nose[0] < left_eye[0]
    assert right_mouth[0] < left_mouth[0]
    assert max(right_eye[1], left_eye[1]) < nose[1] < min(right_mouth[1], left_mouth[1])


@pytest.mark.parametrize("size", [(1, 1), (16, 9), (640, 3), (3, 640), (32, 32), (65, 64)])
def test_no_map_is_one_pixel_wide_or_high(size: tuple[int, int], bundle_of: BundleOf) -> None:
    finder, shapes = finder_of(bundle_of, "yunet"), []
    run = finder._network.run

    class Watching:
        def run(self, blob: np.ndarray) -> list[np.ndarray]:
            shapes.append(blob.shape)
            return run(blob)

    finder._network = Watching()  # type: ignore[assignment]
    finder.find(np.zeros((size[1], size[0], 3), np.uint8), 0)

    ((_, _, height, width),) = shapes
    assert min(height, width) >= 64
    assert height % 32 == width % 32 == 0
    assert 0 <= height - max(size[1], 64) < 32
    assert 0 <= width - max(size[0], 64) < 32


@pytest.mark.parametrize("kind", ["yunet", "own"])
@pytest.mark.parametrize("size", [(64, 64), (640, 64), (64, 320), (160, 96)])
def test_outputs_of_small_inputs_are_the_same_every_time(kind: str, size: tuple[int, int], bundle_of: BundleOf) -> None:
    blob = np.random.default_rng(1).uniform(0, 255, (1, 3, size[1], size[0])).astype(np.float32)
    runs = []
    for _ in range(3):
        outputs = finder_of(bundle_of, kind)._network.run(blob)
        runs.append(np.concatenate([output.reshape(-1) for output in outputs]))
        # Memory that is freed with large numbers in it: whoever reads what is not his finds them.
        np.full(300_000, 1e30, np.float32)

    assert np.abs(runs[0]).max() < 100
    np.testing.assert_array_equal(runs[0], runs[1])
    np.testing.assert_array_equal(runs[0], runs[2])


def raw_outputs(width: int, height: int, seed: int = 1) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    made = {}
    for name in OUTPUTS:
        kind, stride = name.split("_")
        cells = (width // int(stride)) * (height // int(stride))
        values = {"cls": 1, "obj": 1, "bbox": 4, "kps": 10}[kind]
        # Scores reach over 0 and 1, which both decoders must clip.
        spread = rng.uniform(-0.2, 1.2, (1, cells, values)) if values == 1 else rng.normal(size=(1, cells, values))
        made[name] = spread.astype(np.float32)
    return made


def slow_decode(outputs: dict[str, np.ndarray], width: int, height: int) -> list[list[float]]:
    """Cell by cell, as OpenCV writes it (objdetect/src/face_detect.cpp)."""
    rows = []
    for stride in STRIDES:
        for row in range(height // stride):
            for column in range(width // stride):
                cell = row * (width // stride) + column
                cls = min(max(float(outputs[f"cls_{stride}"][0, cell, 0]), 0.0), 1.0)
                obj = min(max(float(outputs[f"obj_{stride}"][0, cell, 0]), 0.0), 1.0)
                if math.sqrt(cls * obj) < CONFIDENCE:
                    continue
                dx, dy, dw, dh = outputs[f"bbox_{stride}"][0, cell].tolist()
                x, y = (column + dx) * stride, (row + dy) * stride
                w, h = math.exp(dw) * stride, math.exp(dh) * stride
                points = outputs[f"kps_{stride}"][0, cell].tolist()
                landmarks = [(points[2 * n + axis] + (column, row)[axis]) * stride for n in range(5) for axis in (0, 1)]
                rows.append([x - w / 2, y - h / 2, x + w / 2, y + h / 2, math.sqrt(cls * obj), *landmarks])
    return rows


@pytest.mark.parametrize("size", [(32, 32), (96, 64), (64, 160)])
def test_decoding_is_that_of_the_slow_reference(size: tuple[int, int]) -> None:
    outputs = raw_outputs(*size)

    faces = decode(outputs, size[0], CONFIDENCE)

    wanted = np.array(slow_decode(outputs, *size), np.float32)
    assert faces.landmarks is not None
    assert len(wanted) > 3
    np.testing.assert_allclose(faces.boxes, wanted[:, :4], atol=1e-3)
    np.testing.assert_allclose(faces.scores, wanted[:, 4], atol=1e-6)
    np.testing.assert_allclose(faces.landmarks.reshape(-1, 10), wanted[:, 5:], atol=1e-3)
    assert faces.dropped == 0


@pytest.mark.parametrize("name", ["cls_8", "obj_16", "bbox_8", "kps_32"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_outputs_that_are_no_numbers_are_dropped_and_counted(name: str, value: float) -> None:
    outputs = {key: np.ones_like(item) for key, item in raw_outputs(64, 64).items()}
    outputs[name][0, 1] = value

    faces = decode(outputs, 64, CONFIDENCE)

    # An infinite score is clipped to 1, as any above it.
    bad = 0 if name.startswith(("cls", "obj")) and value == np.inf else 1
    assert (len(faces), faces.dropped) == (64 + 16 + 4 - bad, bad)
    assert np.isfinite(faces.boxes).all()


@pytest.mark.parametrize("exponent", [30, 1e4])
def test_a_box_that_overflows_is_dropped_without_a_warning(exponent: float) -> None:
    outputs = {key: np.ones_like(item) for key, item in raw_outputs(32, 32).items()}
    outputs["bbox_32"][0, 0, 2] = exponent

    assert decode(outputs, 32, CONFIDENCE).dropped == 1
