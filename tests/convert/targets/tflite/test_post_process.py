"""The appended operator against a NumPy decode and suppression of the same raw outputs, in both runtimes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="TensorFlow is not installed (pip install 'ostiary[convert]')")

from convert.network import Network, Node, Port
from convert.targets.base import DetectionHead
from convert.targets.tflite.describe import describe_tflite
from convert.targets.tflite.flatbuffer import packed
from convert.targets.tflite.ports import name_ports
from convert.targets.tflite.post_process import OPERATOR, OUTPUTS, append_post_process, decoded, raw_outputs
from edge.errors import ModelError, UsageError
from tests.convert.other_runtimes import RUNTIMES, run_tflite
from tests.convert.targets.tflite.files import passing

COUNT = 60
PRIORS = np.random.default_rng(0).uniform(0.2, 0.8, (COUNT, 4)).astype(np.float32)


def head(**changes: Any) -> DetectionHead:
    return DetectionHead("offsets", "scores", PRIORS, **{"confidence": 0.6, "most": 40, **changes})


def raw(classes: int, seed: int = 1) -> dict[str, Any]:
    """Offsets and scores such as a network gives; scores far enough apart that no order is a matter of rounding."""
    generator = np.random.default_rng(seed)
    scores = generator.permutation(COUNT * classes).reshape(1, COUNT, classes) / (COUNT * classes)
    return {"offsets": generator.normal(0, 1, (1, COUNT, 4)).astype(np.float32), "scores": scores.astype(np.float32)}


def iou(one: Any, other: Any) -> float:
    low, high = np.maximum(one[:2], other[:2]), np.minimum(one[2:], other[2:])
    shared = np.prod(np.maximum(high - low, 0))
    return float(shared / (np.prod(one[2:] - one[:2]) + np.prod(other[2:] - other[:2]) - shared))


def detections(values: dict[str, Any], of: DetectionHead) -> list[tuple[int, float, Any]]:
    """(class, score, box), the surest first: each class suppressed for itself."""
    y, x, height, width = of.priors[:, 1], of.priors[:, 0], of.priors[:, 3], of.priors[:, 2]
    dx, dy, dw, dh = values["offsets"][0].T
    cy, cx = dy * of.variances[0] * height + y, dx * of.variances[0] * width + x
    h, w = np.exp(dh * of.variances[1]) * height, np.exp(dw * of.variances[1]) * width
    boxes = np.stack([cy - h / 2, cx - w / 2, cy + h / 2, cx + w / 2], axis=1)
    kept: list[tuple[int, float, Any]] = []
    for which in range(values["scores"].shape[2] - 1):
        scores = values["scores"][0, :, which + 1]
        of_class: list[tuple[int, float, Any]] = []
        for place in np.argsort(-scores):
            if scores[place] >= of.confidence and all(iou(boxes[place], box) <= of.nms_iou for _, _, box in of_class):
                of_class.append((which, float(scores[place]), boxes[place]))
        kept += of_class
    return sorted(kept, key=lambda item: -item[1])[: of.most]


def written(folder: Path, of: DetectionHead, classes: int, **how: Any) -> Path:
    model = passing({"offsets": (1, COUNT, 4), "scores": (1, COUNT, classes)}, **how)
    append_post_process(model, of)
    name_ports(model, ("offsets", "scores"), OUTPUTS)
    path = folder / "detector.tflite"
    path.write_bytes(packed(model))
    return path


def same(found: dict[str, Any], expected: list[tuple[int, float, Any]], tolerance: float) -> None:
    count = int(found["count"][0])
    assert count == len(expected) > 3
    assert [int(which) for which in found["classes"][0, :count]] == [which for which, _, _ in expected]
    np.testing.assert_allclose(found["scores"][0, :count], [score for _, score, _ in expected], atol=tolerance)
    np.testing.assert_allclose(found["boxes"][0, :count], np.array([box for _, _, box in expected]), atol=tolerance)


@pytest.mark.parametrize("python", RUNTIMES)
@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("changes", [{}, {"nms_iou": 0.6, "variances": (0.2, 0.1)}, {"most": 5}], ids=str)
def test_boxes_are_those_of_a_numpy_decode(python: Path, classes: int, changes: Any, tmp_path: Path) -> None:
    of, values = head(**changes), raw(classes)
    found = run_tflite(python, written(tmp_path, of, classes), values)
    assert set(found) == set(OUTPUTS)
    assert found["boxes"].shape == (1, of.most, 4)
    assert found["classes"].shape == found["scores"].shape == (1, of.most)
    same(found, detections(values, of), 1e-5)


@pytest.mark.parametrize("python", RUNTIMES)
def test_integers_are_made_real_first(python: Path, tmp_path: Path) -> None:
    scales = (0.03, 2 / 255)
    values = raw(2)
    values["scores"] = values["scores"] * 2 - 1
    rounded = {
        name: np.clip(np.round(values[name] / scale), -128, 127) * scale
        for name, scale in zip(values, scales, strict=True)
    }
    path = written(tmp_path, head(confidence=0.1), 2, dtype="uint8", scales=scales)
    view = describe_tflite(path.read_bytes())
    assert view.operators == {("DEQUANTIZE", 1): 2, ("GATHER", 1): 1, (OPERATOR, 1): 1}
    found = run_tflite(python, path, values)
    count = int(found["count"][0])
    expected = detections(rounded, head(confidence=0.1))
    assert count == len(expected)
    # Scores a step apart may tie: boxes are compared as sets, not in their order.
    ordered = sorted(found["boxes"][0, :count].tolist())
    np.testing.assert_allclose(ordered, sorted(box.tolist() for _, _, box in expected), atol=1e-5)


def test_nothing_above_the_confidence_is_a_count_of_zero(tmp_path: Path) -> None:
    values = raw(2)
    values["scores"] = values["scores"] * 0
    found = run_tflite(Path(__import__("sys").executable), written(tmp_path, head(), 2), values)
    assert found["count"].tolist() == [0]


def test_decoded_is_what_the_operator_decodes() -> None:
    values = raw(2)
    everything = head(confidence=-1.0, nms_iou=1.0, most=COUNT)
    boxes = sorted(decoded(values["offsets"][0], everything).tolist())
    expected = sorted(box.tolist() for _, _, box in detections(values, everything))
    np.testing.assert_allclose(boxes, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("priors", "scores", "found"),
    [
        (PRIORS[:10], (1, COUNT, 2), r"outputs of shapes \(1, 60, 4\)"),
        (PRIORS, (1, COUNT, 1), "outputs of shapes"),
        (PRIORS, (1, COUNT), "outputs of shapes"),
    ],
)
def test_shapes_that_do_not_belong_together_are_refused(priors: Any, scores: tuple[int, ...], found: str) -> None:
    model = passing({"offsets": (1, COUNT, 4), "scores": scores})
    with pytest.raises(ModelError, match=found):
        append_post_process(model, DetectionHead("offsets", "scores", priors))


def detector() -> Network:
    nodes = (Node("Relu", "a", ("image",), ("offsets",)), Node("Neg", "b", ("image",), ("scores",)))
    return Network((Port("image", (1, COUNT, 4)),), ("scores", "offsets"), nodes, {})


def test_other_outputs_are_left_out_and_these_stand_in_order() -> None:
    assert raw_outputs(detector(), head(), 1).outputs == ("offsets", "scores")


def test_a_head_that_does_not_fit_says_why() -> None:
    with pytest.raises(UsageError, match="no output boxes"):
        raw_outputs(detector(), DetectionHead("boxes", "scores", PRIORS), 1)
    with pytest.raises(ModelError, match="batch open"):
        raw_outputs(detector(), head(), None)
    with pytest.raises(ModelError, match="batch 2"):
        raw_outputs(detector(), head(), 2)
    with pytest.raises(ModelError, match="priors of shape"):
        raw_outputs(detector(), DetectionHead("offsets", "scores", PRIORS[:, :3]), 1)
