"""Frozen TensorFlow graphs in `cv2.dnn`, against TensorFlow."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from convert.proof.compare import Side, compare_files
from convert.proof.feeds import Pixels, Wish
from convert.runners import open_runner
from convert.runners.opencv_layers import layers_by_node
from edge.bundle.manifest import Normalisation
from tests.support.data import test_data


def test_a_layer_stands_for_what_is_melted_into_it() -> None:
    nodes = {
        "image": (),
        "conv/Conv2D": ("image", "w"),
        "conv/BiasAdd": ("conv/Conv2D", "b"),
        "conv/Relu": ("conv/BiasAdd:0", "^image"),
        "branch": ("conv/Relu",),
        "sum": ("branch", "conv/Relu"),
    }
    graph = SimpleNamespace(node=[SimpleNamespace(name=name, input=list(inputs)) for name, inputs in nodes.items()])
    found = layers_by_node(graph, ["conv/Conv2D", "conv/Relu", "branch", "sum"])
    assert found == {"conv/BiasAdd": "conv/Conv2D", "conv/Relu": "conv/Relu", "branch": "branch", "sum": "sum"}


def test_every_layer_of_a_real_graph() -> None:
    pytest.importorskip("tensorflow", reason="TensorFlow is not installed", exc_type=ImportError)
    path = test_data("models", "headpose-tf1", "headposegaze-112-gray.pb")
    pixels = Pixels("RGB", Normalisation(mean=0.0, std=255.0))
    found = compare_files(Side(path, "", pixels), Side(path, "opencv", pixels), Wish(count=2), with_layers=True)
    assert found.passed is True
    assert found.layers is not None
    assert found.layers.first_beyond is None
    assert len(found.layers.layers) > 100


def test_inputs_and_outputs_are_found() -> None:
    pytest.importorskip("tensorflow", reason="TensorFlow is not installed", exc_type=ImportError)
    runner = open_runner(test_data("models", "headpose-tf1", "headposegaze-112-gray.pb"), runtime="opencv")
    assert [(port.name, port.shape) for port in runner.inputs] == [("image", (1, 1, 112, 112))]
    feeds = {"image": np.zeros((1, 1, 112, 112), np.float32)}
    assert {name: value.shape for name, value in runner.run(feeds).items()} == {runner.outputs[0]: (1, 9)}
