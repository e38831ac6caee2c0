from __future__ import annotations

import struct
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from convert.importers.base import Request
from convert.importers.tflite import import_tflite, read_detection_head
from convert.network import Array
from convert.runners.layout import to_nchw
from convert.runners.onnx_runtime import OnnxRuntimeRunner
from edge.errors import ModelError, UsageError
from tests.convert.importers.tflite.cases import Case, random, written
from tests.convert.importers.tflite.handmade import Handmade
from tests.support.data import test_data

pytest.importorskip("onnxruntime", reason="onnxruntime is not installed (pip install 'ostiary[convert]')")
pytest.importorskip("ai_edge_litert", reason="ai-edge-litert is not installed (pip install 'ostiary[litert]')")


def test_ultralight_computes_what_the_runtime_computes() -> None:
    path = test_data("models", "ultralight", "version-RFB-320_without_postprocessing.tflite")
    imported = import_tflite(Request((path,)))
    assert imported.network.input_shape == (1, 3, 240, 320)
    counts = Counter(node.op for node in imported.network.nodes)
    assert counts["Conv"] == 52
    assert counts.keys() <= {"Conv", "Relu", "Pad", "Transpose", "Reshape", "Concat", "Mul", "Add", "Softmax"}
    # One of them was a convolution between blocks in the file.
    assert sum(node.attributes.get("dilations", (1, 1)) != (1, 1) for node in imported.network.nodes) == 3
    network, onnx = OnnxRuntimeRunner(imported.network), OnnxRuntimeRunner(path.with_suffix(".onnx"))
    for seed in range(2):
        image = random(1, 3, 240, 320, seed=seed)
        made, expected = network.run({"input_1": image}), imported.reference.run({"input_1": image})
        for name, value in expected.items():
            np.testing.assert_allclose(made[name], value, atol=1e-5 * float(np.abs(value).max()))
        # Made from the same weights by another way, which differs by as much from this file in its own runtime.
        other = onnx.run({"input": image})
        np.testing.assert_allclose(made["Identity"], other["boxes"], atol=5e-4)
        np.testing.assert_allclose(made["Identity_1"], other["scores"], atol=5e-4)


def _small(tf: Any, x: Any) -> list[Any]:
    """The depthwise layers make scales that differ from channel to channel."""
    x = tf.nn.relu6(tf.nn.conv2d(x, random(3, 3, 3, 8), 2, "SAME") + random(8))
    x = tf.nn.relu(tf.nn.depthwise_conv2d(x, random(3, 3, 8, 1), (1, 1, 1, 1), "SAME") + random(8))
    x = tf.nn.conv2d(x, random(1, 1, 8, 8), 1, "VALID") + x
    # As large as weights must be for the dynamic range to take them.
    return [tf.matmul(tf.reshape(tf.reduce_mean(x, (1, 2)), (1, 8)), random(8, 256)) @ random(256, 5) + random(5)]


def _examples() -> Any:
    for seed in range(20):
        yield [random(1, 12, 12, 3, seed=seed)]


def _settings(tf: Any, precision: str) -> dict[str, Any]:
    made = {"optimizations": [tf.lite.Optimize.DEFAULT]}
    if precision in {"int8", "uint8"}:
        made["representative_dataset"] = _examples
        made["inference_input_type"] = made["inference_output_type"] = getattr(tf, precision)
    return made


@pytest.mark.parametrize(
    ("precision", "to_float", "to_itself"), [("int8", 0.01, 0.1), ("uint8", 0.01, 0.1), ("dynamic", 0.01, 0.01)]
)
def test_a_file_of_integers_becomes_the_network_of_its_weights(
    precision: str, to_float: float, to_itself: float, tmp_path: Path
) -> None:
    tf = pytest.importorskip("tensorflow", reason="tensorflow is not installed (pip install 'ostiary[convert]')")
    shape = (1, 12, 12, 3)
    plain = written(tf, Case(_small, frozenset(), shape), tmp_path / "float.tflite")
    settings = _settings(tf, precision)
    path = written(tf, Case(_small, frozenset(), shape, settings), tmp_path / "integer.tflite")
    images = [to_nchw(random(*shape, seed=seed)) for seed in range(30, 40)]
    imported = import_tflite(Request((path,)))
    assert imported.network.inputs[0].dtype == "float32"
    assert {value.dtype.name for value in imported.network.constants.values()} <= {"float32", "int64"}
    network = OnnxRuntimeRunner(imported.network)
    made = _outputs(network, images)
    span = np.ptp(made)
    assert np.abs(made - _outputs(import_tflite(Request((plain,))).reference, images)).max() < to_float * span
    assert np.abs(made - _outputs(imported.reference, images)).max() < to_itself * span
    assert any("dequantised" in note for note in imported.notes)
    assert imported.network.nodes[0].op == "Conv"


def _outputs(runner: Any, images: list[Array]) -> Array:
    (name,), port = runner.outputs, runner.inputs[0]
    return np.array([runner.run({port.name: image})[name] for image in images])


def test_scales_of_each_channel_are_taken(tmp_path: Path) -> None:
    hand = Handmade()
    stored = np.arange(-6, 6, dtype=np.int8).reshape(3, 1, 1, 4)
    weights = hand.scaled(hand.constant(stored), [0.1, 0.2, 0.4], [0, 1, 2])
    x = hand.input((1, 2, 2, 4))
    made = hand.call("CONV_2D", [x, weights], hand.tensor((1, 2, 2, 3)), "Conv2DOptions", strideH=1, strideW=1)
    imported = import_tflite(Request((hand.save(tmp_path / "tiny.tflite", made),)))
    read = imported.network.constants[imported.network.nodes[0].inputs[1]]
    expected = (stored - np.array([0, 1, 2]).reshape(3, 1, 1, 1)) * np.array([0.1, 0.2, 0.4]).reshape(3, 1, 1, 1)
    np.testing.assert_allclose(read, expected.transpose(0, 3, 1, 2), atol=1e-7)


def test_an_inner_tensor_can_be_the_output(tmp_path: Path) -> None:
    hand = Handmade()
    first = hand.call("EXP", [hand.input((1, 4, 4, 2))], hand.tensor((1, 4, 4, 2), name="first"))
    second = hand.call("COS", [first], hand.tensor((1, 4, 4, 2), name="second"))
    path = hand.save(tmp_path / "tiny.tflite", second)
    assert import_tflite(Request((path,), outputs=("first",))).network.outputs == ("first",)
    with pytest.raises(UsageError, match="no output third") as caught:
        import_tflite(Request((path,), outputs=("third",)))
    assert "first, second" in str(caught.value)


def test_every_unknown_operator_is_named_at_once(tmp_path: Path) -> None:
    hand = Handmade()
    first = hand.call("COS", [hand.input((1, 4))], hand.tensor((1, 4), name="one"))
    second = hand.call("MadeByOthers", [first], hand.tensor((1, 4), name="two"))
    path = hand.save(tmp_path / "tiny.tflite", second)
    with pytest.raises(ModelError, match=r"2 operator\(s\)") as caught:
        import_tflite(Request((path,)))
    assert "COS 'one'" in str(caught.value)
    assert "MadeByOthers 'two'" in str(caught.value)


def test_open_sizes_must_be_given_and_an_open_batch_is_one(tmp_path: Path) -> None:
    hand = Handmade()
    x = hand.input((1, 1, 1, 3))
    made = hand.call("EXP", [x], hand.tensor((1, 1, 1, 3)))
    hand.graph.tensors[x].shapeSignature = [-1, -1, -1, 3]
    path = hand.save(tmp_path / "tiny.tflite", made)
    with pytest.raises(ModelError, match="fixed sizes") as caught:
        import_tflite(Request((path,)))
    assert "shape of t0" in str(caught.value)
    assert import_tflite(Request((path,), shapes={"": (1, 8, 6, 3)})).network.input_shape == (1, 3, 8, 6)
    hand.graph.tensors[x].shapeSignature = [-1, 1, 1, 3]
    path = hand.save(path, made)
    assert import_tflite(Request((path,))).network.inputs[0].shape == (1, 3, 1, 1)


def test_names_that_come_twice_are_told_apart(tmp_path: Path) -> None:
    hand = Handmade()
    first = hand.call("EXP", [hand.input((1, 4))], hand.tensor((1, 4), name="same"))
    second = hand.call("NEG", [first], hand.tensor((1, 4), name="same"))
    imported = import_tflite(Request((hand.save(tmp_path / "tiny.tflite", first, second),)))
    assert imported.network.outputs == ("same", f"same#{second}")


def _detector(hand: Handmade, options: bytes) -> list[int]:
    """Two raw outputs of four priors, and the operator that makes boxes of them."""
    offsets = hand.call("EXP", [hand.input((1, 4, 4))], hand.tensor((1, 4, 4), name="offsets"))
    scores = hand.call("EXP", [hand.input((1, 4, 2))], hand.tensor((1, 4, 2), name="scores"))
    priors = hand.constant(np.arange(16, dtype=np.float32).reshape(4, 4))
    names = ("boxes", "classes", "scores", "count")
    shapes = ((1, 9, 4), (1, 9), (1, 9), (1,))
    made = [hand.tensor(shape, name=name) for name, shape in zip(names, shapes, strict=True)]
    hand.call("TFLite_Detection_PostProcess", [offsets, scores, priors], made[0])
    hand.graph.operators[-1].outputs = made
    hand.graph.operators[-1].customOptions = list(options)
    return made


def _options(**changes: Any) -> bytes:
    from flatbuffers import flexbuffers

    told = {
        "max_detections": 9, "max_classes_per_detection": 1, "num_classes": 1, "y_scale": 10.0, "x_scale": 10.0, "h_scale": 5.0,
        "w_scale": 5.0, "nms_score_threshold": 0.5, "nms_iou_threshold": 0.6, **changes,
    }  # fmt: skip
    return bytes(flexbuffers.Dumps({name: value for name, value in told.items() if value is not None}))


def test_post_processing_is_cut_off_and_told(tmp_path: Path) -> None:
    hand = Handmade()
    path = hand.save(tmp_path / "tiny.tflite", *_detector(hand, _options()))
    imported = import_tflite(Request((path,)))
    assert imported.network.outputs == ("offsets", "scores")
    assert "TFLite_Detection_PostProcess" in imported.notes[0]
    assert "max_detections 9" in imported.notes[0]
    head = read_detection_head(path)
    assert head is not None
    assert (head.offsets, head.scores, head.most) == ("offsets", "scores", 9)
    assert head.variances == pytest.approx((0.1, 0.2))
    assert (head.confidence, head.nms_iou) == pytest.approx((0.5, 0.6))
    np.testing.assert_array_equal(head.priors[1], [4, 5, 6, 7])


BAD_OPTIONS = {
    "empty": b"",
    "noise": bytes(range(200)),
    "a number": b"\x05\x04\x01",
    "one missing": _options(y_scale=None),
    "no number": _options(y_scale=float("nan")),
    "a word": _options(y_scale="ten"),
}


@pytest.mark.parametrize("name", BAD_OPTIONS)
def test_options_that_cannot_be_read_are_refused(name: str, tmp_path: Path) -> None:
    hand = Handmade()
    path = hand.save(tmp_path / "tiny.tflite", *_detector(hand, BAD_OPTIONS[name]))
    with pytest.raises(ModelError, match="TFLite_Detection_PostProcess"):
        import_tflite(Request((path,)))


@pytest.mark.parametrize("changes", [{"y_scale": 0.0}, {"y_scale": 9.0}, {"max_detections": 10**9}])
def test_a_head_that_cannot_be_written_again_is_refused(changes: dict[str, Any], tmp_path: Path) -> None:
    hand = Handmade()
    path = hand.save(tmp_path / "tiny.tflite", *_detector(hand, _options(**changes)))
    with pytest.raises(ModelError, match="TFLite_Detection_PostProcess"):
        read_detection_head(path)


@pytest.mark.parametrize("count", [0, 2])
def test_one_file_is_needed(count: int) -> None:
    with pytest.raises(UsageError, match=f"{count} files"):
        import_tflite(Request((Path("a.tflite"),) * count))


@pytest.mark.parametrize(
    ("content", "found"),
    [(b"", "not a TFLite model"), (b"\x1c\0\0\0TFL2" + bytes(60), "not a TFLite model"), (None, "cannot be read")],
)
def test_another_file_is_refused(content: bytes | None, found: str, tmp_path: Path) -> None:
    path = tmp_path / "tiny.tflite"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ModelError, match=found):
        import_tflite(Request((path,)))


def _hand_made(folder: Path) -> Path:
    hand = Handmade()
    x = hand.input((1, 8, 6, 4))
    how = {"strideH": 1, "strideW": 1, "dilationHFactor": 1, "dilationWFactor": 1, "fusedActivationFunction": 1}
    read = [x, hand.constant(random(5, 3, 3, 4)), hand.constant(random(5))]
    conv = hand.call("CONV_2D", read, hand.tensor((1, 8, 6, 5)), "Conv2DOptions", **how)
    shape = hand.constant(np.array([1, -1, 5], np.int32))
    return hand.save(
        folder / "tiny.tflite", hand.call("RESHAPE", [conv, shape], hand.tensor((1, 48, 5)), "ReshapeOptions")
    )


def test_every_truncated_file_is_refused(tmp_path: Path) -> None:
    path = _hand_made(tmp_path)
    whole = path.read_bytes()
    for part in range(50):
        path.write_bytes(whole[: len(whole) * part // 50])
        with pytest.raises(ModelError):
            import_tflite(Request((path,)))


def test_flipped_bytes_give_a_network_or_a_clear_error(tmp_path: Path) -> None:
    path = _hand_made(tmp_path)
    whole = path.read_bytes()
    random_numbers = np.random.default_rng(1)
    refused = 0
    for _ in range(400):
        damaged = bytearray(whole)
        for at in random_numbers.integers(8, len(whole), random_numbers.integers(1, 5)):
            damaged[at] = random_numbers.integers(0, 256)
        path.write_bytes(bytes(damaged))
        try:
            import_tflite(Request((path,)))
        except ModelError:
            refused += 1
    assert refused > 100


def test_a_vector_that_claims_billions_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = _hand_made(tmp_path)
    whole = path.read_bytes()
    refused = 0
    for at in range(8, len(whole) - 4, 4):
        path.write_bytes(whole[:at] + struct.pack("<I", 0x7FFFFFF0) + whole[at + 4 :])
        try:
            import_tflite(Request((path,)))
        except ModelError:
            refused += 1
    assert refused > 50


def test_tensors_that_share_a_buffer_cannot_fill_the_memory(tmp_path: Path) -> None:
    hand = Handmade()
    x = hand.input((1, 1000, 1000, 1))
    stored = hand.scaled(hand.constant(np.zeros((1, 1000, 1000, 1), np.int8)), [0.5], [0])
    buffer = hand.graph.tensors[stored].buffer
    total = x
    for _ in range(40):
        other = hand.scaled(hand.tensor((1, 1000, 1000, 1), "int8"), [0.5], [0])
        hand.graph.tensors[other].buffer = buffer
        total = hand.call("ADD", [total, other], hand.tensor((1, 1000, 1000, 1)), "AddOptions")
    with pytest.raises(ModelError, match="far larger than the file"):
        import_tflite(Request((hand.save(tmp_path / "tiny.tflite", total),)))
