"""ONNX operators as TensorFlow operators: NCHW becomes NHWC, which is what TensorFlow and TFLite compute in.

`emission` keeps what is computed and how it lies in memory, one module for each kind of operator writes it, `graph` makes a
named graph of it. Outside, tensors with four axes are NHWC; all others have the axes of the source.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from convert.network import Network
from convert.targets.tensorflow_ops.arithmetic import ONE, TWO
from convert.targets.tensorflow_ops.axes import AXES
from convert.targets.tensorflow_ops.emission import Emission, Emitter, Held
from convert.targets.tensorflow_ops.graph import Emitted, concrete, emitted
from convert.targets.tensorflow_ops.places import PLACES
from convert.targets.tensorflow_ops.shapes import SHAPES
from convert.targets.tensorflow_ops.weights import WEIGHTS
from convert.tensorflow import import_tensorflow, plain_name

__all__ = [
    "EMITTERS",
    "Emission",
    "Emitted",
    "Emitter",
    "Held",
    "concrete",
    "emitted",
    "import_tensorflow",
    "plain_name",
    "traced",
]

EMITTERS: Mapping[str, Emitter] = {**WEIGHTS, **ONE, **TWO, **PLACES, **AXES, **SHAPES}
"""One for each of convert.network.OPERATORS."""


def traced(network: Network, batch: int | None = 1, emitters: Mapping[str, Emitter] = EMITTERS) -> Any:
    """The network as a TensorFlow concrete function.

    Inputs (`function.inputs`) and outputs (`function.outputs`) are in the network's order and named as `plain_name` writes
    its names; both are NHWC where they have four axes. A call gives a list. `batch` None leaves the number of pictures open.
    """
    return concrete(emitted(network, emitters, batch))
