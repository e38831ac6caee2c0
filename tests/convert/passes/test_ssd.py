from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("onnxruntime", reason="onnxruntime is not installed (extra convert)")

from convert.importers.base import Request
from convert.importers.caffe import import_caffe
from convert.network import Network, Node, Port
from convert.passes.ssd import SsdForm, decoded, detection_head, priors_of
from convert.passes.tidy import tidy
from convert.runners.onnx_runtime import OnnxRuntimeRunner
from convert.targets.base import Options
from convert.targets.onnx import write_onnx
from edge.config.settings import Detect
from edge.datatypes import Image
from edge.detect import make_detector, ssd
from edge.errors import ModelError
from tests.support.bundles import SSD, YUNET, detector_bundle
from tests.support.data import test_data

RETINAFACE = SsdForm(offsets="mbox_loc", scores="mbox_conf_flatten", priors="mbox_priorbox")
RETINAFACE_USE: dict[str, Any] = {
    "kind": "ssd", "confidence": 0.5, "nms_iou": 0.3, "input_width_px": 192, "input_height_px": 192, "colour_order": "BGR",
    "normalisation": {"kind": "fixed", "mean": 115.0, "std": 1.0}, "smallest_px": 32, "largest_px": 192,
}  # fmt: skip


def raw() -> Network:
    """Offsets and scores for a picture of 64x48, from three numbers of it."""
    count = len(ssd.priors(64, 48))
    nodes = (
        Node("GlobalAveragePool", "mean", ("picture",), ("mean",)),
        Node("Flatten", "flat", ("mean",), ("flat",), {"axis": 1}),
        Node("MatMul", "offsets", ("flat", "a"), ("boxes",)),
        Node("MatMul", "scores", ("flat", "b"), ("scores",)),
    )
    random = np.random.default_rng(0)
    constants = {name: random.normal(0, 1, (3, count * each)).astype(np.float32) for name, each in (("a", 4), ("b", 2))}
    return Network((Port("picture", (None, 3, 48, 64)),), ("boxes", "scores"), nodes, constants)


def test_boxes_are_decoded_as_the_device_decodes_them() -> None:
    network = raw()
    picture = np.random.default_rng(1).normal(1, 1, (1, 3, 48, 64)).astype(np.float32)
    form = SsdForm(offsets="boxes", scores="scores", priors="ultralight")

    before = OnnxRuntimeRunner(network).run({"picture": picture})
    found = OnnxRuntimeRunner(decoded(network, form)).run({"picture": picture})

    expected = ssd.corners(before["boxes"].reshape(-1, 4), ssd.priors(64, 48))
    assert np.abs(found["boxes"][0] - expected).max() < 1e-5
    assert np.array_equal(found["scores"].reshape(1, -1), before["scores"])


def test_raw_outputs_and_their_priors_are_what_post_processing_needs() -> None:
    form = SsdForm(offsets="boxes", scores="scores", priors="ultralight", variances=(0.3, 0.4))

    network, head = detection_head(raw(), form, confidence=0.4, nms_iou=0.2, most=7)

    assert network.outputs == (head.scores, head.offsets)
    assert (head.variances, head.confidence, head.nms_iou, head.most) == ((0.3, 0.4), 0.4, 0.2, 7)
    assert np.array_equal(head.priors, ssd.priors(64, 48))


@pytest.mark.parametrize(
    ("form", "words"),
    [
        (SsdForm("absent", "scores", "ultralight"), "no output absent"),
        (SsdForm("scores", "boxes", "ultralight"), "offsets and"),
        (SsdForm("boxes", "scores", "absent"), "no constant priors"),
        (SsdForm("boxes", "scores", "scores"), "no constant priors"),
    ],
)
def test_a_form_that_does_not_fit_is_refused(form: SsdForm, words: str) -> None:
    with pytest.raises(ModelError, match=words):
        decoded(raw(), form)


def test_priors_with_a_variance_each_are_refused() -> None:
    values = np.zeros((1, 2, 8), np.float32)
    values[0, 1] = [0.1, 0.1, 0.2, 0.2, 0.3, 0.3, 0.2, 0.2]
    network = raw().with_constants({"priors": values})

    with pytest.raises(ModelError, match="differ from prior to prior"):
        priors_of(network, SsdForm("boxes", "scores", "priors"))


@pytest.fixture(scope="module")
def retinaface() -> Network:
    names = ("deploy.prototxt", "Widerface-RetinaFace.caffemodel")
    paths = tuple(test_data("models", "retinaface-caffe", name) for name in names)
    return tidy(import_caffe(Request(paths, shapes={"": (1, 3, 192, 192)})).network)


@pytest.mark.skipif(not hasattr(cv2.dnn, "readNetFromCaffe"), reason="OpenCV 5 does not read Caffe files")
def test_retinafaces_boxes_are_those_of_opencvs_detection_output(retinaface: Network, collins: Image) -> None:
    files = [
        str(test_data("models", "retinaface-caffe", name))
        for name in ("deploy.prototxt", "Widerface-RetinaFace.caffemodel")
    ]
    theirs = cv2.dnn.readNetFromCaffe(*files)
    blob = cv2.dnn.blobFromImage(collins, 1.0, (192, 192), (115, 115, 115))
    theirs.setInput(blob)
    best = theirs.forward("detection_out").reshape(-1, 7)[0]

    found = OnnxRuntimeRunner(decoded(retinaface, RETINAFACE)).run({"data": blob})

    row = int(found["scores"][0, :, 1].argmax())
    assert found["scores"][0, row, 1] == pytest.approx(best[2], abs=1e-5)
    assert np.abs(found["boxes"][0, row] - best[3:]).max() < 1e-5


def test_retinaface_finds_the_faces_that_yunet_finds(
    retinaface: Network, lfw: list[Image], collins: Image, tmp_path: Path
) -> None:
    (path,) = write_onnx(decoded(retinaface, RETINAFACE), tmp_path / "retinaface.onnx", Options())
    ours = make_detector(detector_bundle(tmp_path / "ours", path, RETINAFACE_USE), Detect())
    yunet = test_data("models", "yunet", "yunet_n_320_320.onnx")
    theirs = make_detector(detector_bundle(tmp_path / "yunet", yunet, YUNET), Detect())

    overlaps = []
    for image in (*lfw, collins):
        wanted = max(theirs.detect(image), key=lambda face: face.box.side)
        overlaps.append(max((face.box.iou(wanted.box) for face in ours.detect(image)), default=0.0))

    # It wants a face as a whole: of these 51 it misses one that is turned away.
    assert np.mean(np.array(overlaps) > 0.5) >= 0.95
    assert np.median(overlaps) > 0.7


def test_an_ultralight_model_decoded_here_is_the_one_with_post_processing(collins: Image, tmp_path: Path) -> None:
    from convert.importers.onnx import import_onnx

    source = test_data("models", "ultralight", "version-RFB-320_without_postprocessing.onnx")
    form = SsdForm(offsets="boxes", scores="scores", priors="ultralight")
    (path,) = write_onnx(decoded(tidy(import_onnx(Request((source,))).network), form), tmp_path / "rfb.onnx", Options())
    published = test_data("models", "ultralight", "version-RFB-320.onnx")
    ours, theirs = (
        make_detector(detector_bundle(tmp_path / name, file, SSD), Detect()).detect(collins)
        for name, file in (("ours", path), ("theirs", published))
    )

    assert len(ours) == len(theirs) > 0
    assert all(one.box.iou(other.box) > 0.999 for one, other in zip(ours, theirs, strict=True))
