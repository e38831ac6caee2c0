"""Verification accuracy by the LFW protocol (Huang et al. 2007), end to end through `edge`: detect, align, embed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.faces import align_pictures, embed_faces
from convert.operating_points import lowest_threshold, share_reaching
from convert.pairs import Pair
from convert.pictures import PictureStore
from edge.align import template_named
from edge.config.settings import Settings
from edge.datatypes import Floats
from edge.errors import UsageError
from edge.reader import load_models

RATES = ("1e-2", "1e-3")
NO_FACE = -1.0
"""Similarity of a pair with a picture in which no face was found: nobody would be let in."""


@dataclass(frozen=True, slots=True)
class Verification:
    """What a bundle reaches on a pairs file."""

    folds: tuple[float, ...]
    """Accuracy in each fold, at the threshold that is best in the other folds."""
    threshold: float
    """Mean of those thresholds."""
    tar: dict[str, float]
    """False match rate -> share of pairs of one person accepted, over all folds together."""
    pairs: int
    pictures: int
    failures_to_acquire: int
    """Pictures in which no face was found."""

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready, rounded."""
        return {
            "accuracy_mean": round(float(np.mean(self.folds)), 4),
            "accuracy_std": round(float(np.std(self.folds)), 4),
            "folds": [round(fold, 4) for fold in self.folds],
            "tar": {rate: round(share, 4) for rate, share in self.tar.items()},
            "threshold": round(self.threshold, 4),
            "pairs": self.pairs,
            "pictures": self.pictures,
            "failures_to_acquire": self.failures_to_acquire,
        }


def evaluate_bundle(bundle: Path, store: PictureStore, pairs: Sequence[Pair]) -> Verification:
    """Run a bundle on the pictures of a pairs file, with the settings a fresh install has."""
    check_pairs(pairs, store)
    models = load_models(Settings(bundle=bundle))
    template = template_named(models.embedder.template)
    faces = align_pictures(store, pictures_of(pairs), models.detector, template)
    return verification(pairs, embed_faces(faces, models.embedder))


def pictures_of(pairs: Sequence[Pair]) -> list[str]:
    """Every picture once, sorted."""
    return sorted({name for pair in pairs for name in (pair.first, pair.second)})


def check_pairs(pairs: Sequence[Pair], store: PictureStore) -> None:
    """UsageError where there are fewer than two folds, or pictures that the store lacks."""
    if len({pair.fold for pair in pairs}) < 2:
        hint = "The threshold of a fold is chosen on the others."
        raise UsageError("one fold of pairs", expected="at least two", hint=hint)
    known = set(store.names)
    missing = [name for name in pictures_of(pairs) if name not in known]
    if missing:
        shown = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
        raise UsageError(f"{len(missing)} pictures of the pairs are missing: {shown}", where=store.label)


def verification(pairs: Sequence[Pair], embeddings: Mapping[str, Floats]) -> Verification:
    """Accuracy fold by fold and TAR at FMR, from the embeddings by picture."""
    similarities = np.array([_similarity(pair, embeddings) for pair in pairs], np.float32)
    same = np.array([pair.same for pair in pairs])
    fold = np.array([pair.fold for pair in pairs])
    accuracies, thresholds = [], []
    for number in np.unique(fold):
        inside = fold == number
        threshold = best_threshold(similarities[~inside], same[~inside])
        thresholds.append(threshold)
        accuracies.append(float(np.mean((similarities[inside] >= threshold) == same[inside])))
    names = pictures_of(pairs)
    missing = sum(name not in embeddings for name in names)
    tar = tar_at(similarities, same)
    return Verification(tuple(accuracies), float(np.mean(thresholds)), tar, len(pairs), len(names), missing)


def _similarity(pair: Pair, embeddings: Mapping[str, Floats]) -> float:
    first, second = embeddings.get(pair.first), embeddings.get(pair.second)
    return NO_FACE if first is None or second is None else float(first @ second)


def best_threshold(similarities: Floats, same: NDArray[np.bool_]) -> float:
    """A threshold with the most right decisions (same when similarity >= threshold): half-way between two similarities.

    Of several equally good ones the highest.
    """
    order = np.argsort(-similarities, kind="stable")
    ranked, matches = similarities[order].astype(np.float64), same[order]
    # right[k]: decisions that are right when the k highest are accepted.
    right = np.concatenate([[0], np.cumsum(np.where(matches, 1, -1))]) + np.count_nonzero(~same)
    is_cut = np.concatenate([[True], ranked[1:] < ranked[:-1], [True]])
    best = int(np.argmax(np.where(is_cut, right, -1)))
    above = ranked[best - 1] if best > 0 else ranked[0] + 1.0
    below = ranked[best] if best < len(ranked) else ranked[-1] - 1.0
    return float((above + below) / 2)


def tar_at(similarities: Floats, same: NDArray[np.bool_]) -> dict[str, float]:
    """Share of pairs of one person accepted, at the lowest threshold with that FMR on these very pairs."""
    genuine, impostor = np.sort(similarities[same]), np.sort(similarities[~same])
    return {rate: share_reaching(genuine, lowest_threshold(impostor, float(rate))) for rate in RATES}
