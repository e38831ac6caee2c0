from __future__ import annotations

import pytest

from convert.passes.rename import renamed
from edge.errors import ModelError
from tests.convert.networks import RELU, conv, network


def test_readers_and_outputs_follow() -> None:
    made = renamed(network(conv(2, 3), RELU), {"t0": "features", "t1": "embedding"})

    assert made.outputs == ("embedding",)
    assert made.nodes[1].inputs == ("features",)


@pytest.mark.parametrize(
    "names", [{"absent": "a"}, {"t0": "t1"}, {"t0": "image"}, {"t0": "c0_1"}, {"t0": "a", "t1": "a"}]
)
def test_names_that_are_absent_or_taken_are_refused(names: dict[str, str]) -> None:
    with pytest.raises(ModelError):
        renamed(network(conv(2, 3), RELU), names)


def test_two_names_may_be_exchanged() -> None:
    made = renamed(network(conv(2, 3), RELU), {"t0": "t1", "t1": "t0"})

    assert [node.output for node in made.nodes] == ["t1", "t0"]
    assert made.outputs == ("t0",)
