"""The last phase: the student learns with the very integers that the device will compute with.

Every rounding of TFLite's int8 arithmetic is in the forward pass (convert.quantise.formulas); gradients pass straight through it
(Bengio et al. 2013, Jacob et al. 2018). What is trained are the weights and biases behind the integers; the grids of the tensors and
the scales of the weights stay. So what was trained is what is written: the simulator's integers are the interpreter's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from convert.network import Network, Node
from convert.quantise.arithmetic import IntegerSimulator
from convert.quantise.form import WEIGHT_HIGH, IntegerNetwork, Layer
from convert.quantise.formulas import straight_through, to_real
from convert.quantise.grids import bias_scales
from convert.train.embedder.faces import Faces
from convert.train.embedder.losses import apart
from convert.train.embedder.phase import Phase
from convert.train.embedder.taught import Taught
from convert.train.run import Figures
from convert.train.torch_network import import_torch
from edge.datatypes import Image
from edge.interpreter import TfliteModel

if TYPE_CHECKING:
    from torch import Tensor

_BIAS_SHARE = 30.0
"""A bias is counted in steps many times smaller than a weight's share of a sum: a typical sum has hundreds."""


class TrainableIntegers(IntegerSimulator):
    """An IntegerNetwork whose weights and biases have gradients."""

    def __init__(self, integer: IntegerNetwork, *, device: str = "cpu") -> None:
        """Starts from the float weights of `integer.network`, on the scales of `integer.layers`."""
        super().__init__(integer, device=device, step=straight_through)
        torch = import_torch()
        self.parameters: dict[str, Tensor] = {}
        for node in self._layer_nodes():
            for kind, values in zip(("weight", "bias"), self._in_steps(node), strict=True):
                tensor = torch.from_numpy(values).to(device).requires_grad_()
                self.parameters[f"{node.output}.{kind}"] = tensor

    def _layer_nodes(self) -> list[Node]:
        return [node for node in self.integer.network.nodes if node.output in self.integer.layers]

    def _in_steps(self, node: Node) -> tuple[Any, Any]:
        """Weights and bias of a layer in steps of their grids, not rounded."""
        layer, constants = self.integer.layers[node.output], self.integer.network.constants
        across = layer.scales.reshape(-1, *(1,) * (layer.weights.ndim - 1))
        steps = bias_scales(self.integer.grids[node.inputs[0]], layer.scales)
        weight, bias = constants[node.inputs[1]] / across, constants[node.inputs[2]].reshape(-1) / steps
        # Whoever corrected biases or rounded by a better rule than the nearest has told so in the integers alone.
        weight = np.clip(weight, layer.weights - 0.49, layer.weights + 0.49)
        bias = np.clip(bias, layer.bias - 0.49, layer.bias + 0.49)
        return weight.astype(np.float32), bias.astype(np.float32)

    def round_weights(self) -> None:
        """Integers of the parameters as they are now; called before each batch."""
        for node in self._layer_nodes():
            weight, bias = self._rounded(node.output)
            held = self._layers[node.output]
            self._layers[node.output] = replace(
                held, weights=weight.to(held.weights.dtype), bias=bias.to(held.weights.dtype)
            )

    def _rounded(self, name: str) -> tuple[Tensor, Tensor]:
        weight, bias = self.parameters[f"{name}.weight"], self.parameters[f"{name}.bias"]
        clipped = weight.clamp(-WEIGHT_HIGH, WEIGHT_HIGH)
        return straight_through(clipped.round(), lambda: clipped), straight_through(bias.round(), lambda: bias)

    def embeddings(self, pixels: Tensor) -> Tensor:
        """Real numbers (N, length) of whole pixels, float32 (N, 3, H, W)."""
        name = self.integer.network.output_name
        made = self.tensors(pixels, (name,))[name]
        return made if name in self.integer.floats else to_real(made, self.integer.grids[name])

    def trained(self) -> IntegerNetwork:
        """The network with the integers of the parameters as they are now."""
        layers = dict(self.integer.layers)
        for name, layer in layers.items():
            weight, bias = (value.detach().cpu().numpy() for value in self._rounded(name))
            layers[name] = Layer(weight.astype(np.int8), layer.scales, bias.astype(np.int32))
        return replace(self.integer, layers=layers)


class IntegerTuning(Taught):
    """The phase as a task of convert.train.run."""

    def __init__(self, integer: IntegerNetwork, teacher: Network, faces: Faces, phase: Phase, *, seed: int) -> None:
        """`integer` is a student that convert.quantise has written in integers."""
        super().__init__(teacher, faces, phase, seed=seed)
        self.student = TrainableIntegers(integer, device=self._device)
        # Steps of integers are of one size everywhere: what is right for one layer's weights is right for all.
        weights = [value for name, value in self.student.parameters.items() if name.endswith("weight")]
        biases = [value for name, value in self.student.parameters.items() if name.endswith("bias")]
        groups = [{"params": weights}, {"params": biases, "share": _BIAS_SHARE}]
        self._optimiser = import_torch().optim.Adam(groups, phase.rate)

    def step(self, number: int) -> Figures:
        """One batch of views, as whole pixels: a camera has no others."""
        torch = import_torch()
        pixels = self.seen(number).round()
        for group in self._optimiser.param_groups:
            group["lr"] = self._phase.rate_at(number) * group.get("share", 1.0)
        with torch.no_grad(), torch.autocast(self._device, torch.bfloat16):
            embedding = self._teacher(self.as_teacher_takes(pixels))
        loss, figures = apart(self.embed(pixels), embedding)
        self._optimiser.zero_grad()
        loss.backward()
        self._optimiser.step()
        return {**figures, "pictures": float(len(pixels))}

    def embed(self, pixels: Tensor) -> Tensor:
        """With the integers of the parameters as they are now."""
        self.student.round_weights()
        return self.student.embeddings(pixels)

    def state(self) -> Mapping[str, Any]:
        """Parameters and the optimiser's moments."""
        parameters = {name: value.detach().cpu() for name, value in self.student.parameters.items()}
        return {"parameters": parameters, "optimiser": self._optimiser.state_dict()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Both."""
        torch = import_torch()
        with torch.no_grad():
            for name, value in self.student.parameters.items():
                value.copy_(state["parameters"][name])
        self._optimiser.load_state_dict(state["optimiser"])


def differing_steps(integer: IntegerNetwork, path: Path, faces: Image) -> int:
    """The greatest difference between the simulated output and the interpreter's, in steps; `faces` uint8 (N, 112, 112, 3) RGB."""
    name = integer.network.output_name
    simulated = IntegerSimulator(integer).run(np.ascontiguousarray(faces), (name,))[name].astype(np.int64)
    model = TfliteModel(path)
    computed = np.concatenate([model.run(face[np.newaxis]) for face in faces]).astype(np.int64) - 128
    return int(np.abs(simulated - computed).max())
