from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest

from convert.importers.base import Request
from convert.importers.onnx import import_onnx
from convert.network import Network
from convert.passes.tidy import tidy
from convert.train.detector.network import STRIDES
from convert.train.detector.teacher import Teacher
from edge.detect.yunet import VALUES
from edge.errors import ModelError
from tests.convert.train.detector.made import changed_student, pixels, written
from tests.support.data import test_data

torch = pytest.importorskip("torch", reason="PyTorch is not installed")


def test_a_written_student_teaches_its_own_maps() -> None:
    student = changed_student(2)
    views = pixels(2, 64, 96)
    theirs = Teacher(written(student))(views)
    with torch.no_grad():
        mine = student(views)
    for stride in STRIDES:
        assert theirs.heads[stride].shape == mine.heads[stride].shape
        assert (theirs.heads[stride] - mine.heads[stride]).abs().max() < 1e-3
    assert list(theirs.stages) == list(mine.stages)
    for name, values in mine.stages.items():
        assert (theirs.stages[name] - values).abs().max() < 1e-3


def test_yunet_as_its_file_has_it() -> None:
    onnxruntime = pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")
    path = test_data("models", "yunet", "yunet_n_320_320.onnx")
    teacher = Teacher(tidy(import_onnx(Request(files=(path,))).network))
    views = pixels(2, 320, 320)
    maps = teacher(views)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    for place in range(2):
        made = dict(zip(names, session.run(None, {"input": views[place : place + 1].numpy()}), strict=True))
        for stride in STRIDES:
            rows = maps.heads[stride][place].flatten(1).T.numpy()
            rows[:, :2] = 1 / (1 + np.exp(-rows[:, :2]))
            expected = np.concatenate([made[f"{kind}_{stride}"][0] for kind in VALUES], 1)
            assert np.abs(rows - expected).max() < 1e-3
    assert [tuple(values.shape[1:]) for values in maps.stages.values()] == [
        (16, 80, 80), (64, 40, 40), (64, 40, 40), (64, 20, 20), (64, 10, 10),
    ]  # fmt: skip


def _without(op: str) -> Callable[[Network], Network]:
    def left_out(network: Network) -> Network:
        nodes = tuple(
            dataclasses.replace(node, op="Relu", inputs=node.inputs[:1]) if node.op == op else node
            for node in network.nodes
        )
        return dataclasses.replace(network, nodes=nodes)

    return left_out


def _fewer_channels(network: Network) -> Network:
    return network.with_constants({"head16.depth.weight": network.constants["head16.depth.weight"][:12]})


def _renamed(network: Network) -> Network:
    nodes = tuple(
        dataclasses.replace(node, outputs=("other",)) if node.output == "kps_8" else node for node in network.nodes
    )
    return dataclasses.replace(network, nodes=nodes)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (_without("MaxPool"), "0 maxima over places"),
        (_without("Resize"), "nothing that enlarges"),
        (_renamed, "'kps_8' does not come from a convolution"),
        (_fewer_channels, "12 channels of stride 16"),
    ],
)
def test_a_network_of_another_form_is_refused(change: Callable[[Network], Network], says: str) -> None:
    with pytest.raises(ModelError, match=says):
        Teacher(change(written(changed_student(2))))
