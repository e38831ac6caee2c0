"""A PReLU that is written out becomes one node, with the same results."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from convert.network import Network, Port
from tests.convert.networks import RELU, conv, network, number, step

pytest.importorskip("onnx", reason="the onnx package is not installed (pip install 'ostiary[convert]')")
pytest.importorskip("onnxruntime", reason="onnxruntime is not installed (pip install 'ostiary[convert]')")

from convert.passes.prelu import recognise_prelus
from convert.runners.onnx_runtime import OnnxRuntimeRunner

CHANNELS = 4
HEAD = conv(CHANNELS, 3)
"""Makes t0, of both signs, which every form reads."""
X = "t0"
ROW = np.linspace(-0.4, 1.6, CHANNELS).astype(np.float32)
"""Slopes below 0 and above 1 as well."""
SHAPES = {"(C, 1, 1)": (-1, 1, 1), "(1, C, 1, 1)": (1, -1, 1, 1)}
FLAT = {"(C,)": (-1,), "(1, C)": (1, -1)}
ZERO = number(0)
Form = Callable[[Any], tuple[Any, ...]]
"""Slopes -> steps from t1 on; the last one is the result."""


def of(op: str, *inputs: Any, **attributes: Any) -> Any:
    """An operator of exactly these inputs."""
    return op, list(inputs), attributes


FORMS: dict[str, Form] = {
    "halves": lambda a: (
        RELU,
        of("Abs", X),
        of("Sub", X, "t2"),
        of("Mul", a, "t3"),
        of("Mul", "t4", number(0.5)),
        of("Add", "t1", "t5"),
    ),
    "halves, divided, slope last": lambda a: (
        of("Abs", X),
        of("Sub", X, "t1"),
        of("Div", "t2", number(2)),
        of("Mul", "t3", a),
        of("Relu", X),
        of("Add", "t4", "t5"),
    ),
    "relu - a relu(-x)": lambda a: (
        RELU,
        of("Neg", X),
        of("Relu", "t2"),
        of("Mul", "t3", a),
        of("Sub", "t1", "t4"),
    ),
    "relu + -a relu(-x)": lambda a: (
        RELU,
        of("Neg", X),
        of("Relu", "t2"),
        of("Mul", -a, "t3"),
        of("Add", "t1", "t4"),
    ),
    "-a relu(-x) + relu": lambda a: (
        of("Neg", X),
        of("Relu", "t1"),
        of("Mul", "t2", -a),
        of("Relu", X),
        of("Add", "t3", "t4"),
    ),
    "relu + -(a relu(-x))": lambda a: (
        RELU,
        of("Neg", X),
        of("Relu", "t2"),
        of("Mul", a, "t3"),
        of("Neg", "t4"),
        of("Add", "t1", "t5"),
    ),
    "relu + a (-relu(-x))": lambda a: (
        RELU,
        of("Mul", X, number(-1)),
        of("Relu", "t2"),
        of("Neg", "t3"),
        of("Mul", a, "t4"),
        of("Add", "t1", "t5"),
    ),
    "relu - a relu(0 - x)": lambda a: (
        RELU,
        of("Sub", ZERO, X),
        of("Relu", "t2"),
        of("Mul", a, "t3"),
        of("Sub", "t1", "t4"),
    ),
    "max + a min": lambda a: (
        of("Max", X, ZERO),
        of("Min", ZERO, X),
        of("Mul", a, "t2"),
        of("Add", "t1", "t3"),
    ),
    "relu + a min": lambda a: (RELU, of("Min", X, ZERO), of("Mul", "t2", a), of("Add", "t3", "t1")),
    "clips": lambda a: (
        of("Clip", X, ZERO),
        of("Clip", X, np.zeros(0, np.float32), ZERO),
        of("Mul", "t2", a),
        of("Add", "t1", "t3"),
    ),
    "x above 0": lambda a: (of("Greater", X, ZERO), of("Mul", X, a), of("Where", "t1", X, "t2")),
    "x not above 0": lambda a: (
        of("Greater", X, ZERO),
        of("Not", "t1"),
        of("Mul", a, X),
        of("Where", "t2", "t3", X),
    ),
    "0 above x": lambda a: (of("Greater", ZERO, X), of("Mul", X, a), of("Where", "t1", "t2", X)),
    "x below 0": lambda a: (of("Less", X, ZERO), of("Mul", X, a), of("Where", "t1", "t2", X)),
}
LEAKY: dict[str, Form] = {
    "max(x, a x)": lambda a: (of("Mul", X, a), of("Max", X, "t1")),
    "max(a x, x)": lambda a: (of("Mul", a, X), of("Max", "t1", X)),
    "(1 + a) x / 2 + (1 - a) |x| / 2": lambda a: (
        of("Abs", X),
        of("Mul", X, (1 + a) / number(2)),
        of("Mul", "t1", (1 - a) / number(2)),
        of("Add", "t2", "t3"),
    ),
}


def written(form: Form, slopes: Any, *, is_flat: bool = False) -> Network:
    """The form behind a layer. Constants without elements are inputs left out."""
    head = ("MatMul", [None, np.eye(3, CHANNELS, dtype=np.float32)], {}) if is_flat else HEAD
    made = network(head, *form(slopes))
    if is_flat:
        made = replace(made, inputs=(Port("image", (None, 3)),))
    nodes = tuple(
        replace(node, inputs=tuple("" if made.constants.get(name, ZERO).size == 0 else name for name in node.inputs))
        for node in made.nodes
    )
    return replace(made, nodes=nodes)


def difference(made: Network, changed: Network) -> float:
    """Greatest difference of all outputs, for values of both signs and 0."""
    shape = [size or 2 for size in made.inputs[0].shape]
    values = np.random.default_rng(1).normal(0, 2, shape).astype(np.float32)
    values.flat[0] = 0
    found, expected = (OnnxRuntimeRunner(each).run({"image": values}) for each in (changed, made))
    assert any((each < 0).any() for each in OnnxRuntimeRunner(made.with_outputs((X,))).run({"image": values}).values())
    return max(float(np.abs(found[name] - expected[name]).max()) for name in made.outputs)


def slope(made: Network) -> Any:
    return made.constants[made.nodes[-1].inputs[1]]


@pytest.mark.parametrize("shape", [*SHAPES, *FLAT])
@pytest.mark.parametrize("form", FORMS)
def test_every_spelling_is_one_prelu(form: str, shape: str) -> None:
    made = written(FORMS[form], ROW.reshape({**SHAPES, **FLAT}[shape]), is_flat=shape in FLAT)

    changed = recognise_prelus(made)

    assert [node.op for node in changed.nodes] == [made.nodes[0].op, "PRelu"]
    assert changed.nodes[-1].inputs[0] == X
    assert (changed.nodes[-1].name, changed.outputs) == (made.nodes[-1].name, made.outputs)
    assert slope(changed).shape == ((CHANNELS,) if shape in FLAT else (CHANNELS, 1, 1))
    assert slope(changed).dtype == np.float32
    np.testing.assert_allclose(slope(changed).reshape(-1), ROW, rtol=0, atol=1e-7)
    assert difference(made, changed) <= 1e-6


@pytest.mark.parametrize(
    "slopes", [number(0.25), np.full((1, 1, 1), 0.25, np.float32), np.full((4, 1, 1), 0.25, np.float32)]
)
@pytest.mark.parametrize("form", [*FORMS, *LEAKY])
def test_one_slope_for_all_is_a_leaky_relu(form: str, slopes: Any) -> None:
    made = written({**FORMS, **LEAKY}[form], slopes)

    changed = recognise_prelus(made)

    assert [node.op for node in changed.nodes] == ["Conv", "LeakyRelu"]
    assert changed.nodes[-1].attributes["alpha"] == pytest.approx(0.25, abs=1e-7)
    assert difference(made, changed) <= 1e-6


def test_the_larger_one_with_a_slope_a_channel() -> None:
    made = written(LEAKY["max(x, a x)"], np.array([-0.5, 0, 0.3, 1], np.float32).reshape(-1, 1, 1))

    changed = recognise_prelus(made)

    assert [node.op for node in changed.nodes] == ["Conv", "PRelu"]
    assert difference(made, changed) <= 1e-6


@pytest.mark.parametrize(
    "steps",
    [
        (of("Max", X, ZERO),),
        (of("Clip", X, ZERO),),
        FORMS["relu - a relu(-x)"](np.zeros((CHANNELS, 1, 1), np.float32)),
    ],
)
def test_a_slope_of_0_is_a_relu(steps: tuple[Any, ...]) -> None:
    made = network(HEAD, *steps)

    changed = recognise_prelus(made)

    assert [node.op for node in changed.nodes] == ["Conv", "Relu"]
    assert difference(made, changed) == 0


def test_one_after_the_other() -> None:
    """Of positive slopes the second is one of what the first reads, too."""
    first = FORMS["relu + a min"](number(0.5))
    second = (of("Relu", "t4"), of("Min", "t4", ZERO), of("Mul", "t6", number(0.5)), of("Add", "t5", "t7"))
    made = network(HEAD, *first, *second)

    changed = recognise_prelus(made)

    assert [node.op for node in changed.nodes] == ["Conv", "LeakyRelu", "LeakyRelu"]
    assert difference(made, changed) <= 1e-6


def test_what_it_reads_may_be_read_by_others() -> None:
    made = network(HEAD, *FORMS["max + a min"](ROW.reshape(-1, 1, 1)), of("Add", "t4", X))

    changed = recognise_prelus(made.with_outputs(("t5", X)))

    assert [node.op for node in changed.nodes] == ["Conv", "PRelu", "Add"]
    assert difference(made, changed) <= 1e-6


def test_a_name_that_is_taken_is_not_taken_again() -> None:
    made = written(FORMS["relu + a min"], ROW.reshape(-1, 1, 1))
    made = made.with_constants({f"{made.output_name}/slope": ROW})

    assert difference(made, recognise_prelus(made)) <= 1e-6


UNCHANGED: dict[str, tuple[Any, ...]] = {
    "another reads relu(x)": (*FORMS["relu + a min"](number(0.3)), of("Add", "t4", "t1")),
    "another reads a min": (*FORMS["relu + a min"](number(0.3)), of("Mul", "t4", "t3")),
    "steep": LEAKY["max(x, a x)"](number(1.5)),
    "the smaller one": (of("Mul", X, number(0.5)), of("Min", X, "t1")),
    "a sum": (RELU, of("Abs", X), of("Mul", "t2", number(0.5)), of("Add", "t1", "t2")),
    "two tensors": (of("Sigmoid", X), of("Relu", "t1"), of("Min", X, ZERO), of("Mul", "t3", ROW.reshape(-1, 1, 1)), of("Add", "t2", "t4")),
    "from 1 up": (of("Max", X, number(1)), of("Min", X, number(1)), of("Mul", "t2", number(0.5)), of("Add", "t1", "t3")),
    "compared with 1": (of("Greater", X, number(1)), of("Mul", X, number(0.5)), of("Where", "t1", X, "t2")),
    "a sign of something else": (of("Sigmoid", X), of("Less", "t1", ZERO), of("Mul", X, number(0.5)), of("Where", "t2", "t3", X)),
    "a slope a column": FORMS["relu + a min"](np.linspace(0, 1, 7, dtype=np.float32)),
    "a slope a place": FORMS["relu + a min"](np.random.default_rng(0).random((CHANNELS, 7, 7), np.float32)),
    "a slope a picture": FORMS["relu + a min"](np.linspace(0, 1, 3, dtype=np.float32).reshape(3, 1, 1, 1)),
    "more axes": (RELU, of("Add", "t1", np.zeros((1, 1, 1, 1, 1), np.float32))),
    "a computed slope": (RELU, of("Min", X, ZERO), of("Sigmoid", X), of("Mul", "t2", "t3"), of("Add", "t1", "t4")),
    "a residual sum": (RELU, of("Add", X, "t1")),
}  # fmt: skip


@pytest.mark.parametrize("name", UNCHANGED)
def test_what_is_none_stays(name: str) -> None:
    made = network(HEAD, *UNCHANGED[name])

    assert recognise_prelus(made) is made


@pytest.mark.parametrize("inner", ["t1", "t2", "t3"])
def test_an_inner_result_that_is_an_output_stays(inner: str) -> None:
    made = network(HEAD, *FORMS["relu + a min"](ROW.reshape(-1, 1, 1))).with_outputs(("t4", inner))

    assert recognise_prelus(made) is made


def test_other_nodes_stay_as_they_are() -> None:
    made = network(HEAD, *FORMS["halves"](ROW.reshape(-1, 1, 1)), step("Sigmoid"), conv(5, CHANNELS))

    changed = recognise_prelus(made)

    assert [node.op for node in changed.nodes] == ["Conv", "PRelu", "Sigmoid", "Conv"]
    assert [changed.nodes[place] for place in (0, 2, 3)] == [made.nodes[place] for place in (0, 7, 8)]
    assert difference(made, changed) <= 1e-6
