from __future__ import annotations

import cv2
import numpy as np
import pytest

pytest.importorskip("onnxruntime", reason="onnxruntime is not installed (extra convert)")

from convert.importers.base import Imported, Request
from convert.importers.caffe import import_caffe
from convert.runners.onnx_runtime import OnnxRuntimeRunner
from tests.support.data import test_data

RETINAFACE = ("retinaface-caffe", "deploy.prototxt", "Widerface-RetinaFace.caffemodel")
MODELS = {
    "pnet": (("mtcnn-caffe", "det1.prototxt", "det1.caffemodel"), (1, 3, 37, 52), ("conv4-2", "prob1"), 11, 6632),
    "rnet": (("mtcnn-caffe", "det2.prototxt", "det2.caffemodel"), (2, 3, 24, 24), ("conv5-2", "prob1"), 14, 100178),
    "onet": (
        ("mtcnn-caffe", "det3.prototxt", "det3.caffemodel"),
        (2, 3, 48, 48),
        ("conv6-2", "conv6-3", "prob1"),
        19,
        389040,
    ),
    "retinaface": (RETINAFACE, (1, 3, 192, 192), ("mbox_loc", "mbox_priorbox", "mbox_conf_flatten"), 216, None),
    "retinaface, odd size": (
        RETINAFACE,
        (1, 3, 150, 203),
        ("mbox_loc", "mbox_priorbox", "mbox_conf_flatten"),
        216,
        None,
    ),
}


def opened(name: str) -> Imported:
    (folder, *names), shape, *_ = MODELS[name]
    return import_caffe(
        Request(tuple(test_data("models", folder, each) for each in names), shapes={"": (1, *shape[1:])})
    )


@pytest.mark.skipif(not hasattr(cv2.dnn, "readNetFromCaffe"), reason="OpenCV 5 does not read Caffe files")
@pytest.mark.parametrize("name", MODELS)
def test_every_layer_of_a_published_model_is_what_opencv_computes(name: str) -> None:
    _, shape, outputs, least, parameters = MODELS[name]
    made = opened(name)
    values = np.random.default_rng(1).uniform(0, 255, shape).astype(np.float32)
    feeds = {"data": values if "retinaface" in name else (values - 127.5) / 128}
    names = made.reference.tensors

    wanted = made.reference.run(feeds, names)
    found = OnnxRuntimeRunner(made.network).run(feeds, names)

    assert made.network.outputs == outputs
    assert len(names) >= least - 2
    assert parameters is None or made.network.parameters() == parameters
    for tensor in names:
        assert found[tensor].shape == wanted[tensor].shape, tensor
        scale = float(np.abs(wanted[tensor]).max())
        assert float(np.abs(found[tensor] - wanted[tensor]).max()) <= 1e-5 * scale, tensor
