"""Network -> bytes of a TFLite file, through TensorFlow's converter and a last touch of ours."""

from __future__ import annotations

import re
from typing import Any

from convert.network import Network
from convert.targets.base import DetectionHead, Options
from convert.targets.tflite.calibration import Progress, examples_of_inputs, feed
from convert.targets.tflite.flatbuffer import packed, unpacked
from convert.targets.tflite.lowering import lower_new_versions
from convert.targets.tflite.operators import INTEGER_OPERATORS, OPERATORS
from convert.targets.tflite.ports import in_the_networks_order, name_ports
from convert.targets.tflite.post_process import OUTPUTS, append_post_process, raw_outputs
from convert.targets.tflite.precisions import Precision, set_up
from convert.targets.tflite.tracing import input_keys, keyed_function, output_keys
from convert.tensorflow import import_tensorflow
from edge.errors import ModelError
from edge.interpreter import caught_stderr


def tflite_bytes(network: Network, options: Options, precision: Precision, progress: Progress | None = None) -> bytes:
    """A TFLite file of one precision. ModelError where TensorFlow cannot write the network, UsageError without examples."""
    network = prepared(network, options)
    examples = examples_of_inputs(network, options) if precision.integers_only else []
    tf = import_tensorflow()
    function, module = keyed_function(
        network, options.batch, INTEGER_OPERATORS if precision.integers_only else OPERATORS
    )
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function], module)
    set_up(converter, precision, tf)
    if options.head is not None:
        # The operator behind it computes in float32, whatever the network does.
        converter.inference_output_type = tf.float32
    if examples:
        converter.representative_dataset = feed(input_keys(network), examples, options.batch, progress)
    return finished(converted(converter), network, options.head, f"{precision.name}: {precision.says}")


def prepared(network: Network, options: Options) -> Network:
    """The network to convert: of a detector with a head, offsets and scores alone."""
    return network if options.head is None else raw_outputs(network, options.head, options.batch)


def finished(data: bytes, network: Network, head: DetectionHead | None, description: str) -> bytes:
    """What a converter wrote, with the network's own names and order, a description, and post-processing where asked for."""
    model = unpacked(data)
    in_the_networks_order(model, input_keys(network), output_keys(network))
    outputs = network.outputs
    if head is not None:
        append_post_process(model, head)
        outputs = OUTPUTS
    lower_new_versions(model)
    name_ports(model, tuple(port.name for port in network.inputs), outputs)
    model.description = description.encode()
    return packed(model)


def converted(converter: Any) -> bytes:
    """What `converter` writes. ModelError, with its reason, where it does not."""
    try:
        # The converter's C++ code writes its progress to descriptor 2, whatever log level is set.
        with caught_stderr([]):
            return bytes(converter.convert())
    # ConverterError is an Exception of its own.
    except Exception as error:
        if not isinstance(error, (RuntimeError, ValueError)) and type(error).__name__ != "ConverterError":
            raise
        raise ModelError(f"TensorFlow cannot write it as TFLite ({_reason(error)})") from error


def _reason(error: Exception) -> str:
    """What the converter says, without the place in our code that it says it of: every operator that it cannot write."""
    text = str(error)
    unknown = sorted(set(re.findall(r"'tf\.(\w+)' op is neither", text)))
    if unknown:
        return f"operators that TFLite lacks: {', '.join(unknown)}"
    return (text.strip().splitlines() or [type(error).__name__])[0][:300]
