"""Two files through this interpreter's runtimes."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from convert.proof.compare import Side, compare_files, compare_runners, open_any
from convert.proof.feeds import Pixels, Wish
from convert.proof.fidelity import layer_fidelity
from convert.runners import open_runner, runtimes_of
from convert.runners.tflite import TfliteRunner
from edge.bundle import default_bundle_folder
from edge.bundle.manifest import Normalisation
from edge.datatypes import Image
from edge.errors import ModelError, UsageError
from tests.convert import onnx_files
from tests.convert.networks import conv, network
from tests.support.data import ROOT, test_data

pytest.importorskip("onnx", reason="the onnx package is not installed")
MODELS = ROOT / "tests" / "support" / "models"
EMBEDDER = default_bundle_folder() / "embedder.tflite"
RUNTIMES = [
    "opencv",
    pytest.param(
        "onnxruntime",
        marks=pytest.mark.skipif(
            importlib.util.find_spec("onnxruntime") is None, reason="ONNX Runtime is not installed"
        ),
    ),
]


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize(("constant", "layer"), [("c0_1", "t0"), ("c2_1", "t2"), ("c2_2", "t2")])
def test_the_layer_of_a_changed_weight_is_named(runtime: str, constant: str, layer: str, tmp_path: Path) -> None:
    made = onnx_files.five_layers()
    right = onnx_files.write(made, tmp_path / "right.onnx")
    wrong = onnx_files.write(onnx_files.with_changed_weight(made, constant), tmp_path / "wrong.onnx")
    sides = Side(right, "opencv"), Side(wrong, runtime)
    found = compare_files(*sides, Wish(count=3), tolerance=1e-4, with_layers=True)
    assert found.layers is not None
    assert found.layers.first_beyond is not None
    assert found.layers.first_beyond.layer == layer
    assert [one.layer for one in found.layers.layers] == list(onnx_files.LAYERS)
    assert found.passed is False


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_the_same_network_passes_with_every_layer(runtime: str, tmp_path: Path) -> None:
    path = onnx_files.write(onnx_files.five_layers(), tmp_path / "net.onnx")
    found = compare_files(Side(path, "opencv"), Side(path, runtime), Wish(count=3), with_layers=True)
    assert found.passed is True
    assert found.layers is not None
    assert found.layers.first_beyond is None
    assert len(found.layers.layers) == len(onnx_files.LAYERS)
    json.dumps(found.as_dict(), allow_nan=False)


def with_changed_constant(runner: TfliteRunner, data: bytes, place: int) -> tuple[bytes, str]:
    """A TFLite file with one large constant changed, and the name of what the operator that reads it makes."""
    interpreter = runner._interpreter
    details = {detail["index"]: detail for detail in interpreter.get_tensor_details()}
    readers = []
    for operator in interpreter._get_ops_details():
        if operator["op_name"] in {"CONV_2D", "DEPTHWISE_CONV_2D"}:
            weights = interpreter.get_tensor(operator["inputs"][1])
            readers.append((weights, details[operator["outputs"][0]]["name"]))
    weights, name = readers[place]
    changed = np.array(weights)
    changed.reshape(-1)[:] = changed.reshape(-1)[::-1]
    raw = weights.tobytes()
    assert data.count(raw) == 1
    return data.replace(raw, changed.tobytes()), str(name)


@pytest.mark.parametrize("place", [0, 5, 11])
@pytest.mark.parametrize("kind", ["integer", "float"])
def test_the_layer_of_a_changed_tflite_weight_is_named(kind: str, place: int, tmp_path: Path) -> None:
    ultralight = ("models", "ultralight", "version-RFB-320_without_postprocessing.tflite")
    path = EMBEDDER if kind == "integer" else test_data(*ultralight)
    reference = TfliteRunner(path)
    changed, name = with_changed_constant(reference, path.read_bytes(), place)
    (tmp_path / "changed.tflite").write_bytes(changed)
    artifact = TfliteRunner(tmp_path / "changed.tflite")
    port = reference.inputs[0]
    feeds = {port.name: np.random.default_rng(0).uniform(-1, 1, [size or 1 for size in port.shape]).astype(np.float32)}
    report = layer_fidelity(reference, artifact, [(feeds, feeds)], tolerance=1e-3)
    assert report.first_beyond is not None
    assert report.first_beyond.layer == name
    assert report.first_beyond.artifact_layer == name


def test_a_tflite_file_beside_its_onnx_source() -> None:
    folder = test_data("models", "ultralight")
    side = Pixels("RGB", Normalisation(mean=127.0, std=128.0))
    reference = Side(folder / "version-RFB-320_without_postprocessing.onnx", "opencv", side)
    artifact = Side(folder / "version-RFB-320_without_postprocessing.tflite", "", side)
    found = compare_files(reference, artifact, Wish(count=2))
    assert [(one.output, one.artifact_output) for one in found.outputs] == [
        ("scores", "Identity_1"),
        ("boxes", "Identity"),
    ]
    assert min(one.cosine_worst for one in found.outputs) > 0.9999
    assert found.precision == "float32"


def test_outputs_in_another_order_and_several_inputs(tmp_path: Path) -> None:
    path = onnx_files.write(onnx_files.two_inputs_two_outputs(), tmp_path / "two.onnx")
    runner = open_runner(path, runtime="opencv")
    left = np.arange(18, dtype=np.float32).reshape(1, 3, 2, 3)
    feeds = {"left": left, "right": left[..., ::-1].copy()}
    outputs, left_out = compare_runners(runner, runner, [(feeds, feeds)] * 2)
    assert [(one.output, one.difference_max, one.samples) for one in outputs] == [
        ("sum", 0.0, 2),
        ("difference", 0.0, 2),
    ]
    assert left_out == ()


def test_an_input_that_is_no_picture_must_be_given(tmp_path: Path) -> None:
    path = onnx_files.write(onnx_files.two_inputs_two_outputs(), tmp_path / "two.onnx")
    side = Side(path, "opencv")
    with pytest.raises(UsageError, match=r"left 1x3x2x3, right 1x3x2x3.*\n.*--set"):
        compare_files(side, side, Wish(count=1))
    given = {"right": np.ones((1, 3, 2, 3), np.float32)}
    assert compare_files(side, side, Wish(count=1, values=given)).passed is True


def test_faces_are_aligned(hopper: Image, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "hopper.png"), hopper)
    side = Side(EMBEDDER, "", Pixels("RGB", Normalisation(mean=127.5, std=127.5)))
    found = compare_files(side, side, Wish(images=tmp_path, count=4, template="arcface-112x112"))
    assert found.pictures == f"1 face aligned onto arcface-112x112 from {tmp_path.name}"
    assert found.passed is None
    assert found.outputs[0].difference_max == 0


def test_pictures_without_a_face_are_told(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "grey.png"), np.full((200, 200, 3), 128, np.uint8))
    side = Side(EMBEDDER)
    with pytest.raises(UsageError, match="no face in 1 picture"):
        compare_files(side, side, Wish(images=tmp_path, template="arcface-112x112"))
    assert compare_files(side, side, Wish(images=tmp_path)).pictures == f"1 picture from {tmp_path.name}"


@pytest.mark.parametrize("size", [None, (64, 64)])
def test_networks_that_leave_the_size_open(size: tuple[int, int] | None, tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx", reason="the onnx package is not installed")
    path = onnx_files.write(network(conv(4, 3, pads=(1, 1, 1, 1)), size=8), tmp_path / "any.onnx")
    model = onnx.load(str(path))
    for axis in (2, 3):
        model.graph.input[0].type.tensor_type.shape.dim[axis].dim_param = "any"
    del model.graph.value_info[:]
    model.graph.output[0].CopyFrom(onnx.helper.make_tensor_value_info("t0", onnx.TensorProto.FLOAT, (1, 4, "h", "w")))
    path.write_bytes(model.SerializeToString())
    side = Side(path, "opencv")
    if size is None:
        with pytest.raises(UsageError, match="--size HEIGHTxWIDTH"):
            compare_files(side, side, Wish(count=1))
    else:
        assert compare_files(side, side, Wish(count=1, size=size)).passed is True


def test_outputs_of_other_shapes_are_told(tmp_path: Path) -> None:
    one = onnx_files.write(network(conv(4, 3), size=8), tmp_path / "one.onnx")
    two = onnx_files.write(network(conv(5, 3), size=8), tmp_path / "two.onnx")
    with pytest.raises(ModelError, match=r"output t0 of shape \[1, 5, 6, 6\]; expected \[1, 4, 6, 6\]"):
        compare_files(Side(one, "opencv"), Side(two, "opencv"), Wish(count=1))


def test_runtimes_are_told_by_content(tmp_path: Path) -> None:
    assert runtimes_of(EMBEDDER) == ("tflite",)
    renamed = tmp_path / "embedder.bin"
    renamed.write_bytes(EMBEDDER.read_bytes())
    assert runtimes_of(renamed) == ("tflite",)
    path = onnx_files.write(network(conv(4, 3)), tmp_path / "net.onnx")
    assert runtimes_of(path) == ("onnxruntime", "opencv")


@pytest.mark.parametrize(
    ("name", "runtime", "found"),
    [
        ("net.onnx", "tflite", "tflite does not run it; expected one of onnxruntime, opencv"),
        ("absent.onnx", "", "no such file"),
        ("weights.npy", "opencv", "opencv does not run it"),
    ],
)
def test_what_no_runtime_takes_is_told(name: str, runtime: str, found: str, tmp_path: Path) -> None:
    onnx_files.write(network(conv(4, 3)), tmp_path / "net.onnx")
    np.save(tmp_path / "weights.npy", np.zeros(3))
    with pytest.raises(UsageError, match=found):
        open_any(tmp_path / name, runtime)


def test_an_unknown_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no network")
    with pytest.raises(ModelError, match="a format that is not known"):
        open_any(tmp_path / "notes.txt")
