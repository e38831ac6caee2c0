"""Probes made worse against a gallery as it is: what is counted, and beside comparisons made one by one."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import pytest

from convert.accuracy.conditions import (
    AS_THEY_ARE,
    TURNED,
    Clean,
    Condition,
    measure_conditions,
    measured_points,
    shown_point,
)
from convert.accuracy.degrade import DEGRADATIONS
from edge.bundle import load_bundle
from edge.bundle.manifest import OperatingPoint
from edge.datatypes import AlignedFace, Box, Detection, Embedding, Floats, Image
from edge.errors import EXIT_USAGE, UsageError
from edge.reader import Models

PEOPLE = 24
SIDE = 96
POINTS = {"fmr-1e-2": OperatingPoint(0.9, 0.01, 0.1, 3000, 10, "made up"),
          "mine": OperatingPoint(0.5, 0.1, 0.1, 3000, 10, "made up")}  # fmt: skip


def picture(name: str) -> Image:
    """Coarse squares: half of them the person's own, half the picture's."""
    person, number = name.removesuffix(".jpg").split("/")
    own, other = np.random.default_rng(int(person)), np.random.default_rng(100 * int(person) + int(number))
    tiles = np.where(
        np.arange(16).reshape(4, 4, 1) % 2, own.integers(0, 256, (4, 4, 3)), other.integers(0, 256, (4, 4, 3))
    )
    return np.ascontiguousarray(np.kron(tiles, np.ones((SIDE // 4, SIDE // 4, 1))), np.uint8)


class Store:
    """Two pictures of each person."""

    label = "made up"

    def __init__(self) -> None:
        self.names = [f"{person}/{number}.jpg" for person in range(PEOPLE) for number in (1, 2)]

    def read(self, name: str) -> Image:
        return picture(name)


def detection(width: int, turn: float = 0.0) -> Detection:
    """The middle of a picture of that size; `turn` moves the nose in eye distances."""
    low, high = width * 0.2, width * 0.8
    eyes = (high - low) / 2
    points = [[low, low], [low + eyes, low], [low + eyes / 2 + turn * eyes, width / 2], [low, high], [low + eyes, high]]
    return Detection(Box(low, low, high, high), 0.9, np.array(points, np.float32))


class BlindToTheSmall:
    """Finds the face of every picture of at least 60 pixels."""

    def detect(self, image: Image) -> list[Detection]:
        return [detection(image.shape[1])] if image.shape[1] >= 60 else []


class Tiles:
    """The means of 4 x 4 tiles."""

    embedder_id = "tiles"
    template = "arcface-112x112"

    def embed(self, faces: Sequence[AlignedFace]) -> list[Embedding]:
        return [Embedding(vector_of(face.image), self.embedder_id) for face in faces]


def vector_of(image: Image) -> Floats:
    means = image.reshape(4, image.shape[0] // 4, 4, image.shape[1] // 4, 3).mean(axis=(1, 3)).reshape(-1)
    centred = means - means.mean() + 1e-3
    return np.asarray(centred / np.linalg.norm(centred), np.float32)


@pytest.fixture(scope="module")
def clean() -> Clean:
    names = Store().names
    turns = dict(zip(names, np.tile([0.0, 0.0, 0.25, 0.45], 12), strict=True))
    found = {name: detection(SIDE, turns[name]) for name in names}
    return Clean(found, {name: vector_of(picture(name)) for name in names})


@pytest.fixture(scope="module")
def conditions(clean: Clean) -> dict[str, Condition]:
    models = Models(load_bundle(), BlindToTheSmall(), Tiles())  # type: ignore[arg-type]
    return {one.name: one for one in measure_conditions(models, Store(), clean, POINTS, probes=40)}


def test_every_kind_is_there_in_order(conditions: dict[str, Condition]) -> None:
    assert list(conditions) == [AS_THEY_ARE, *(way.name for way in DEGRADATIONS), *TURNED]
    assert {one.probes for name, one in conditions.items() if name not in TURNED} == {40}
    assert (conditions["turned"].probes, conditions["turned-far"].probes) == (12, 12)


def test_faces_that_are_not_found_any_more_are_counted_apart(conditions: dict[str, Condition]) -> None:
    # A face of 57.6 px in 96: 48 px wide makes a picture of 80, 32 px one of 53.
    assert [conditions[f"small-{width}px"].no_face for width in (48, 32, 24)] == [0, 40, 40]
    lost = conditions["small-24px"]
    assert (lost.fmr, lost.fnmr, lost.threshold, lost.fnmr_there) == ({}, {}, {}, {})
    assert conditions["blurred-6"].poor > conditions[AS_THEY_ARE].poor == 0


def test_the_rates_are_those_of_comparisons_made_one_by_one(conditions: dict[str, Condition], clean: Clean) -> None:
    names = list(clean.embeddings)
    probes = sorted(np.random.default_rng(0).permutation(sorted(names))[:40].tolist())
    similarity = {(x, y): float(clean.embeddings[x] @ clean.embeddings[y]) for x in probes for y in names if x != y}
    person = {name: name.split("/")[0] for name in names}
    genuine = [value for (x, y), value in similarity.items() if person[x] == person[y]]
    impostor = sorted((value for (x, y), value in similarity.items() if person[x] != person[y]), reverse=True)
    found = conditions[AS_THEY_ARE]
    assert found.fnmr["fmr-1e-2"].value == pytest.approx(np.mean(np.array(genuine) < 0.9))
    assert found.fmr["fmr-1e-2"].value == pytest.approx(np.mean(np.array(impostor) >= 0.9))
    assert found.threshold["fmr-1e-2"].value == pytest.approx(impostor[int(0.01 * len(impostor))], abs=1e-5)
    assert set(found.fmr) == {"fmr-1e-2"}, "a point whose name is no rate has no threshold that would keep it"


def test_intervals_hold_their_value(conditions: dict[str, Condition]) -> None:
    seen = 0
    for one in conditions.values():
        for figures in (one.fnmr, one.fmr, one.threshold, one.fnmr_there):
            for figure in figures.values():
                if figure.interval is not None:
                    low, high = figure.interval
                    assert low <= figure.value + 1e-6
                    assert figure.value <= high + 1e-6
                    seen += low < high
                else:
                    assert figure.value == 0, "with enough people only what was never seen has no interval"
    assert seen > 10


def test_it_can_be_written(conditions: dict[str, Condition]) -> None:
    plain = json.loads(json.dumps({name: one.as_dict() for name, one in conditions.items()}))
    assert plain["small-24px"]["no_face"] == 40
    figure = plain[AS_THEY_ARE]["fnmr"]["fmr-1e-2"]
    assert figure.keys() == {"value", "confidence_95"}
    assert len(figure["confidence_95"]) == 2
    assert shown_point(plain) == "fmr-1e-2"
    assert shown_point({}) == ""


def test_the_daemons_point_is_shown_else_the_strictest() -> None:
    def having(*names: str) -> dict[str, dict[str, dict[str, None]]]:
        return {"as-they-are": {"fmr": dict.fromkeys(names)}}

    assert shown_point(having("fmr-1e-2", "fmr-1e-4", "fmr-1e-5")) == "fmr-1e-4"
    assert shown_point(having("fmr-1e-2", "fmr-1e-3")) == "fmr-1e-3"


def test_the_same_pictures_give_the_same_figures(conditions: dict[str, Condition], clean: Clean) -> None:
    models = Models(load_bundle(), BlindToTheSmall(), Tiles())  # type: ignore[arg-type]
    again = measure_conditions(models, Store(), clean, POINTS, probes=40)
    assert [one.as_dict() for one in again] == [one.as_dict() for one in conditions.values()]


def test_a_bundle_that_was_never_measured_has_nothing_to_start_from() -> None:
    with pytest.raises(UsageError, match="no operating point that was measured") as caught:
        measured_points({"unmeasured": POINTS["mine"]})
    assert caught.value.exit_code == EXIT_USAGE
    assert "--write-operating-points" in caught.value.hint
