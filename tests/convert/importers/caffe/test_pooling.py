from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("onnxruntime", reason="onnxruntime is not installed (extra convert)")

from convert.network import Array
from convert.runners.onnx_runtime import OnnxRuntimeRunner
from tests.convert.caffe_files import headed, imported, layer, random


def pooled(x: Array, how: Mapping[str, tuple[int, ...]], *, is_mean: bool, rounds_up: bool) -> Array:
    """Window by window, as Caffe's pooling layer describes it."""
    kernel, stride, pad = how["kernel"], how["stride"], how["pad"]
    counts = []
    for axis in (0, 1):
        steps = (x.shape[2 + axis] + 2 * pad[axis] - kernel[axis]) / stride[axis]
        count = (math.ceil(steps) if rounds_up else math.floor(steps)) + 1
        if any(pad) and (count - 1) * stride[axis] >= x.shape[2 + axis] + pad[axis]:
            count -= 1
        counts.append(count)
    made = np.zeros((*x.shape[:2], *counts))
    for row in range(counts[0]):
        for column in range(counts[1]):
            begin = (row * stride[0] - pad[0], column * stride[1] - pad[1])
            # The padding counts in a mean; what is beyond it does not.
            end = [min(begin[axis] + kernel[axis], x.shape[2 + axis] + pad[axis]) for axis in (0, 1)]
            area = (end[0] - begin[0]) * (end[1] - begin[1])
            seen = x[:, :, max(begin[0], 0) : end[0], max(begin[1], 0) : end[1]]
            made[:, :, row, column] = seen.sum((2, 3)) / area if is_mean else seen.max((2, 3))
    return made


windows = st.fixed_dictionaries(
    {
        "kernel": st.tuples(st.integers(1, 5), st.integers(1, 5)),
        "stride": st.tuples(st.integers(1, 5), st.integers(1, 5)),
        "pad": st.tuples(st.integers(0, 2), st.integers(0, 2)),
    }
)


@given(
    size=st.tuples(st.integers(5, 12), st.integers(5, 12)),
    how=windows,
    method=st.sampled_from(("MAX", "AVE")),
    rounding=st.sampled_from(("CEIL", "FLOOR")),
)
@settings(max_examples=150, deadline=None)
def test_windows_are_caffes(
    size: tuple[int, int],
    how: dict[str, tuple[int, int]],
    method: str,
    rounding: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    kernel = tuple(max(side, pad + 1) for side, pad in zip(how["kernel"], how["pad"], strict=True))
    # Beyond this a window lies wholly outside, and Caffe gives the lowest number there is.
    stride = tuple(min(step, side) for step, side in zip(how["stride"], kernel, strict=True))
    pad = how["pad"]
    text = (
        f"pooling_param {{ pool: {method} round_mode: {rounding} kernel_h: {kernel[0]} kernel_w: {kernel[1]} "
        f"stride_h: {stride[0]} stride_w: {stride[1]} pad_h: {pad[0]} pad_w: {pad[1]} }}"
    )
    x = random(1, 2, *size)
    made = imported(tmp_path_factory.mktemp("pool"), headed(layer("Pooling", more=text), x.shape), {})

    found = OnnxRuntimeRunner(made.network).run({"data": x})["out"]

    whole = {"kernel": kernel, "stride": stride, "pad": pad}
    expected = pooled(x, whole, is_mean=method == "AVE", rounds_up=rounding == "CEIL")
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= 1e-5


@pytest.mark.parametrize("method", ["MAX", "AVE"])
def test_unpadded_pooling_is_right_for_sizes_that_are_open(method: str, tmp_path: Path) -> None:
    text = layer("Pooling", more=f"pooling_param {{ pool: {method} kernel_size: 2 stride: 2 }}")
    made = imported(tmp_path, headed(text), {}, shapes={"": (1, 4, None, None)})
    runner = OnnxRuntimeRunner(made.network)

    for height, width in ((9, 11), (8, 5)):
        x = random(1, 4, height, width)
        how = {"kernel": (2, 2), "stride": (2, 2), "pad": (0, 0)}
        expected = pooled(x, how, is_mean=method == "AVE", rounds_up=True)
        assert np.abs(runner.run({"data": x})["out"] - expected).max() <= 1e-6
