from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from convert.importers.base import Request
from convert.importers.mxnet import import_mxnet
from convert.importers.mxnet.operators import OPERATORS
from convert.network import OPERATORS as DIALECT
from edge.errors import ModelError
from tests.convert.importers.mxnet.cases import CASES, Case, random
from tests.convert.mxnet_files import SymbolWriter

pytest.importorskip("onnxruntime", reason="onnxruntime is not installed (pip install 'ostiary[convert]')")


@pytest.mark.parametrize("name", CASES)
def test_an_operator_computes_its_formula(name: str, tmp_path: Path) -> None:
    # Every formula here was also compared with MXNet 1.9.1 itself, on the same files.
    case = CASES[name]
    imported = import_mxnet(Request(case.written().save(tmp_path), shapes={"data": case.shape}))
    made = imported.reference.run({"data": case.image()})["op_output"]
    expected = case.expected(case.image().astype(np.float64))
    assert made.shape == expected.shape
    np.testing.assert_allclose(made, expected, atol=2e-5)
    assert {node.op for node in imported.network.nodes} <= DIALECT


@pytest.mark.parametrize("squeezed", [False, True])
def test_slice_channel_has_numbered_outputs(tmp_path: Path, squeezed: bool) -> None:  # noqa: FBT001  a case
    writer = SymbolWriter()
    cut = writer.call("SliceChannel", "cut", [writer.variable("data")], num_outputs=3, axis=1, squeeze_axis=squeezed)
    writer.call("elemwise_sub", "op", [(cut, 2), (cut, 0)])
    request = Request(writer.save(tmp_path), shapes={"data": (2, 3, 4)}, outputs=("op", "cut_output1"))
    values = random(2, 3, 4)
    made = import_mxnet(request).reference.run({"data": values})
    parts = [values[:, place] if squeezed else values[:, place : place + 1] for place in range(3)]
    np.testing.assert_allclose(made["op_output"], parts[2] - parts[0], atol=1e-6)
    np.testing.assert_allclose(made["cut_output1"], parts[1], atol=0)


def test_crop_and_slice_like_take_the_size_of_another(tmp_path: Path) -> None:
    writer = SymbolWriter()
    data = writer.variable("data")
    pooled = writer.call("Pooling", "pooled", [data], kernel=(2, 2), stride=(2, 2), pool_type="avg")
    grown = writer.call("UpSampling", "grown", [pooled], scale=4, sample_type="nearest")
    cropped = writer.call("Crop", "cropped", [grown, data], offset=(1, 2))
    writer.call("slice_like", "op", [cropped, pooled], axes=(2, 3))
    values = random(1, 2, 6, 6)
    request = Request(writer.save(tmp_path), shapes={"data": values.shape})
    means = values.reshape(1, 2, 3, 2, 3, 2).mean((3, 5)).repeat(4, 2).repeat(4, 3)
    made = import_mxnet(request).reference.run({"data": values})["op_output"]
    np.testing.assert_allclose(made, means[:, :, 1:4, 2:5], atol=1e-6)


BAD = {
    "no kernel": (Case("Pooling", {"stride": (2, 2)}, np.copy), "kernel"),
    "one axis": (Case("Pooling", {"kernel": (3,)}, np.copy), "pictures only"),
    "a stride of 0": (Case("Pooling", {"kernel": (3, 3), "stride": (0, 1)}, np.copy), "sizes above 0"),
    "a kind of pooling": (Case("Pooling", {"kernel": (3, 3), "pool_type": "lp"}, np.copy), "pool_type lp"),
    "no number": (Case("_mul_scalar", {"scalar": "much"}, np.copy), "scalar is 'much'"),
    "no truth": (Case("FullyConnected", {"no_bias": "perhaps"}, np.copy, (random(3, 4),)), "no_bias is 'perhaps'"),
    "no weights": (Case("FullyConnected", {}, np.copy), "at least 2"),
    "weights of another kernel": (Case("Convolution", {"kernel": (5, 5)}, np.copy, (random(5, 4, 3, 3),)), "weights of shape"),
    "filters that are not there": (
        Case("Convolution", {"kernel": (3, 3), "num_filter": 9, "no_bias": 1}, np.copy, (random(5, 4, 3, 3),)),
        "5 filters",
    ),
    "layout": (Case("Convolution", {"kernel": (3, 3), "layout": "NHWC"}, np.copy, (random(5, 4, 3, 3),)), "layout NHWC"),
    "an activation": (Case("Activation", {"act_type": "swell"}, np.copy), "act_type 'swell'"),
    "a code of Reshape": (Case("Reshape", {"shape": (0, -9)}, np.copy), "from -4"),
    "-4 with nothing behind": (Case("Reshape", {"shape": (0, -4)}, np.copy), "cannot be converted"),
    "an axis too many": (Case("SwapAxis", {"dim1": 1, "dim2": 7}, np.copy), "cannot be converted"),
    "very many parts": (Case("SliceChannel", {"num_outputs": 10**9}, np.copy), "num_outputs 1000000000"),
    "a huge scale": (Case("UpSampling", {"scale": 10**9, "sample_type": "nearest"}, np.copy), "scale 1000000000"),
    "an integer dtype": (Case("Cast", {"dtype": "int32"}, np.copy), "dtype int32"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_attributes_that_cannot_be_meant_are_refused(name: str, tmp_path: Path) -> None:
    case, found = BAD[name]
    with pytest.raises(ModelError, match=found) as caught:
        import_mxnet(Request(case.written().save(tmp_path), shapes={"data": case.shape}))
    assert "'op'" in str(caught.value)


def test_an_operator_that_needs_sizes_says_which_input_to_give(tmp_path: Path) -> None:
    case = CASES["average pooling, full"]
    with pytest.raises(ModelError, match="sizes that are not known") as caught:
        import_mxnet(Request(case.written().save(tmp_path), shapes={"data": (None, 4, None, None)}))
    assert "shape of the input data" in str(caught.value)


def test_the_table_is_as_large_as_promised() -> None:
    assert len(OPERATORS) > 120
