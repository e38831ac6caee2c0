from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from convert.importers.base import Request
from convert.importers.mxnet import import_mxnet
from edge.errors import ModelError, UsageError
from tests.convert import mxnet_files, networks, reference
from tests.convert.importers.mxnet import arcface
from tests.convert.importers.mxnet.cases import CASES, random
from tests.convert.mxnet_files import SymbolWriter
from tests.support.data import test_data

pytest.importorskip("onnxruntime", reason="onnxruntime is not installed (pip install 'ostiary[convert]')")

GOLDEN = (0.53135645, -0.20919588, 0.19215222, 0.47695, -0.38787282, 0.12669401, -0.33652353, 0.5210717)
"""First values of fc1 that MXNet 1.9.1 itself gives for `golden_picture`."""


def golden_picture() -> np.ndarray:
    place = np.arange(3 * 112 * 112, dtype=np.int64)
    return ((place * place * 7 + place * 13 + 5) % 256).reshape(1, 3, 112, 112).astype(np.float32)


def test_mobilefacenet_computes_what_mxnet_computed() -> None:
    files = tuple(
        test_data("models", "mobilefacenet-mxnet", name) for name in ("model-symbol.json", "model-0000.params")
    )
    imported = import_mxnet(Request(files, outputs=("fc1",), shapes={"data": (1, 3, 112, 112)}))
    assert imported.format == "mxnet"
    assert imported.network.outputs == ("fc1_output",)
    assert imported.network.input_shape == (1, 3, 112, 112)
    counts = Counter(node.op for node in imported.network.nodes)
    assert (counts["Conv"], counts["BatchNormalization"], counts["PRelu"], counts["Add"]) == (49, 50, 33, 12)
    assert imported.network.parameters() == pytest.approx(1_022_850, abs=0)
    made = imported.reference.run({"data": golden_picture()})["fc1_output"]
    np.testing.assert_allclose(made[0, :8], GOLDEN, atol=1e-5)


def test_without_a_shape_the_first_layer_tells_the_channels() -> None:
    files = tuple(
        test_data("models", "mobilefacenet-mxnet", name) for name in ("model-symbol.json", "model-0000.params")
    )
    assert import_mxnet(Request(files)).network.inputs[0].shape == (None, 3, None, None)


def test_the_operators_of_the_arcface_resnets(tmp_path: Path) -> None:
    net, _ = arcface.written()
    picture = np.random.default_rng(3).integers(0, 256, (2, 3, arcface.SIZE, arcface.SIZE)).astype(np.float32)
    imported = import_mxnet(Request(net.save(tmp_path), shapes={"data": (None, 3, arcface.SIZE, arcface.SIZE)}))
    made = imported.reference.run({"data": picture})["fc1_output"]
    np.testing.assert_allclose(made, arcface.expected(net, picture), atol=1e-4)


def test_a_margin_for_training_is_left_out(tmp_path: Path) -> None:
    net, embedding = arcface.written()
    files = net.save(tmp_path, arcface.with_margin(net, embedding))
    imported = import_mxnet(Request(files, shapes={"data": (1, 3, arcface.SIZE, arcface.SIZE)}))
    assert imported.network.outputs == ("blockgrad0_output",)
    assert "'softmax_label'" in imported.notes[0]
    assert [port.name for port in imported.network.inputs] == ["data"]


def test_only_outputs_that_need_a_label_are_an_error_that_lists_others(tmp_path: Path) -> None:
    net, embedding = arcface.written()
    heads = arcface.with_margin(net, embedding)
    with pytest.raises(ModelError, match="every output depends on a label") as caught:
        import_mxnet(Request(net.save(tmp_path, heads[1:])))
    assert "blockgrad0_output" in str(caught.value)


def test_the_label_of_a_loss_is_no_input(tmp_path: Path) -> None:
    writer = SymbolWriter()
    data, weight = writer.variable("data"), writer.variable("fc_weight", random(3, 5))
    scores = writer.call("FullyConnected", "fc", [data, weight], no_bias=True, num_hidden=3)
    writer.call("SoftmaxOutput", "softmax", [scores, writer.variable("softmax_label")])
    imported = import_mxnet(Request(writer.save(tmp_path), shapes={"data": (2, 5)}))
    values = random(2, 5, seed=4)
    powers = np.exp(values.astype(np.float64) @ random(3, 5).T)
    made = imported.reference.run({"data": values})["softmax_output"]
    np.testing.assert_allclose(made, powers / powers.sum(1, keepdims=True), atol=1e-6)


@pytest.mark.parametrize("key", ["param", "attr", "attrs"])
@pytest.mark.parametrize("version", [mxnet_files.LEGACY, mxnet_files.V1, mxnet_files.V2, mxnet_files.V3])
def test_files_of_every_age_are_read(key: str, version: int, tmp_path: Path) -> None:
    case = CASES["convolution in groups"]
    writer = case.written()
    for node in writer.nodes:
        if "attrs" in node:
            node[key] = node.pop("attrs")
    imported = import_mxnet(Request(writer.save(tmp_path, version=version), shapes={"data": case.shape}))
    made = imported.reference.run({"data": case.image()})["op_output"]
    np.testing.assert_allclose(made, case.expected(case.image()), atol=2e-5)


SAVED = [
    "conv, padding as SAME", "depthwise", "groups", "batch norm behind conv", "prelu", "residual", "channel factors",
    "constant first", "normalised inside", "conv, dilated", "average",
]  # fmt: skip


@pytest.mark.parametrize("name", SAVED)
def test_a_tiny_network_comes_back(name: str, tmp_path: Path) -> None:
    made = networks.CASES[name]()
    files = mxnet_files.save_network(made, tmp_path)
    imported = import_mxnet(Request(files, shapes={"image": made.input_shape}))
    assert [node.op for node in imported.network.nodes] == [node.op for node in made.nodes]
    picture = networks.picture(made)
    got = imported.reference.run({"image": picture})[imported.network.output_name]
    np.testing.assert_allclose(got, reference.run(made, picture), atol=2e-5)


def test_any_inner_tensor_can_be_the_output(tmp_path: Path) -> None:
    net, _ = arcface.written()
    request = Request(net.save(tmp_path), outputs=("bn0_output", "relu0"), shapes={"data": (1, 3, 16, 16)})
    imported = import_mxnet(request)
    assert imported.network.outputs == ("bn0_output", "relu0_output")
    assert not any(name.startswith("stage1") for name in imported.network.constants)


def test_an_output_that_is_not_there_lists_others(tmp_path: Path) -> None:
    net, _ = arcface.written()
    with pytest.raises(UsageError, match="no output fc2") as caught:
        import_mxnet(Request(net.save(tmp_path), outputs=("fc2",)))
    assert "fc1_output" in str(caught.value)


def test_a_missing_parameter_is_named(tmp_path: Path) -> None:
    net, _ = arcface.written()
    net.parameters.pop("arg:conv0_weight")
    files = net.save(tmp_path)
    with pytest.raises(ModelError, match="data, conv0_weight"):
        import_mxnet(Request(files))
    with pytest.raises(ModelError, match="no parameter for conv0_weight"):
        import_mxnet(Request(files, inputs=("data",)))


def test_every_unknown_operator_is_named_at_once(tmp_path: Path) -> None:
    writer = SymbolWriter()
    first = writer.call("Correlation", "one", [writer.variable("data")])
    second = writer.call("Activation", "two", [first], act_type="relu")
    writer.call("_contrib_Proposal", "three", [second])
    with pytest.raises(ModelError, match=r"2 operator\(s\)") as caught:
        import_mxnet(Request(writer.save(tmp_path), shapes={"data": (1, 3, 4, 4)}))
    assert "Correlation 'one'" in str(caught.value)
    assert "_contrib_Proposal 'three'" in str(caught.value)


def test_a_placeholder_may_be_bound(tmp_path: Path) -> None:
    writer = SymbolWriter()
    writer.call("broadcast_mul", "op", [writer.variable("data"), writer.variable("factor")])
    imported = import_mxnet(Request(writer.save(tmp_path), shapes={"data": (1, 2)}, constants={"factor": 2.0}))
    made = imported.reference.run({"data": np.array([[1, 3]], np.float32)})["op_output"]
    np.testing.assert_array_equal(made, [[2, 6]])


@pytest.mark.parametrize("names", [("tiny-symbol.json",), ("tiny-0000.params",), ("a.json", "b.json")])
def test_both_files_are_needed(names: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match=r"one -symbol\.json and one \.params"):
        import_mxnet(Request(tuple(Path(name) for name in names)))


def _node(**changes: object) -> str:
    nodes = [
        {"op": "null", "name": "data", "inputs": []},
        {"op": "relu", "name": "r", "inputs": [[0, 0, 0]], **changes},
    ]
    return json.dumps({"nodes": nodes, "heads": [[1, 0, 0]]})


BROKEN = {
    "empty": ("", "not a sound MXNet symbol"),
    "no JSON": ("{", "not a sound MXNet symbol"),
    "not UTF-8": ("\udcff", "not a sound MXNet symbol"),
    "a list": ("[]", "no list of nodes"),
    "nodes are no list": ('{"nodes": 3}', "no list of nodes"),
    "a node is no object": ('{"nodes": [3]}', "node 0 is no object"),
    "nested without end": ("[" * 100_000, "not a sound MXNet symbol"),
    "no name": (_node(name=None), "lacks op, name or inputs"),
    "reads itself": (_node(inputs=[[1, 0, 0]]), "leads to node 1"),
    "reads what comes later": (_node(inputs=[[7, 0, 0]]), "leads to node 7"),
    "a negative edge": (_node(inputs=[[-1, 0, 0]]), "leads to node -1"),
    "an edge of words": (_node(inputs=[["a", "b"]]), "whole numbers"),
    "a loop of its own": (_node(subgraphs=[{}]), "control flow"),
    "one name for both": (_node(name="data"), "more than one node: data"),
    "an output that is not there": (_node(inputs=[[0, 0, 0]]).replace("[[1, 0, 0]]", "[[9, 0, 0]]"), "leads to node 9"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_symbol_is_refused(name: str, tmp_path: Path) -> None:
    text, found = BROKEN[name]
    symbol, params = CASES["relu"].written().save(tmp_path)
    symbol.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(ModelError, match=found):
        import_mxnet(Request((symbol, params), shapes={"data": (1, 3)}))


def test_every_truncated_symbol_is_refused(tmp_path: Path) -> None:
    net, _ = arcface.written()
    symbol, params = net.save(tmp_path)
    whole = symbol.read_bytes()
    for part in range(50):
        symbol.write_bytes(whole[: len(whole) * part // 50])
        with pytest.raises(ModelError, match="not a sound MXNet symbol"):
            import_mxnet(Request((symbol, params), shapes={"data": (1, 3, 16, 16)}))


def test_the_reference_says_what_ran_it(tmp_path: Path) -> None:
    case = CASES["relu"]
    imported = import_mxnet(Request(case.written().save(tmp_path), shapes={"data": case.shape}))
    assert imported.reference.label.startswith("mxnet") or imported.reference.label.endswith("on the imported network")
