"""A network of ours in PyTorch: a teacher, or what a student is compared with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from convert.network import Network, Node
from convert.runners.torch import import_torch as torch_for
from edge.errors import ModelError

if TYPE_CHECKING:
    from torch import Tensor

    Operator = Callable[[Node, list[Tensor]], Tensor]


def import_torch() -> Any:
    """PyTorch. MissingDependencyError where it is not installed."""
    return torch_for("training")


def torch_network(network: Network) -> TorchNetwork:
    """The network, ready to run. ModelError names every operator that has no counterpart here."""
    unknown = sorted({str(node) for node in network.nodes if node.op not in _operators()})
    if unknown:
        known = ", ".join(sorted(_operators()))
        raise ModelError(f"a teacher with {', '.join(unknown)}", expected=f"operators among {known}")
    return TorchNetwork(network)


class TorchNetwork:
    """Runs float32 or bfloat16 NCHW tensors through a network; its weights are fixed, gradients pass through to the input."""

    def __init__(self, network: Network) -> None:
        """`network` holds only operators that torch_network has checked."""
        torch = import_torch()
        self.network = network
        self._constants = {name: torch.from_numpy(np.array(value)) for name, value in network.constants.items()}
        self._operators = _operators()

    def to(self, device: Any) -> TorchNetwork:
        """Move the weights to a device."""
        self._constants = {name: value.to(device) for name, value in self._constants.items()}
        return self

    def __call__(self, pixels: Tensor) -> Tensor:
        """The only output for a batch of what the network takes: (pixel - mean) / std."""
        return self.inner(pixels, (self.network.output_name,))[0]

    def inner(self, values: Tensor, names: Sequence[str]) -> list[Tensor]:
        """The named tensors, inner ones and outputs; nodes after the last of them do not run."""
        made: dict[str, Tensor] = {self.network.input_name: values}
        wanted = set(names)
        for node in self.network.nodes:
            if wanted <= made.keys():
                break
            made[node.output] = self.run_node(node, made)
        return [made[name] for name in names]

    def run_node(self, node: Node, made: Mapping[str, Tensor]) -> Tensor:
        """One node, whose inputs are constants or among the tensors made so far."""
        inputs = [made[name] if name in made else self._constants[name] for name in node.inputs if name]
        return self._operators[node.op](node, inputs)


def _operators() -> dict[str, Operator]:
    """Meaning as in ONNX, opset 13."""
    torch = import_torch()
    functional = torch.nn.functional
    return {
        "Conv": _conv,
        "BatchNormalization": _batch_norm,
        "Gemm": _gemm,
        "MaxPool": _max_pool,
        "Resize": _resize,
        "Transpose": lambda node, inputs: inputs[0].permute(*node.attributes["perm"]),
        "Reshape": _reshape,
        "PRelu": lambda _, inputs: functional.prelu(inputs[0], inputs[1].reshape(-1)),
        "Relu": lambda _, inputs: functional.relu(inputs[0]),
        "LeakyRelu": lambda node, inputs: functional.leaky_relu(inputs[0], float(node.attributes.get("alpha", 0.01))),
        "Sigmoid": lambda _, inputs: torch.sigmoid(inputs[0]),
        "Add": lambda _, inputs: inputs[0] + inputs[1],
        "Sub": lambda _, inputs: inputs[0] - inputs[1],
        "Mul": lambda _, inputs: inputs[0] * inputs[1],
        "GlobalAveragePool": lambda _, inputs: inputs[0].mean((2, 3), keepdim=True),
        "Flatten": lambda node, inputs: inputs[0].flatten(int(node.attributes.get("axis", 1))),
        "Concat": lambda node, inputs: torch.cat(inputs, int(node.attributes["axis"])),
        "Identity": lambda _, inputs: inputs[0],
    }


def _conv(node: Node, inputs: list[Tensor]) -> Tensor:
    values, weight, *bias = inputs
    attributes = node.attributes
    convolved: Tensor = import_torch().nn.functional.conv2d(
        _padded(values, attributes.get("pads", (0, 0, 0, 0))),
        weight,
        *bias,
        stride=tuple(attributes.get("strides", (1, 1))),
        dilation=tuple(attributes.get("dilations", (1, 1))),
        groups=int(attributes.get("group", 1)),
    )
    return convolved


def _batch_norm(node: Node, inputs: list[Tensor]) -> Tensor:
    values, scale, shift, mean, variance = inputs
    epsilon = float(node.attributes.get("epsilon", 1e-5))
    functional = import_torch().nn.functional
    normed: Tensor = functional.batch_norm(values, mean, variance, scale, shift, training=False, eps=epsilon)
    return normed


def _gemm(node: Node, inputs: list[Tensor]) -> Tensor:
    values, weight, *bias = inputs
    made: Tensor = import_torch().nn.functional.linear(
        values, weight if node.attributes.get("transB") else weight.T, *bias
    )
    return made


def _max_pool(node: Node, inputs: list[Tensor]) -> Tensor:
    attributes = node.attributes
    values = _padded(inputs[0], attributes.get("pads", (0, 0, 0, 0)), value=float("-inf"))
    pooled: Tensor = import_torch().nn.functional.max_pool2d(
        values,
        tuple(attributes["kernel_shape"]),
        tuple(attributes.get("strides", (1, 1))),
        ceil_mode=bool(attributes.get("ceil_mode", 0)),
    )
    return pooled


def _resize(node: Node, inputs: list[Tensor]) -> Tensor:
    scales = [float(value) for value in inputs[-1][2:]]
    if node.attributes.get("mode", "nearest") != "nearest" or any(scale != int(scale) for scale in scales):
        raise ModelError(f"{node} in a teacher", expected="enlarging by whole numbers, nearest neighbour")
    enlarged: Tensor = import_torch().nn.functional.interpolate(inputs[0], scale_factor=scales, mode="nearest")
    return enlarged


def _reshape(_: Node, inputs: list[Tensor]) -> Tensor:
    values, sizes = inputs
    return values.reshape([values.shape[axis] if size == 0 else int(size) for axis, size in enumerate(sizes)])


def _padded(values: Tensor, pads: Sequence[int], value: float = 0.0) -> Tensor:
    """`pads` as ONNX has them: top, left, bottom, right."""
    if not any(pads):
        return values
    torch = import_torch()
    top, left, bottom, right = pads
    padded: Tensor = torch.nn.functional.pad(values, (left, right, top, bottom), value=value)
    return padded
