from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnxruntime", reason="onnxruntime is not installed (extra convert)")

from convert.network import Port
from convert.runners.onnx_runtime import OnnxRuntimeRunner
from edge.errors import ModelError, UsageError
from tests.convert.caffe_files import headed, imported, layer, random

CONV = layer("Convolution", "conv", top="conv", more="convolution_param { num_output: 3 kernel_size: 3 }")
WEIGHTS = {"conv": [random(3, 4, 3, 3), random(3)]}
TRUNK = CONV + layer("ReLU", "relu", bottom="conv", top="conv")
X = random(1, 4, 9, 11, seed=3)


def test_layers_in_place_have_names_of_their_own_and_the_last_keeps_the_blobs(tmp_path: Path) -> None:
    made = imported(tmp_path, headed(TRUNK + layer("TanH", "tanh", bottom="conv", top="conv")), WEIGHTS)
    values = OnnxRuntimeRunner(made.network).run({"data": X}, ("conv/conv", "conv/relu", "conv"))

    assert made.network.outputs == ("conv",)
    assert values["conv/conv"].min() < 0
    assert np.array_equal(values["conv/relu"], np.maximum(values["conv/conv"], 0))
    assert np.abs(values["conv"] - np.tanh(values["conv/relu"])).max() < 1e-6


def test_a_layer_in_place_of_the_input_leaves_it_its_name(tmp_path: Path) -> None:
    text = layer("Power", "half", top="data", more="power_param { scale: 0.5 }") + layer("ReLU", "relu", top="data")
    made = imported(tmp_path, headed(text), {})

    assert made.network.input_name == "data"
    assert made.network.outputs == ("data/relu",)
    found = OnnxRuntimeRunner(made.network).run({"data": X})["data/relu"]
    assert np.array_equal(found, np.maximum(X / 2, 0))


def test_what_training_reads_is_left_out_and_told(tmp_path: Path) -> None:
    shape = "input_param { shape { dim: 1 dim: 4 dim: 9 dim: 11 } }"
    layers = [
        'layer { name: "db" type: "Data" top: "data" top: "label" include { phase: TRAIN } }',
        f'layer {{ name: "in" type: "Input" top: "data" {shape} include {{ phase: TEST }} }}',
        TRUNK,
        layer("Sigmoid", "only", bottom="conv", top="conv", more="exclude { phase: TEST }"),
        layer("Dropout", "staged", bottom="conv", top="conv", more='include { phase: TEST stage: "special" }'),
        layer("SoftmaxWithLoss", "loss", bottom=["conv", "label"], top="loss"),
        layer("Accuracy", "hits", bottom=["conv", "label"], top="hits", more="include { phase: TEST }"),
        'layer { name: "quiet" type: "Silence" bottom: "conv" }',
    ]
    made = imported(tmp_path, "\n".join(layers), WEIGHTS)

    assert [node.op for node in made.network.nodes] == ["Conv", "Relu"]
    assert made.network.outputs == ("conv",)
    assert [note.partition(" is left out")[0] for note in made.notes] == [
        "SoftmaxWithLoss 'loss'",
        "Accuracy 'hits'",
        "Silence 'quiet'",
    ]


@pytest.mark.parametrize(
    ("declared", "shape"),
    [
        ('input: "data" input_dim: 1 input_dim: 4 input_dim: 9 input_dim: 11', (None, 4, 9, 11)),
        ('input: "data" input_shape { dim: 2 dim: 4 dim: 9 dim: 11 }', (2, 4, 9, 11)),
        ('layer { name: "d" type: "Input" top: "data" input_param { shape: { dim: 1 dim: 4 dim: 9 dim: 11 } } }', (None, 4, 9, 11)),
        (
            'layer { name: "d" type: "MemoryData" top: "data" memory_data_param { batch_size: 8 channels: 4 height: 9 width: 11 } }',
            (8, 4, 9, 11),
        ),
    ],
)  # fmt: skip
def test_the_inputs_shape_is_found_wherever_it_is_written(
    declared: str, shape: tuple[int | None, ...], tmp_path: Path
) -> None:
    made = imported(tmp_path, f"{declared}\n{TRUNK}", WEIGHTS)

    assert made.network.inputs == (Port("data", shape),)


@pytest.mark.parametrize("name", ["", "data"])
def test_the_inputs_shape_may_be_another(name: str, tmp_path: Path) -> None:
    made = imported(tmp_path, headed(TRUNK), WEIGHTS, shapes={name: (1, 4, 20, 30)})

    assert made.network.inputs[0].shape == (None, 4, 20, 30)
    assert made.reference.run({"data": random(1, 4, 20, 30)})["conv"].shape == (1, 3, 18, 28)


def test_outputs_are_chosen_and_what_they_do_not_need_is_left_out(tmp_path: Path) -> None:
    text = headed(
        TRUNK + layer("NoSuchThing", "odd", bottom="conv", top="odd") + layer("TanH", "t", bottom="conv", top="t")
    )
    made = imported(tmp_path, text, WEIGHTS, outputs=("conv",))

    assert made.network.outputs == ("conv",)
    assert [node.op for node in made.network.nodes] == ["Conv", "Relu"]
    with pytest.raises(UsageError, match="no output absent"):
        imported(tmp_path, text, WEIGHTS, outputs=("absent",))


def test_every_output_is_given_when_none_is_chosen(tmp_path: Path) -> None:
    text = headed(TRUNK + layer("TanH", "t", bottom="conv", top="t") + layer("AbsVal", "a", bottom="conv", top="a"))

    assert imported(tmp_path, text, WEIGHTS).network.outputs == ("t", "a")


def test_an_inner_tensor_may_be_the_input(tmp_path: Path) -> None:
    text = headed(TRUNK + layer("TanH", "t", bottom="conv", top="t"))
    made = imported(tmp_path, text, WEIGHTS, inputs=("conv",), shapes={"conv": (1, 3, 7, 9)})

    assert made.network.inputs == (Port("conv", (None, 3, 7, 9)),)
    assert [node.op for node in made.network.nodes] == ["Tanh"]
    with pytest.raises(ModelError, match="has no shape"):
        imported(tmp_path, text, WEIGHTS, inputs=("conv",))


def test_the_decoding_of_a_detector_becomes_outputs_with_its_priors(tmp_path: Path) -> None:
    text = headed(
        layer("Flatten", "loc", top="loc")
        + layer("Flatten", "conf", top="conf")
        + layer("PriorBox", "prior", bottom=["data", "data"], top="prior", more="prior_box_param { min_size: 4 }")
        + layer(
            "DetectionOutput", "found", bottom=["loc", "conf", "prior"],
            more="detection_output_param { num_classes: 2 confidence_threshold: 0.25 nms_param { nms_threshold: 0.4 top_k: 400 } }",
        )
    )  # fmt: skip
    made = imported(tmp_path, text, {})

    assert made.network.outputs == ("loc", "conf", "prior")
    values = OnnxRuntimeRunner(made.network).run({"data": X})
    assert values["prior"].shape == (1, 2, 9 * 11 * 4)
    assert "2 classes at confidence 0.25, suppressed above an overlap of 0.4 among 400" in made.notes[0]
