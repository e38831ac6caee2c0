"""How a build chooses between faithful and plain integers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from convert.build.models import Model, prepared, read_model
from convert.build.plan import QUANTISE, Overrides, Plan, resolve
from convert.build.quantising import TARGET, takes_faithful, write_faithful
from convert.build.sample import Sample, Wish
from convert.catalogue.recipe import EmbedderUse
from edge.bundle.manifest import Normalisation
from edge.errors import ModelError
from tests.convert import onnx_files
from tests.convert.networks import FLATTEN, conv, network, step
from tests.convert.quantise.prelus import pictures, spread

pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed (pip install 'ostiary[convert]')")
pytest.importorskip("tensorflow", reason="TensorFlow is not installed", exc_type=ImportError)

BYTES = Normalisation("fixed", 127.5, 128.0)
ELU = step("Elu")
PRELU = spread(8)


def _model(folder: Path, activation: object = PRELU, normalisation: Normalisation = BYTES) -> tuple[Plan, Model]:
    made = network(
        conv(8, 3, (7, 7), strides=(7, 7)),
        activation,
        conv(16, 8, (16, 16)),
        FLATTEN,
        size=112,  # type: ignore[arg-type]
    )
    path = onnx_files.write(made, folder / "net.onnx")
    use = EmbedderUse("net", "arcface-112x112", "RGB", normalisation)
    name, recipe, source = resolve(str(path), None, Overrides(role="embedder", embedder=use), any_digest=False)
    plan = Plan(name, recipe, source, Wish(None))
    return plan, read_model(plan, "model", recipe.parts["model"])


def _sample(count: int) -> Sample:
    shown = pictures(network(conv(1, 3), size=112), count)
    return Sample(shown, shown[:1], "noise")


@pytest.mark.parametrize("how", QUANTISE)
def test_an_embedder_is_made_faithfully_unless_told_otherwise(how: str, tmp_path: Path) -> None:
    plan, model = _model(tmp_path)
    assert takes_faithful(replace(plan, quantise=how), model, TARGET) == (how != "plain")
    assert not takes_faithful(replace(plan, quantise=how), model, "tflite-int8")


def test_other_roles_are_made_plainly(tmp_path: Path) -> None:
    plan, model = _model(tmp_path)
    other = replace(plan, recipe=replace(plan.recipe, role="other", embedder=None), quantise="faithful")
    assert not takes_faithful(other, model, TARGET)


FAULTS = {
    "prewhitened": ({"normalisation": Normalisation("prewhiten")}, {}, "normalised by itself"),
    "grey": ({}, {"colour_order": "GREY"}, "grey"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_what_bytes_cannot_say_is_plain_or_refused(name: str, tmp_path: Path) -> None:
    made, changed, said = FAULTS[name]
    plan, model = _model(tmp_path, **made)  # type: ignore[arg-type]
    model = replace(model, **changed)  # type: ignore[arg-type]
    assert not takes_faithful(plan, model, TARGET)
    with pytest.raises(ModelError, match=said) as refused:
        takes_faithful(replace(plan, quantise="faithful"), model, TARGET)
    assert "--quantise plain" in str(refused.value)


def test_a_batch_is_plain_or_refused(tmp_path: Path) -> None:
    plan, model = _model(tmp_path)
    assert not takes_faithful(replace(plan, batch=4), model, TARGET)
    with pytest.raises(ModelError, match="a batch other than 1"):
        takes_faithful(replace(plan, batch=None, quantise="faithful"), model, TARGET)


def test_what_was_chosen_is_told(tmp_path: Path) -> None:
    plan, model = _model(tmp_path)
    path = tmp_path / "net.tflite"
    told = write_faithful(plan, model, prepared(model, TARGET), _sample(6), path)
    assert told["quantised"] == "faithfully"
    assert told["trials"] >= 12
    assert told["recipe"]["clip"] in told["chosen"]
    assert path.read_bytes()[4:8] == b"TFL3"


def test_a_network_without_integers_is_left_to_the_other_converter(tmp_path: Path) -> None:
    plan, model = _model(tmp_path, ELU)
    path = tmp_path / "net.tflite"
    assert write_faithful(plan, model, prepared(model, TARGET), _sample(6), path) == {}
    assert not path.exists()
    with pytest.raises(ModelError, match="Elu 'node1'"):
        write_faithful(replace(plan, quantise="faithful"), model, prepared(model, TARGET), _sample(6), path)


def test_two_pictures_are_left_to_the_other_converter(tmp_path: Path) -> None:
    plan, model = _model(tmp_path)
    assert write_faithful(plan, model, prepared(model, TARGET), _sample(2), tmp_path / "net.tflite") == {}


def test_colours_reach_the_network_in_its_own_order(tmp_path: Path) -> None:
    plan, model = _model(tmp_path)
    shown = _sample(6)
    turned = Sample(np.ascontiguousarray(shown.calibration[..., ::-1]), shown.held_out, "noise")
    files = []
    for each, sample in ((model, shown), (replace(model, colour_order="BGR"), turned)):
        files.append(tmp_path / f"{each.colour_order}.tflite")
        write_faithful(plan, each, prepared(each, TARGET), sample, files[-1])
    assert files[0].read_bytes() == files[1].read_bytes()
