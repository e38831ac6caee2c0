from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytest.importorskip("onnxruntime", reason="onnxruntime is not installed (extra convert)")

from convert.importers.base import Request
from convert.importers.caffe import files as reading
from convert.importers.caffe import import_caffe
from convert.runners.onnx_runtime import OnnxRuntimeRunner
from edge.errors import ModelError, OstiaryError, UsageError
from tests.convert.caffe_files import Weights, caffemodel, files, headed, layer, random

CONV = layer("Convolution", more="convolution_param { num_output: 3 kernel_size: 3 }")
WEIGHTS: Weights = {"it": [random(3, 4, 3, 3), random(3)]}
OLD = (
    'layers { name: "it" type: CONVOLUTION bottom: "data" top: "it" convolution_param { num_output: 3 kernel_size: 3 } }\n'
    'layers { name: "relu" type: RELU bottom: "it" top: "it" }\n'
    'layers { name: "dense" type: INNER_PRODUCT bottom: "it" top: "out" inner_product_param { num_output: 2 } }'
)


def convolved(prototxt: Path, model: Path) -> object:
    network = import_caffe(Request((prototxt, model))).network
    return OnnxRuntimeRunner(network).run({"data": random(1, 4, 9, 11, seed=4)})[network.outputs[0]]


def test_both_files_are_told_apart_by_what_is_in_them(tmp_path: Path) -> None:
    prototxt, model = files(tmp_path, headed(CONV), WEIGHTS)
    renamed = [prototxt.rename(tmp_path / "a.bin"), model.rename(tmp_path / "b.txt")]

    assert np.array_equal(convolved(*renamed), convolved(*reversed(renamed)))


def test_one_file_is_enough_where_the_other_lies_beside_it(tmp_path: Path) -> None:
    for path in files(tmp_path, headed(CONV), WEIGHTS):
        assert len(import_caffe(Request((path,))).files) == 2


@pytest.mark.parametrize("places", [(), (0,), (1,), (0, 0), (0, 1, 1)])
def test_other_files_than_one_of_each_are_refused(places: tuple[int, ...], tmp_path: Path) -> None:
    prototxt, model = files(tmp_path, headed(CONV), WEIGHTS)
    apart = (prototxt.rename(tmp_path / "one.prototxt"), model)

    with pytest.raises(UsageError, match="one prototxt and one caffemodel"):
        import_caffe(Request(tuple(apart[place] for place in places)))


def test_old_layers_and_old_shapes_give_the_same(tmp_path: Path) -> None:
    weights = {**WEIGHTS, "dense": [random(2, 3 * 7 * 9), random(2)]}
    new = headed(
        CONV.replace('top: "out"', 'top: "it"')
        + layer("ReLU", "relu", bottom="it", top="it")
        + layer("InnerProduct", "dense", bottom="it", more="inner_product_param { num_output: 2 }")
    )
    dims = "input_dim: 1 input_dim: 4 input_dim: 9 input_dim: 11"

    first = convolved(*files(tmp_path / "new", new, weights))
    second = convolved(*files(tmp_path / "old", f'input: "data" {dims}\n{OLD}', weights, old=True, four_axes=True))

    assert np.array_equal(first, second)


def test_fields_that_are_not_known_are_passed_over(tmp_path: Path) -> None:
    more = 'convolution_param { num_output: 3 kernel_size: 3 engine: CUDNN weight_filler { type: "xavier" } fork_only: 3 } param { lr_mult: 1 }'
    text = headed(layer("Convolution", more=more)) + "\nfork { deep { deeper: 1 } }\n"

    assert np.array_equal(
        convolved(*files(tmp_path / "a", text, WEIGHTS)), convolved(*files(tmp_path / "b", headed(CONV), WEIGHTS))
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("layer { name: ", "not a sound prototxt"),
        ("layer { type: 7 }", "not a sound prototxt"),
        ("layers { type: NO_SUCH }", "not a sound prototxt"),
        ("x { " * 5000, "not a sound prototxt"),
        ("# nothing\n", "no layers"),
        (headed(CONV) + OLD, "both `layers` and `layer`"),
        (headed(layer("ReLU", bottom="absent")), "reads absent"),
        (headed('layer { name: "it" type: "ReLU" bottom: "data" }'), "makes nothing"),
        (headed(""), "no layers"),
        (headed(layer("Silence")), "no output"),
        (f'input: "data"\n{CONV}', "has no shape"),
        (headed(CONV, (1, 0, 9, 9)), "sizes from 1"),
        (headed(CONV, (1, 4, 1 << 40, 1 << 40)), "output of shape"),
        (headed(CONV, (1, 4, -5, 9)), "sizes from 1"),
    ],
)
def test_a_prototxt_that_is_not_sound_is_refused(text: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError) as caught:
        import_caffe(Request(files(tmp_path, text, WEIGHTS)))

    assert words in str(caught.value)
    assert "net.prototxt" in caught.value.where


def test_unknown_layers_are_named_all_at_once(tmp_path: Path) -> None:
    text = headed(
        layer("Frobnicate", "one", top="a") + layer("Python3", "two", bottom="a", top="b") + layer("ReLU", bottom="b")
    )

    with pytest.raises(ModelError, match=r"2 operator.*Frobnicate 'one', Python3 'two'"):
        import_caffe(Request(files(tmp_path, text, {})))


@pytest.mark.parametrize("length", [0, 1, 7, 40, 200, -1])
def test_a_caffemodel_cut_off_is_refused(length: int, tmp_path: Path) -> None:
    prototxt, model = files(tmp_path, headed(CONV), WEIGHTS)
    data = model.read_bytes()
    model.write_bytes(data[:length])

    with pytest.raises((ModelError, UsageError)):
        import_caffe(Request((prototxt, model)))


@pytest.mark.parametrize("sizes", [(3, 4, 3, 4), (1 << 40, 1 << 40), (-3, 4), (1,) * 9, (1 << 62, 4)])
def test_numbers_that_do_not_fill_their_shape_are_refused(sizes: tuple[int, ...], tmp_path: Path) -> None:
    from convert.importers.caffe.schema import message_class

    prototxt, model = files(tmp_path, headed(CONV), {})
    message = message_class("Weights")()
    blob = message.layer.add(name="it").blobs.add(data=[random(3, 4, 3, 3).tobytes()])
    blob.shape.dim.extend(sizes)
    model.write_bytes(message.SerializeToString())

    with pytest.raises(ModelError, match="weights of shape") as caught:
        import_caffe(Request((prototxt, model)))
    assert "'it'" in caught.value.where


def test_a_prototxt_larger_than_any_network_is_not_parsed(tmp_path: Path) -> None:
    prototxt, model = files(tmp_path, headed(CONV), WEIGHTS)
    with prototxt.open("a") as handle:
        handle.write(" " * (reading.MAX_TEXT_BYTES + 1))

    with pytest.raises(ModelError, match="at most"):
        import_caffe(Request((prototxt, model)))


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="No such file"):
        import_caffe(Request((tmp_path / "a.prototxt", tmp_path / "a.caffemodel")))


@given(place=st.integers(0, 10_000), value=st.integers(0, 255), cut=st.integers(0, 10_000))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damaged_weights_are_refused_or_read_but_never_a_traceback(
    place: int, value: int, cut: int, tmp_path: Path
) -> None:
    prototxt, model = files(tmp_path, headed(CONV), WEIGHTS)
    data = bytearray(caffemodel(WEIGHTS))
    data[place % len(data)] = value
    model.write_bytes(bytes(data[: max(1, len(data) - cut % 50)]))

    with contextlib.suppress(OstiaryError):
        assert import_caffe(Request((prototxt, model))).network.outputs == ("out",)


@given(place=st.integers(0, 10_000), letters=st.text(max_size=6))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damaged_text_is_refused_or_read_but_never_a_traceback(place: int, letters: str, tmp_path: Path) -> None:
    text = headed(CONV)
    place %= len(text)
    prototxt, model = files(tmp_path, "", WEIGHTS)
    prototxt.write_bytes((text[:place] + letters + text[place + len(letters) :]).encode(errors="surrogatepass"))

    with contextlib.suppress(OstiaryError):
        assert import_caffe(Request((prototxt, model))).network.outputs
