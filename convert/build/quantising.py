"""How a build makes integers of an embedder: faithfully, by search, where that can be done; else as TensorFlow's converter does."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from convert.accuracy.plots import drawn
from convert.build.models import Model, prepared, read_models
from convert.build.plan import Plan
from convert.build.sample import Sample, take_sample
from convert.bundle import replaced_folder
from convert.network import Network
from convert.quantise.faithful import QUICK, faithful
from convert.quantise.outcome import Outcome
from convert.quantise.plots import draw_sensitivity
from convert.quantise.search import Budget, Progress
from convert.quantise.workbench import LEAST_PICTURES
from convert.targets import SUFFIXES
from convert.targets.tflite.integer import integer_bytes
from edge.datatypes import Image
from edge.errors import ModelError, UsageError

OUTCOME_NAME = "quantisation.json"
TARGET = "tflite-uint8"
DESCRIPTION = "tflite-uint8: uint8 in and out, int8 inside, quantised faithfully to its float network"


def takes_faithful(plan: Plan, model: Model, target: str) -> bool:
    """Whether this artifact is to be made faithfully. ModelError where that was asked for and cannot be."""
    if plan.quantise == "plain" or target != TARGET or plan.recipe.role != "embedder":
        return False
    fault = _fault(plan, model)
    if fault and plan.quantise == "faithful":
        raise ModelError(f"{model.part} cannot be quantised faithfully: {fault}", hint="--quantise plain takes it.")
    return not fault


def _fault(plan: Plan, model: Model) -> str:
    if model.normalisation.kind != "fixed":
        return "every picture is normalised by itself, which bytes cannot say"
    if model.colour_order == "GREY":
        return "its input is grey"
    return "" if plan.batch == 1 else "a batch other than 1"


def write_faithful(plan: Plan, model: Model, network: Network, sample: Sample, path: Path) -> dict[str, Any]:
    """Write the artifact; what is told of it. Empty, and nothing written, where the network has no integers and need not."""
    if plan.quantise == "auto" and len(sample.calibration) < LEAST_PICTURES:
        return {}
    try:
        outcome = search_integers(model, network, sample.calibration, seed=plan.wish.seed)
    except ModelError:
        if plan.quantise == "faithful":
            raise
        return {}
    path.write_bytes(integer_bytes(outcome.integer, description=DESCRIPTION))
    choice = outcome.chosen.choice
    return {"quantised": "faithfully", "chosen": str(choice), "recipe": asdict(choice), "trials": len(outcome.tried)}


def search_integers(
    model: Model,
    network: Network,
    pictures: Image,
    budget: Budget = QUICK,
    *,
    progress: Progress = lambda _: None,
    seed: int = 0,
) -> Outcome:
    """Integers for a prepared network (convert.build.models.prepared), searched on BGR pictures."""
    coloured = pictures if model.colour_order == "BGR" else pictures[..., ::-1]
    return faithful(network, coloured, budget, progress, seed=seed)


def quantised_folder(plan: Plan, output: Path, budget: Budget, log: Progress) -> Outcome:
    """Search, and write the artifact, `quantisation.json` and, where it was measured, `sensitivity.svg` and `.png` to `output`."""
    if len(plan.recipe.parts) != 1:
        raise UsageError(f"an embedder of {len(plan.recipe.parts)} networks", expected="one")
    (model,) = read_models(plan).values()
    takes_faithful(plan, model, TARGET)
    sample = take_sample(replace(plan.wish, held_out=0), model.view)
    network = prepared(model, TARGET)
    with replaced_folder(output, marks=(OUTCOME_NAME,)) as folder:
        outcome = search_integers(model, network, sample.calibration, budget, progress=log, seed=plan.wish.seed)
        data = integer_bytes(outcome.integer, description=DESCRIPTION)
        (folder / f"{plan.name}{SUFFIXES[TARGET]}").write_bytes(data)
        told = {"name": plan.name, "pictures_from": sample.label, "normalisation": _normalisation(network)}
        text = json.dumps(told | outcome.as_dict() | _delegation(data), indent=2)
        (folder / OUTCOME_NAME).write_text(f"{text}\n", encoding="utf-8")
        for form in ("svg", "png") if outcome.sensitivity else ():
            (folder / f"sensitivity.{form}").write_bytes(
                drawn(lambda axes: draw_sensitivity(axes, outcome.sensitivity), form)
            )
    return outcome


def _normalisation(network: Network) -> dict[str, float]:
    return {"mean": network.mean, "std": network.std}


def _delegation(data: bytes) -> dict[str, Any]:
    from convert.runners.delegation import delegated_nodes

    found = delegated_nodes(data)
    return {"nodes": found.total, "delegated_nodes": found.delegated, "partitions": found.partitions}
