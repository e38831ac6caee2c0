"""The old per-tensor uint8: what the TensorFlow 1 converter wrote from invented activation ranges.

One scale and zero point for each tensor, weights included, uint8 throughout. Ranges that the source measured in training
(`ranges`, from its FakeQuant nodes) are kept; `default_ranges` stand in for every other; TensorFlow documents them as "for experimentation only, results will be inaccurate". It is here for those who
must reproduce such a file.
"""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

from convert.network import Network, Node
from convert.targets.base import Options
from convert.targets.tensorflow_ops import traced
from convert.targets.tflite.operators import with_ranges
from convert.targets.tflite.writing import converted, finished, prepared
from convert.tensorflow import import_tensorflow
from edge.errors import ModelError, UsageError
from edge.interpreter import caught_stderr

INACCURATE = (
    "inaccurate: activation ranges were invented (default_ranges), not measured; one scale for each tensor. "
    "For reproducing old files only."
)
"""What the artifact's description, the manifest and the report say of such a file."""

NAME = "tflite-uint8-legacy"


def legacy_bytes(network: Network, options: Options) -> bytes:
    """A TFLite file as the old converter wrote it. UsageError without `default_ranges`, ModelError where it cannot be."""
    low, high = _ranges(options)
    network = without_prelu(prepared(network, options))
    if options.batch is None:
        raise ModelError("an open batch", expected="a fixed one for the old converter")
    tf = import_tensorflow()
    function = traced(network, options.batch, with_ranges(options.ranges))
    converter = tf.compat.v1.lite.TFLiteConverter(function.graph.as_graph_def(), function.inputs, function.outputs)
    converter.exclude_conversion_metadata = True
    converter.inference_type = tf.uint8
    converter.default_ranges_stats = (low, high)
    mean, std = input_statistics(network, options)
    converter.quantized_input_stats = {tensor.op.name: (mean, std) for tensor in function.inputs}
    data = finished(converted(converter), network, options.head, f"{NAME}: {INACCURATE}")
    _refuse_without_kernels(data)
    return data


def _refuse_without_kernels(data: bytes) -> None:
    """ModelError where an operator has no uint8 kernel: the converter does not ask, and the file would fail on the device."""
    tf = import_tensorflow()
    try:
        with warnings.catch_warnings(), caught_stderr([]):
            # TensorFlow announces that its interpreter will go.
            warnings.simplefilter("ignore")
            interpreter = tf.lite.Interpreter(model_content=data, num_threads=1)
            interpreter.allocate_tensors()
            interpreter.invoke()
    except (RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:300]
        hint = "Choose tflite-uint8, whose integers are int8 inside."
        raise ModelError(f"an operator without a uint8 kernel ({reason})", hint=hint) from error


def _ranges(options: Options) -> tuple[float, float]:
    if options.default_ranges is None:
        raise UsageError(
            "no default ranges",
            expected="two numbers, such as 0 and 6",
            hint="Give them, or choose tflite-uint8, which measures the ranges on pictures.",
        )
    low, high = options.default_ranges
    if not low <= 0.0 <= high or low == high:
        raise UsageError(f"default ranges {low:g} to {high:g}", expected="a range that holds 0 and more")
    return low, high


def input_statistics(network: Network, options: Options) -> tuple[float, float]:
    """(mean, std): the byte b at the input means (b - mean) / std. The options' where they say something, else the network's."""
    given = options.mean, options.std
    return given if given != (0.0, 1.0) else (network.mean, network.std)


def without_prelu(network: Network) -> Network:
    """PRelu of several slopes as what has a uint8 kernel: max(x, 0) + slope (x - max(x, 0))."""
    nodes: list[Node] = []
    for node in network.nodes:
        slope = network.constants.get(node.inputs[1]) if node.op == "PRelu" else None
        nodes += [node] if node.op != "PRelu" or (slope is not None and slope.size == 1) else _rectified(node)
    return replace(network, nodes=tuple(nodes))


def _rectified(node: Node) -> list[Node]:
    values, slope = node.inputs
    names = {part: f"{node.output}/{part}" for part in ("positive", "negative", "scaled")}

    def step(op: str, inputs: tuple[str, ...], output: str, **attributes: Any) -> Node:
        return Node(op, f"{node.name}/{op.lower()}", inputs, (output,), attributes)

    return [
        step("Relu", (values,), names["positive"]),
        step("Sub", (values, names["positive"]), names["negative"]),
        step("Mul", (names["negative"], slope), names["scaled"]),
        step("Add", (names["positive"], names["scaled"]), node.output),
    ]
