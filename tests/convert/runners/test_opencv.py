"""ONNX in this interpreter's OpenCV, against onnx's reference implementation."""

from __future__ import annotations

import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from convert.runners.opencv import OpenCvRunner
from edge.errors import ModelError, UsageError
from tests.convert import onnx_files
from tests.convert.networks import conv, network, picture
from tests.support.data import test_data

pytest.importorskip("onnx", reason="the onnx package is not installed")


def test_outputs_and_every_layer(tmp_path: Path) -> None:
    made = onnx_files.five_layers()
    path = onnx_files.write(made, tmp_path / "net.onnx")
    runner = OpenCvRunner(path)
    assert runner.label == f"cv2.dnn {cv2.__version__}"
    assert [(port.name, port.shape, port.dtype) for port in runner.inputs] == [("image", (1, 3, 8, 8), "float32")]
    assert runner.outputs == ("t5",)
    assert runner.tensors == onnx_files.LAYERS
    feeds = {"image": picture(made) - 0.5}
    wanted = onnx_files.expected(path, feeds, onnx_files.LAYERS)
    found = runner.run(feeds, onnx_files.LAYERS)
    assert list(found) == list(onnx_files.LAYERS)
    for name, value in wanted.items():
        np.testing.assert_allclose(found[name].reshape(value.shape), value, atol=1e-5)
    assert list(runner.run(feeds)) == ["t5"]
    np.testing.assert_allclose(runner.run(feeds)["t5"], wanted["t5"], atol=1e-5)


def test_more_layers_than_fit_one_chunk(tmp_path: Path) -> None:
    made = network(*[conv(3, 3, (1, 1)) for _ in range(70)], size=4)
    path = onnx_files.write(made, tmp_path / "deep.onnx")
    runner = OpenCvRunner(path)
    feeds = {"image": picture(made)}
    found = runner.run(feeds, runner.tensors)
    assert list(found) == [f"t{index}" for index in range(70)]
    wanted = onnx_files.expected(path, feeds, ("t69",))["t69"]
    np.testing.assert_allclose(found["t69"], wanted, atol=1e-4 * np.abs(wanted).max())


def test_several_inputs_and_outputs_in_the_order_of_the_file(tmp_path: Path) -> None:
    path = onnx_files.write(onnx_files.two_inputs_two_outputs(), tmp_path / "two.onnx")
    runner = OpenCvRunner(path)
    assert [port.name for port in runner.inputs] == ["left", "right"]
    assert runner.outputs == ("sum", "difference")
    feeds = {"left": np.full((1, 3, 2, 3), 5, np.float32), "right": np.full((1, 3, 2, 3), 2, np.float32)}
    found = runner.run(feeds)
    assert (float(found["sum"].max()), float(found["difference"].max())) == (7.0, 3.0)
    assert list(runner.run(feeds, ["difference"])) == ["difference"]


@pytest.mark.parametrize(
    ("folder", "name", "outputs"),
    [("yunet", "yunet_n_320_320.onnx", 12), ("ultralight", "version-RFB-320.onnx", 2)],
)
def test_real_detectors_with_every_layer(folder: str, name: str, outputs: int) -> None:
    runner = OpenCvRunner(test_data("models", folder, name))
    port = runner.inputs[0]
    feeds = {port.name: np.random.default_rng(0).uniform(0, 255, [size or 1 for size in port.shape]).astype(np.float32)}
    plain = runner.run(feeds)
    assert len(plain) == outputs
    layers = runner.run(feeds, runner.tensors)
    assert set(layers) == set(runner.tensors)
    # Loaded anew with outputs everywhere, nothing fused, and still the same.
    for output, value in plain.items():
        np.testing.assert_allclose(layers[output], value, atol=1e-4 * np.abs(value).max())


def test_prepared_runs_again_and_again(tmp_path: Path) -> None:
    made = onnx_files.five_layers()
    act = OpenCvRunner(onnx_files.write(made, tmp_path / "net.onnx")).prepared({"image": picture(made)})
    act()
    act()


@pytest.mark.parametrize(
    ("content", "found"),
    [(b"", "no nodes"), (b"\x08\x07no protocol buffer at all", "not a sound ONNX file"), (b"\xff" * 50, "not a sound")],
)
def test_what_is_no_network_is_refused(content: bytes, found: str, tmp_path: Path) -> None:
    (tmp_path / "net.onnx").write_bytes(content)
    with pytest.raises(ModelError, match=found):
        OpenCvRunner(tmp_path / "net.onnx")


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot be read"):
        OpenCvRunner(tmp_path / "absent.onnx")


def test_feeds_and_tensors_that_do_not_exist_are_told(tmp_path: Path) -> None:
    made = onnx_files.five_layers()
    runner = OpenCvRunner(onnx_files.write(made, tmp_path / "net.onnx"))
    with pytest.raises(ModelError, match="fed with other; expected image"):
        runner.run({"other": picture(made)})
    with pytest.raises(ModelError, match="no tensor t9"):
        runner.run({"image": picture(made)}, ["t9"])


@pytest.mark.parametrize("shape", [(1, 2, 8, 8), (1, 3, 8, 9), (2, 3, 8, 8), (3, 8, 8)])
def test_an_input_of_another_shape_is_refused(shape: tuple[int, ...], tmp_path: Path) -> None:
    """OpenCV 5 would run it, and give something."""
    runner = OpenCvRunner(onnx_files.write(network(conv(4, 3), size=8), tmp_path / "net.onnx"))
    with pytest.raises(ModelError, match="image of shape"):
        runner.run({"image": np.zeros(shape, np.float32)})


def corrupted(data: bytes, seed: int) -> bytes:
    generator = np.random.default_rng(seed)
    if seed % 2:
        return data[: int(generator.uniform(0, 1) * len(data))]
    changed = bytearray(data)
    for _ in range(5):
        changed[int(generator.uniform(0, 1) ** 8 * len(data))] = int(generator.integers(256))
    return bytes(changed)


def test_damaged_files_are_refused_and_never_end_the_process(tmp_path: Path) -> None:
    """Some of these make cv2.dnn read memory that is not its own."""
    data = test_data("models", "yunet", "yunet_n_320_320.onnx").read_bytes()
    refused = 0
    for seed in range(60):
        path = tmp_path / "damaged.onnx"
        path.write_bytes(corrupted(data, seed))
        try:
            runner = OpenCvRunner(path)
            runner.run({port.name: np.zeros([size or 1 for size in port.shape], np.float32) for port in runner.inputs})
        except (ModelError, UsageError):
            refused += 1
    assert refused >= 55


def test_opencvs_own_threads_do_not_hold_it_up(tmp_path: Path) -> None:
    path = onnx_files.write(onnx_files.five_layers(), tmp_path / "net.onnx")
    cv2.setNumThreads(3)
    try:
        cv2.warpAffine(np.zeros((3000, 3000, 3), np.uint8), np.eye(2, 3), (3000, 3000))
        # Threads that still look for work are no hindrance; those asleep are.
        time.sleep(0.2)
        assert OpenCvRunner(path).outputs == ("t5",)
    finally:
        cv2.setNumThreads(1)
