from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from convert.architectures.builder import Architecture, WeightedGraph
from convert.network import Port
from edge.errors import ModelError

torch = pytest.importorskip("torch", reason="PyTorch is the reference")
runtime = pytest.importorskip("convert.runners.onnx_runtime")
pytest.importorskip("onnxruntime", reason="runs the network that was built")

PORT = Port("image", (None, 3, 11, 11))


def _write(graph: WeightedGraph) -> tuple[str, ...]:
    tensor = graph.conv(graph.input, "conv", stride=2, pad=1)
    tensor = graph.prelu(graph.batch_norm(tensor, "bn"), "prelu")
    tensor = graph.max_pool(tensor, "pool", kernel=3, stride=2, ceil=True)
    tensor = graph.add(tensor, graph.conv(tensor, "dw", pad=1, depthwise=True), "sum")
    tensor = graph.scale(tensor, graph.activation("Sigmoid", graph.average(tensor, "mean"), "gate"), "scaled")
    return (graph.gemm(graph.flatten(tensor, "flat"), "fc"),)


TINY = Architecture("tiny", "for tests", PORT, _write, training_only=(r"head\..*",))


class Tiny(torch.nn.Module):  # type: ignore[misc, name-defined]
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.bn, self.prelu = torch.nn.Conv2d(3, 4, 3, 2, 1), torch.nn.BatchNorm2d(4), torch.nn.PReLU(4)
        self.pool = torch.nn.MaxPool2d(3, 2, ceil_mode=True)
        self.dw, self.fc = torch.nn.Conv2d(4, 4, 3, 1, 1, groups=4, bias=False), torch.nn.Linear(4 * 3 * 3, 5)

    def forward(self, x: Any) -> Any:
        x = self.pool(self.prelu(self.bn(self.conv(x))))
        x = x + self.dw(x)
        return self.fc((x * torch.sigmoid(x.mean((2, 3), keepdim=True))).flatten(1))


@pytest.fixture
def module() -> Any:
    torch.manual_seed(0)
    made = Tiny().eval()
    for parameter in (made.bn.running_mean, made.bn.weight, made.bn.bias, made.prelu.weight):
        parameter.data.normal_()
    made.bn.running_var.uniform_(0.5, 2)
    return made


@pytest.fixture
def weights(module: Any) -> dict[str, Any]:
    return {name: value.numpy() for name, value in module.state_dict().items()}


def test_every_layer_is_torchs(module: Any, weights: dict[str, Any]) -> None:
    image = np.random.default_rng(0).random((2, 3, 11, 11), np.float32)
    found = runtime.OnnxRuntimeRunner(TINY.network(weights)).run({"image": image})["fc"]
    with torch.no_grad():
        expected = module(torch.from_numpy(image)).numpy()
    assert np.abs(found - expected).max() < 1e-5


def test_keys_are_those_of_the_module(weights: dict[str, Any]) -> None:
    assert TINY.keys == weights.keys() - {"bn.num_batches_tracked"} - {"conv.bias", "fc.bias"}


def test_missing_and_unused_are_listed_together(weights: dict[str, Any]) -> None:
    weights["extra.weight"] = weights.pop("dw.weight")
    del weights["bn.running_var"]
    with pytest.raises(ModelError) as caught:
        TINY.network(weights, "x.pt")
    assert str(caught.value).startswith(
        "x.pt, as tiny: 2 weight(s) missing: bn.running_var, dw.weight; 1 weight(s) that it does not use: extra.weight\n"
    )


def test_weights_of_training_are_left_out(weights: dict[str, Any]) -> None:
    weights["head.weight"] = np.zeros((9, 5), np.float32)
    assert TINY.left_out(weights) == ["head.weight"]
    assert "head.weight" not in TINY.network(weights).constants


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        (
            "conv.weight",
            np.zeros((4, 2, 3, 3), np.float32),
            r"'conv.weight' of shape \[4, 2, 3, 3\]; expected \[any, 3, any, any\]",
        ),
        ("bn.weight", np.zeros(5, np.float32), r"'bn.weight' of shape \[5\]; expected \[4\]"),
        ("prelu.weight", np.zeros(1, np.float32), r"expected \[4\]"),
        ("dw.weight", np.zeros((8, 1, 3, 3), np.float32), r"expected \[4, 1, any, any\]"),
        ("dw.weight", np.zeros((4, 1, 2, 2), np.float32), r"'sum' adds"),
        ("conv.weight", np.zeros((4, 3, 99, 99), np.float32), "expected a smaller one"),
        ("fc.weight", np.zeros((5, 35), np.float32), r"expected \[any, 36\]"),
        ("fc.weight", np.zeros((5, 36), np.int64), "no array of real numbers"),
        ("fc.weight", "text", "no array of real numbers"),
    ],
)
def test_shapes_are_checked(weights: dict[str, Any], name: str, value: Any, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        TINY.network({**weights, name: value})


def test_half_precision_becomes_float32(weights: dict[str, Any]) -> None:
    made = TINY.network({name: value.astype(np.float16) for name, value in weights.items()})
    assert {value.dtype for value in made.constants.values()} == {np.dtype(np.float32)}
