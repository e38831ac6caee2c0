"""The search: what it tries, what it keeps, when it ends; and a whole network through it."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from convert.accuracy.plots import drawn
from convert.network import Network
from convert.quantise.clip import CLIPS
from convert.quantise.equalise import MAGNITUDES
from convert.quantise.faithful import faithful
from convert.quantise.outcome import Choice, Outcome, Sensitivity
from convert.quantise.plots import draw_sensitivity
from convert.quantise.search import KNOBS, Budget, Search
from convert.quantise.units import units_of
from convert.quantise.workbench import Workbench, with_islands
from convert.runners.delegation import delegated_nodes
from convert.targets.tflite import oldest_runtime_faults
from convert.targets.tflite.integer import integer_bytes
from edge.errors import ModelError, UsageError
from tests.convert.networks import FLATTEN, conv, network, step, unary
from tests.convert.quantise.prelus import pictures, prelu_embedder

pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed (pip install 'ostiary[convert]')")
pytest.importorskip("tensorflow", reason="TensorFlow is not installed", exc_type=ImportError)


@pytest.fixture(scope="module")
def bench() -> Workbench:
    made = prelu_embedder()
    return Workbench(made, pictures(made, 24))


@pytest.fixture(scope="module")
def outcome() -> Outcome:
    made = prelu_embedder()
    return faithful(made, pictures(made, 9), Budget(evaluations=40))


def _quiet(_: str) -> None:
    pass


def test_a_choice_that_makes_channels_alike_is_nearer_to_the_source(bench: Workbench) -> None:
    plain, equal = (bench.trial(choice, "") for choice in (Choice(), Choice(balance=0.75)))
    assert plain.cosine < 0.99 < equal.cosine
    assert equal.score == equal.cosine
    assert (len(bench.calibration), len(bench.held_out)) == (16, 8)


def test_a_float_island_costs_and_the_whole_network_in_float_is_the_source(bench: Workbench) -> None:
    choice = Choice(balance=0.75)
    base = bench.trial(choice, "")
    one = bench.trial(with_islands(choice, bench.units[-1:]), "")
    every = bench.trial(with_islands(choice, bench.units), "")
    assert every.cosine > 0.9999 > base.cosine
    assert 0 < one.cosine - one.score < every.cosine - every.score
    assert one.bytes > base.bytes


def test_units_are_layers_with_what_refines_them(bench: Workbench) -> None:
    names = [unit.name for unit in bench.units]
    assert names == ["node0", "node2", "node4", "node6", "node8", "node10", "node12"]
    sizes = [len(unit.tensors) for unit in bench.units]
    # Conv, bent, (signed,) sum; of node6 the shortcut's sum; the dense layer alone, for a Flatten computes nothing.
    assert sizes == [4, 3, 3, 2, 3, 1, 1]
    assert bench.units[0].work == (8 * 3 * 9 + 8 + 8) * 64
    assert bench.units[-1].work == bench.units[-1].weights == 12 * 24


def test_an_island_that_is_no_layer_is_refused(bench: Workbench) -> None:
    with pytest.raises(UsageError, match="no layer nowhere; expected node0, node2"):
        bench.made(Choice(islands=("nowhere",)))


def test_a_search_keeps_the_best_and_tries_nothing_twice(bench: Workbench) -> None:
    told: list[str] = []
    search = Search(bench, Budget(evaluations=60), told.append)
    best = search.run()
    assert best in search.tried
    assert best.score >= max(trial.score for trial in search.tried) - 1e-4
    assert max(Counter(trial.choice for trial in search.tried).values()) == 1
    assert [trial.choice for trial in search.tried[:2]] == [Choice(), Choice(balance=0.5)]
    tried = {name: {getattr(trial.choice, name) for trial in search.tried} for name, _ in KNOBS}
    assert tried["clip"] == set(CLIPS)
    assert tried["magnitude"] == set(MAGNITUDES)
    assert tried["balance"] == {None, 0.0, 0.25, 0.5, 0.75, 1.0}
    assert {trial.choice.correction for trial in search.tried} == {False, True}
    assert [one.unit for one in search.sensitivity] == [unit.name for unit in bench.units]
    assert sum(one.share for one in search.sensitivity) == pytest.approx(1)
    assert len(told) == len(search.tried) + len(search.sensitivity)


@pytest.mark.parametrize("evaluations", [1, 2, 5])
def test_a_budget_ends_it(bench: Workbench, evaluations: int) -> None:
    search = Search(bench, Budget(evaluations=evaluations), _quiet)
    search.run()
    assert len(search.tried) == max(2, evaluations)
    assert not search.sensitivity


def test_no_time_ends_it_too(bench: Workbench) -> None:
    search = Search(bench, Budget(minutes=0), _quiet)
    search.run()
    assert len(search.tried) == 2


def test_a_budget_that_ends_between_layers_leaves_no_half_picture(bench: Workbench) -> None:
    search = Search(bench, Budget(evaluations=18), _quiet)
    search.run()
    assert len(search.tried) < 18
    assert not search.sensitivity


def test_islands_may_be_forbidden(bench: Workbench) -> None:
    search = Search(bench, Budget(evaluations=60, islands=False), _quiet)
    assert not search.run().choice.islands
    assert not any(trial.choice.islands for trial in search.tried)
    assert search.sensitivity


def test_an_embedder_becomes_integers_that_accelerators_take(outcome: Outcome) -> None:
    assert outcome.chosen.cosine > 0.99
    data = integer_bytes(outcome.integer, description="")
    found = delegated_nodes(data)
    assert found.complete
    assert found.partitions == 1
    assert oldest_runtime_faults(data) == []
    assert len(data) == outcome.chosen.bytes


def test_the_same_pictures_seed_and_budget_give_the_same_bytes() -> None:
    made, budget = prelu_embedder(), Budget(evaluations=4)
    first, again, other = (
        integer_bytes(faithful(made, pictures(made, 12), budget, seed=seed).integer, description="")
        for seed in (3, 3, 4)
    )
    assert first == again
    assert first != other


def test_what_was_tried_is_told_as_json_and_drawn(outcome: Outcome) -> None:
    told = json.loads(json.dumps(outcome.as_dict()))
    assert told["recipe"]["balance"] == outcome.chosen.choice.balance
    assert len(told["tried"]) == len(outcome.tried)
    assert told["pictures"] == {"calibration": 6, "held_out": 3, "seed": 0}
    picture = drawn(lambda axes: draw_sensitivity(axes, outcome.sensitivity))
    for one in outcome.sensitivity:
        assert one.unit.encode() in picture


def test_a_long_name_is_cut_in_the_picture() -> None:
    picture = drawn(lambda axes: draw_sensitivity(axes, [Sensitivity("layer" * 20, 0.1, 1.0)]))
    assert b"layer" in picture
    assert b"layer" * 20 not in picture


REFUSED = {
    "an operator without integers": (unary("Elu"), "Elu 'node"),
    "groups of several channels": (lambda: network(conv(4, 3), conv(6, 2, group=2)), "Conv 'node1'"),
    "a slope for each place": (
        lambda: network(conv(4, 3), step("PRelu", np.full((4, 7, 7), 0.5, np.float32)), FLATTEN), "PRelu 'node1'",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_a_network_without_integers_is_refused_by_name(name: str) -> None:
    make, said = REFUSED[name]
    made: Network = make()
    with pytest.raises(ModelError, match=said):
        faithful(made, pictures(made, 6))


def test_two_pictures_are_too_few() -> None:
    made = prelu_embedder()
    with pytest.raises(UsageError, match="2 pictures; expected some hundred faces"):
        faithful(made, pictures(made, 2))


def test_units_of_a_network_that_begins_with_no_layer() -> None:
    made = replace(network(step("MaxPool", kernel_shape=(2, 2)), step("LeakyRelu", alpha=0.1), conv(4, 3)))
    assert [(unit.name, unit.tensors) for unit in units_of(made)] == [("node1", ("t1",)), ("node2", ("t2",))]
