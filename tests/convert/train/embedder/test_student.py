"""The student that is trained, the network that is written, and what a MobileFaceNet teacher has for each of its parts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from convert.network import Network
from convert.runners.onnx_runtime import OnnxRuntimeRunner
from convert.train.embedder.hints import hints_for
from convert.train.embedder.student import MEAN, STD, forward, network_of, parts_of, student
from convert.train.embedder.teacher import read_teacher
from tests.support.data import test_data

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")

SIZES = [(64, 28, 28)] * 5 + [(128, 14, 14)] * 7 + [(128, 7, 7)] * 3


@pytest.fixture(scope="module")
def trained() -> tuple[object, Network]:
    """A student whose batch norms have statistics of their own, and its network."""
    torch.manual_seed(5)
    parts = parts_of()
    modules = student(parts)
    generator = torch.Generator().manual_seed(5)
    for module in modules.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.copy_(torch.randn(module.num_features, generator=generator) * 0.1)
            module.running_var.copy_(torch.rand(module.num_features, generator=generator) + 0.5)
    modules.eval()
    return modules, network_of(modules, parts, input_name="face", output_name="embedding")


def test_the_network_computes_what_the_student_does(trained: tuple[object, Network]) -> None:
    modules, network = trained
    pixels = np.random.default_rng(1).uniform(0, 255, (2, 3, 112, 112)).astype(np.float32)
    values = ((pixels - MEAN) / STD).astype(np.float32)
    with torch.no_grad():
        made = forward(modules, parts_of(), torch.from_numpy(values))[-1].flatten(1).numpy()
    (found,) = OnnxRuntimeRunner(network).run({"face": values}).values()
    assert np.abs(found - made).max() < 1e-5 * np.abs(made).max()


def test_it_is_made_of_what_integer_hardware_runs_fast(trained: tuple[object, Network]) -> None:
    _, network = trained
    assert {node.op for node in network.nodes} == {"Conv", "Relu", "Add", "Flatten"}
    assert (network.mean, network.std) == (127.5, 128.0)
    assert network.parameters() < 1_100_000


def test_a_network_of_the_same_parts_has_a_hint_for_each(trained: tuple[object, Network]) -> None:
    _, network = trained
    assert hints_for(network, SIZES) == (
        "part0_conv3",
        *(f"part{place}_sum" for place in range(1, 5)),
        "part5_conv2",
        *(f"part{place}_sum" for place in range(6, 12)),
        "part12_conv2",
        *(f"part{place}_sum" for place in range(13, 15)),
    )


def test_other_sizes_have_none(trained: tuple[object, Network]) -> None:
    _, network = trained
    assert hints_for(network, SIZES[:-1]) is None
    assert hints_for(network, [(64, 56, 56), *SIZES[1:]]) is None


def test_mobilefacenets_bottlenecks_are_the_hints() -> None:
    teacher = read_teacher(test_data("models/mobilefacenet-mxnet/model-symbol.json"))
    found = hints_for(teacher, SIZES)
    assert found is not None
    assert found[0] == "dconv_23_conv_proj_batchnorm_output"
    assert [teacher.maker(name).op for name in found[1:5]] == ["Add"] * 4  # type: ignore[union-attr]


def test_a_teacher_of_another_build_is_read_and_has_no_hints() -> None:
    folder = test_data("models/mobilefacenet-pytorch")
    weights = next(path for path in sorted(Path(folder).iterdir()) if path.suffix in {".ckpt", ".pth", ".pt"})
    teacher = read_teacher(weights)
    assert teacher.input_shape[2:] == (112, 96)
    assert hints_for(teacher, SIZES) is None


@pytest.mark.parametrize("length", [64, 512])
def test_embeddings_are_as_long_as_the_teachers(length: int) -> None:
    assert parts_of(length)[-1].convs[-1].outputs == length
