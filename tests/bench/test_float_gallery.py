"""What the scripts compute is what their tables say. How long it takes is no business of a test."""

from __future__ import annotations

import numpy as np
import pytest

from convert.accuracy.person_bootstrap import measured
from convert.pictures import person_of
from edge.datatypes import Floats
from edge.errors import UsageError
from tests.bench import float_gallery, gallery_storage


def pictures(people: int, seed: int) -> dict[str, Floats]:
    """One to seven pictures each; every second person has more than three."""
    random = np.random.default_rng(seed)
    made: dict[str, Floats] = {}
    for person in range(people):
        centre = random.normal(size=8)
        for number in range(4 + person % 4 if person % 2 else 1 + person % 3):
            vector = centre + 0.7 * random.normal(size=8)
            made[f"P{person:02d}/{number}"] = np.asarray(vector / np.linalg.norm(vector), np.float32)
    return made


def test_int8_is_right_to_half_a_step() -> None:
    vectors = gallery_storage.embeddings(50)
    integers, scales = gallery_storage.to_int8(vectors)
    assert np.abs(integers).max(axis=1).tolist() == [127] * 50
    assert np.all(np.abs(integers * scales[:, None] - vectors) <= scales[:, None] * 0.501)
    rounded = float_gallery.rounded({str(row): vector for row, vector in enumerate(vectors)})
    for row, vector in enumerate(vectors):
        assert np.linalg.norm(rounded[str(row)]) == pytest.approx(1, abs=1e-6)
        assert float(rounded[str(row)] @ vector) > 0.9995


def test_every_way_of_storage_finds_the_same_row() -> None:
    vectors = gallery_storage.embeddings(3000)
    integers, scales = gallery_storage.to_int8(vectors)
    for row in (0, 1500, 2999):
        probe = vectors[row]
        assert gallery_storage.by_blocks(vectors.astype(np.float16), np.ones(3000, np.float32), probe) == row
        assert gallery_storage.by_blocks(integers, scales, probe) == row
        assert gallery_storage.by_integers(integers, scales, probe) == row


def test_bytes_on_disk_hold_at_least_the_vectors() -> None:
    each, load_ms = gallery_storage.on_disk(gallery_storage.embeddings(80))
    assert each > gallery_storage.LENGTH * 4
    assert load_ms > 0


@pytest.mark.parametrize("way", [float_gallery.most_similar, float_gallery.mean_of, float_gallery.either])
def test_identities_are_compared_with_pictures_that_were_not_enrolled(way: float_gallery.Way) -> None:
    gallery, probes = pictures(20, 1), pictures(20, 2)
    found = float_gallery.identified(gallery, probes, way)
    enrolled = {
        f"P{person:02d}": [gallery[f"P{person:02d}/{number}"] for number in range(3)] for person in range(1, 20, 2)
    }
    genuine, impostor = [], []
    for name, probe in probes.items():
        if person_of(name) in enrolled and name[-1] in "012":
            continue
        for person, templates in enrolled.items():
            mean = np.mean(templates, axis=0)
            nearest, middle = max(float(one @ probe) for one in templates), float(mean @ probe / np.linalg.norm(mean))
            value = {"most_similar": nearest, "mean_of": middle, "either": max(nearest, middle)}[way.__name__]
            (genuine if person == person_of(name) else impostor).append(value)
    np.testing.assert_allclose(found.genuine, sorted(genuine), atol=1e-6)
    assert found.impostor_pairs == len(impostor)
    high = sorted(impostor, reverse=True)[: len(found.impostor)]
    np.testing.assert_allclose(found.impostor, high, atol=1e-6)
    assert len(high) > 20
    assert measured(found, (0.01,), ()).thresholds[0] == pytest.approx(high[int(0.01 * len(impostor))], abs=1e-5)


def test_nobody_with_four_pictures_cannot_be_enrolled_and_seen_again() -> None:
    few = {name: vector for name, vector in pictures(20, 1).items() if name[-1] in "01"}
    with pytest.raises(UsageError, match="nobody has four pictures"):
        float_gallery.identified(few, few, float_gallery.mean_of)
