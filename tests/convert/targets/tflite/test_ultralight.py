"""A published face detector with and without post-processing, float and uint8, in both runtimes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="TensorFlow is not installed (pip install 'ostiary[convert]')")
pytest.importorskip("onnxruntime", reason="onnxruntime is not installed (pip install 'ostiary[convert]')")

from convert.importers.base import Request
from convert.importers.onnx import import_onnx
from convert.passes.tidy import tidy
from convert.runners.delegation import delegated_nodes
from convert.targets.base import DetectionHead, Options
from convert.targets.tflite import TARGETS, oldest_runtime_faults
from convert.targets.tflite.post_process import OUTPUTS, decoded
from edge.detect.ssd import priors
from tests.convert.other_runtimes import RUNTIMES, run_tflite
from tests.support.data import astronaut, grace_hopper, test_data

# TensorFlow and its dependencies warn about themselves.
pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.slow]

WIDTH, HEIGHT = 320, 240


def feed(path: Path) -> Any:
    """float32 (1, 240, 320, 3), RGB, as the network was trained."""
    rgb = cv2.cvtColor(cv2.resize(cv2.imread(str(path)), (WIDTH, HEIGHT)), cv2.COLOR_BGR2RGB)
    return ((rgb[np.newaxis].astype(np.float32)) - 127) / 128


def source() -> Path:
    return test_data("models", "ultralight", "version-RFB-320_without_postprocessing.onnx")


def head() -> DetectionHead:
    return DetectionHead("boxes", "scores", priors(WIDTH, HEIGHT), confidence=0.7, nms_iou=0.3, most=20)


def written(precision: str, folder: Path, **options: Any) -> Path:
    path = folder / "detector.tflite"
    examples = np.concatenate([feed(grace_hopper()), feed(astronaut())]).transpose(0, 3, 1, 2)
    network = tidy(import_onnx(Request((source(),))).network)
    TARGETS[precision](network, path, Options(examples={"input": examples}, **options))
    assert oldest_runtime_faults(path.read_bytes()) == []
    return path


def session() -> Any:
    """The original file in its own runtime."""
    from onnxruntime import InferenceSession

    return InferenceSession(str(source()), providers=["CPUExecutionProvider"])


def surest(picture: Any) -> tuple[Any, float]:
    """Box and score of the surest prior, by the original file."""
    scores, boxes = session().run(["scores", "boxes"], {"input": picture.transpose(0, 3, 1, 2)})
    place = int(scores[0, :, 1].argmax())
    return decoded(boxes[0], head())[place], float(scores[0, place, 1])


@pytest.mark.parametrize("python", RUNTIMES)
@pytest.mark.parametrize(("precision", "tolerance"), [("tflite-float32", 1e-5), ("tflite-uint8", 0.12)])
def test_boxes_of_the_appended_operator(precision: str, tolerance: float, python: Path, tmp_path: Path) -> None:
    path = written(precision, tmp_path, head=head())
    for picture in (feed(grace_hopper()), feed(astronaut())):
        found = run_tflite(python, path, {"input": picture})
        box, score = surest(picture)
        assert tuple(found) == OUTPUTS
        assert found["count"].tolist() == [1]
        assert found["scores"][0, 0] == pytest.approx(score, abs=tolerance)
        np.testing.assert_allclose(found["boxes"][0, 0], box, atol=tolerance)


@pytest.mark.parametrize("python", RUNTIMES)
def test_raw_outputs_are_those_of_the_source(python: Path, tmp_path: Path) -> None:
    path = written("tflite-float32", tmp_path)
    picture = feed(grace_hopper())
    found = run_tflite(python, path, {"input": picture})
    expected = session().run(list(found), {"input": picture.transpose(0, 3, 1, 2)})
    for value, wanted in zip(found.values(), expected, strict=True):
        np.testing.assert_allclose(value, wanted, atol=1e-4)


def test_only_the_post_processing_is_left_to_reference_kernels(tmp_path: Path) -> None:
    pytest.importorskip("ai_edge_litert", reason="ai-edge-litert is not installed (pip install 'ostiary[litert]')")
    whole = delegated_nodes(written("tflite-float32", tmp_path))
    assert whole.complete
    assert whole.partitions == 1
    found = delegated_nodes(written("tflite-float32", tmp_path, head=head()))
    assert found.left == (("GATHER", 1), ("TFLite_Detection_PostProcess", 1))
    assert found.delegated == whole.delegated
