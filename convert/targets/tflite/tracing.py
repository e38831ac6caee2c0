"""A network as what TensorFlow's converters take: pictures NHWC, inputs and outputs under keys that sort in the network's order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from convert.network import Network, Port, Shape
from convert.targets.tensorflow_ops import Emitter, traced
from convert.tensorflow import import_tensorflow
from edge.errors import ModelError


def nhwc(shape: Shape) -> Shape:
    """Shape of an NCHW picture as NHWC; others as they are."""
    return (shape[0], *shape[2:], shape[1]) if len(shape) == 4 else shape


def input_shape(port: Port, batch: int | None) -> Shape:
    """NHWC shape of an input in a run of `batch` pictures; ModelError where more than the batch is open."""
    sizes = port.shape if len(port.shape) < 2 else (batch, *port.shape[1:])
    if None in sizes[1:]:
        raise ModelError(
            f"input {port.name!r} of shape {list(port.shape)}",
            expected="all sizes but the first fixed for TFLite",
            hint="Give the size of the picture with --shape.",
        )
    return nhwc(sizes)


def input_keys(network: Network) -> list[str]:
    """Names of the inputs in the traced function. They sort as the inputs stand: TensorFlow sorts them."""
    return [f"input_{index:03d}" for index in range(len(network.inputs))]


def output_keys(network: Network) -> list[str]:
    """Names of the outputs in the traced function."""
    return [f"output_{index:03d}" for index in range(len(network.outputs))]


def keyed_function(network: Network, batch: int | None, emitters: Mapping[str, Emitter]) -> tuple[Any, Any]:
    """The network for `batch` pictures as a concrete function, and the module that keeps it alive; None leaves their number open."""
    tf = import_tensorflow()
    specs = [
        tf.TensorSpec(input_shape(port, batch), tf.as_dtype(port.dtype), name=key)
        for port, key in zip(network.inputs, input_keys(network), strict=True)
    ]
    plain = traced(network, batch, emitters)
    keys = output_keys(network)

    def run(*tensors: Any) -> dict[str, Any]:
        return dict(zip(keys, plain(*tensors), strict=True))

    module = tf.Module()
    module.run = tf.function(run, input_signature=specs, autograph=False)
    return module.run.get_concrete_function(), module
