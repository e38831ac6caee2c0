"""A trained float network -> integers that lose as little of it as may be, without training."""

from __future__ import annotations

import numpy as np

from convert.network import Network
from convert.quantise.form import IntegerNetwork
from convert.quantise.outcome import Choice, Outcome
from convert.quantise.search import Budget, Progress, Search
from convert.quantise.workbench import Workbench
from edge.datatypes import Image

QUICK = Budget(evaluations=15)
"""Equalising, ranges, rounding and a tail in float32: what a build spends when nobody asks for more."""


def faithful(
    network: Network,
    pictures: Image,
    budget: Budget = QUICK,
    progress: Progress = lambda _: None,
    *,
    seed: int = 0,
) -> Outcome:
    """Search the best integers for a network of convolutions with ReLU, PReLU or LeakyReLU.

    `pictures` are uint8 (N, H, W, 3) in the network's colour order, aligned as a device aligns them, of people whom no evaluation
    uses: two in three calibrate, the others judge. ModelError that names every node that has no integers.
    """
    shuffled = pictures[np.random.default_rng(seed).permutation(len(pictures))]
    bench = Workbench(network, shuffled, seed=seed)
    search = Search(bench, budget, progress)
    chosen = search.run()
    return Outcome(
        integer=bench.made(chosen.choice),
        chosen=chosen,
        tried=tuple(search.tried),
        sensitivity=tuple(search.sensitivity),
        calibration=len(bench.calibration),
        held_out=len(bench.held_out),
        seed=seed,
    )


def remade(network: Network, pictures: Image, choice: Choice, *, seed: int = 0) -> IntegerNetwork:
    """The integers that `faithful` chose earlier for this network, these pictures and this seed, without the search."""
    shuffled = pictures[np.random.default_rng(seed).permutation(len(pictures))]
    return Workbench(network, shuffled, seed=seed).made(choice)
