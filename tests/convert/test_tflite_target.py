"""TFLite files against the NumPy reference, run by the runtime that a device would use."""

from __future__ import annotations

import importlib.util
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from convert.calibrate import examples_of
from convert.network import Network, Node, single
from convert.passes.fold import centre_on_a_byte, fold_batch_norms, take_out_normalisation
from convert.targets.tflite import import_tensorflow, to_float, to_uint8
from edge.errors import ModelError
from edge.interpreter import TfliteModel
from edge.manifest import Normalisation, Quantisation
from edge.quant import dequantise, is_identity, pixel_table
from tests.convert import reference
from tests.convert.networks import CASES, FLATTEN, RELU, conv, network, picture

pytestmark = [
    pytest.mark.skipif(
        importlib.util.find_spec("tensorflow") is None,
        reason="TensorFlow is not installed (pip install 'ostiary[convert]')",
    ),
    # TensorFlow and its dependencies warn about themselves.
    pytest.mark.filterwarnings("ignore"),
]


@pytest.fixture(scope="module", autouse=True)
def _tensorflow() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import_tensorflow()


def load(data: bytes, folder: Path) -> TfliteModel:
    path = folder / "tiny.tflite"
    path.write_bytes(data)
    return TfliteModel(path)


def source_order(values: Any) -> Any:
    """NHWC -> NCHW."""
    return values.transpose(0, 3, 1, 2) if values.ndim == 4 else values


@pytest.mark.parametrize("name", CASES)
def test_float_computes_what_the_source_computes(name: str, tmp_path: Path) -> None:
    made = CASES[name]()
    model = load(to_float(made), tmp_path)
    image = picture(made)
    found = source_order(model.run(np.ascontiguousarray(image.transpose(0, 2, 3, 1))))
    expected = reference.run(made, image)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, atol=1e-4)


def embedder() -> Network:
    """Shaped like a real one: normalised inside, padded stem, residual, depthwise over the whole picture."""
    made = network(
        ("Sub", [None, np.float32(127.5)], {}),
        ("Div", [None, np.float32(128)], {}),
        conv(8, 3, (5, 5), pads=(2, 2, 2, 2), strides=(4, 4)),
        RELU,
        conv(8, 8, (1, 1)),
        ("Add", [None, "t3"], {}),
        conv(8, 1, (8, 8), group=8),
        conv(16, 8, (1, 1)),
        FLATTEN,
        size=32,
    )
    return centre_on_a_byte(take_out_normalisation(fold_batch_norms(made)))


def faces(count: int, seed: int) -> Any:
    return np.random.default_rng(seed).integers(0, 256, (count, 32, 32, 3), np.uint8)


def test_integers_take_pixels_as_they_are_and_stay_close(tmp_path: Path) -> None:
    made = embedder()
    normalisation = Normalisation(mean=made.mean, std=made.std)
    model = load(to_uint8(made, examples_of(faces(50, 0), normalisation)), tmp_path)
    source, result = model.inputs[0].quantisation, model.outputs[0].quantisation
    assert source == Quantisation("uint8", 1 / 128, 128)
    assert result.dtype == "uint8"
    assert is_identity(pixel_table(normalisation, source))
    for face in faces(20, 1):
        found = dequantise(model.run(face[np.newaxis]), result).reshape(-1)
        expected = reference.run(made, (face[np.newaxis].transpose(0, 3, 1, 2) - made.mean) / made.std).reshape(-1)
        cosine = found @ expected / np.linalg.norm(found) / np.linalg.norm(expected)
        assert cosine > 0.99


def test_conversion_is_reproducible() -> None:
    made = embedder()
    examples = examples_of(faces(10, 0), Normalisation(mean=made.mean, std=made.std))
    assert to_uint8(made, examples) == to_uint8(made, examples)


def test_examples_of_another_size_are_refused() -> None:
    with pytest.raises(ModelError, match="examples of shape"):
        to_uint8(embedder(), np.zeros((3, 16, 16, 3), np.float32))


@pytest.mark.parametrize(
    ("made", "found"),
    [
        (network(conv(4, 2)), "weights"),
        (network(conv(4, 3), ("Flatten", [None], {"axis": 2})), "axis 2"),
        (network(conv(4, 3), ("MatMul", [None, np.zeros((7, 2), np.float32)], {})), "4 axes"),
        (network(conv(4, 3), ("PRelu", [None, "t0"], {})), "is computed"),
        (network(conv(4, 3), ("Add", [None, np.zeros((5, 1, 1), np.float32)], {})), "cannot be written as TFLite"),
    ],
)
def test_what_does_not_fit_names_its_node(made: Network, found: str) -> None:
    with pytest.raises(ModelError, match=found) as caught:
        to_float(made)
    assert "'node" in str(caught.value)


def test_a_network_of_constants_is_refused() -> None:
    node = Node("Add", "node0", ("a", "b"), ("c",), {})
    constants = {name: np.zeros(1, np.float32) for name in "ab"}
    with pytest.raises(ModelError, match="both inputs are constants"):
        to_float(single("image", (1, 3, 9, 9), "c", (node,), constants))
