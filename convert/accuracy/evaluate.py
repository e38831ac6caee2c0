"""Verification accuracy by the LFW protocol (Huang et al. 2007), end to end through `edge`: detect, align, embed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.accuracy.confidence import Interval, bootstrap
from convert.accuracy.faces import central_face, embed_faces
from convert.accuracy.operating_points import lowest_threshold, share_reaching
from convert.accuracy.pairs import Pair
from convert.pictures import PictureStore, person_of
from edge.align import align, template_named
from edge.cli.common import progress
from edge.config.settings import Enrol
from edge.datatypes import AlignedFace, Detection, Floats
from edge.enrol import check_quality
from edge.errors import EnrolmentRefusedError, UsageError
from edge.quality import assess
from edge.reader import Models

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
    failures_to_enrol: int = 0
    """Of the others, those whose face `ostiary enrol` would refuse: too small, too blurred, turned away."""
    intervals: Mapping[str, Interval] = field(default_factory=dict)
    """95 % confidence intervals, by bootstrap over the pairs."""

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
            "failures_to_enrol": self.failures_to_enrol,
            "confidence_95": {name: [round(end, 4) for end in ends] for name, ends in self.intervals.items()},
        }


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """The similarity of every pair, whether it is of one person, and its fold."""

    similarities: Floats
    same: NDArray[np.bool_]
    fold: NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """The figures, and what they were computed from."""

    verification: Verification
    scores: Scores
    embeddings: Mapping[str, Floats]
    """Of every picture with a face, also of those that no pair names."""
    detections: Mapping[str, Detection]


@dataclass(frozen=True, slots=True)
class Acquired:
    """The central face of each picture by name, found and aligned, and those that enrolment would refuse."""

    detections: dict[str, Detection]
    faces: dict[str, AlignedFace]
    refused: frozenset[str]


def evaluate_models(
    models: Models, store: PictureStore, pairs: Sequence[Pair], names: Sequence[str] | None = None
) -> Evaluation:
    """Run networks on the pictures of a pairs file; `names` are the pictures to embed: those of the pairs, or more."""
    named = pictures_of(pairs)
    acquired = acquire(models, store, named if names is None else names)
    embeddings = embed_faces(acquired.faces, models.embedder)
    scores = score_pairs(pairs, embeddings)
    refused = len(acquired.refused.intersection(named))
    figures = replace(verification(pairs, embeddings), failures_to_enrol=refused, intervals=confidence(scores))
    return Evaluation(figures, scores, embeddings, acquired.detections)


def acquire(models: Models, store: PictureStore, names: Sequence[str]) -> Acquired:
    """The central face of each picture, aligned, and judged by the rules of enrolment."""
    template = template_named(models.embedder.template)
    detections: dict[str, Detection] = {}
    faces: dict[str, AlignedFace] = {}
    refused: set[str] = set()
    for name in progress(names, f"faces of {len(names)} pictures"):
        image = store.read(name)
        found = central_face(image, models.detector.detect(image))
        if found is None:
            continue
        detections[name], faces[name] = found, align(image, found, template)
        try:
            check_quality(assess(found, faces[name]), Enrol(), name)
        except EnrolmentRefusedError:
            refused.add(name)
    return Acquired(detections, faces, frozenset(refused))


def pictures_of(pairs: Sequence[Pair]) -> list[str]:
    """Every picture once, sorted."""
    return sorted({name for pair in pairs for name in (pair.first, pair.second)})


def pictures_of_people(pairs: Sequence[Pair], store: PictureStore) -> list[str]:
    """Every picture in the store of everybody whom the pairs name, sorted: the most comparisons that they give."""
    people = {person_of(name) for name in pictures_of(pairs)}
    return sorted(name for name in store.names if person_of(name) in people)


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


def score_pairs(pairs: Sequence[Pair], embeddings: Mapping[str, Floats]) -> Scores:
    """Similarities by pair, from the embeddings by picture."""
    similarities = np.array([_similarity(pair, embeddings) for pair in pairs], np.float32)
    return Scores(similarities, np.array([pair.same for pair in pairs]), np.array([pair.fold for pair in pairs]))


def verification(pairs: Sequence[Pair], embeddings: Mapping[str, Floats]) -> Verification:
    """Accuracy fold by fold and TAR at FMR, from the embeddings by picture."""
    scores = score_pairs(pairs, embeddings)
    accuracies, thresholds = by_fold(scores)
    names = pictures_of(pairs)
    missing = sum(name not in embeddings for name in names)
    tar = tar_at(scores.similarities, scores.same)
    return Verification(tuple(accuracies), float(np.mean(thresholds)), tar, len(pairs), len(names), missing)


def by_fold(scores: Scores) -> tuple[list[float], list[float]]:
    """(accuracy, threshold) of each fold, the threshold being the best of the other folds."""
    accuracies, thresholds = [], []
    for number in np.unique(scores.fold):
        inside = scores.fold == number
        threshold = best_threshold(scores.similarities[~inside], scores.same[~inside])
        thresholds.append(threshold)
        accuracies.append(float(np.mean((scores.similarities[inside] >= threshold) == scores.same[inside])))
    return accuracies, thresholds


def confidence(scores: Scores) -> dict[str, Interval]:
    """Intervals of the accuracy and of the TAR at each FMR."""

    def figures(chosen: NDArray[np.int64]) -> dict[str, float]:
        drawn = Scores(scores.similarities[chosen], scores.same[chosen], scores.fold[chosen])
        tar = tar_at(drawn.similarities, drawn.same)
        return {"accuracy_mean": float(np.mean(by_fold(drawn)[0])), **{f"tar_{rate}": tar[rate] for rate in RATES}}

    # Drawn within each fold and kind, so that every draw has the protocol's form.
    strata = [
        np.flatnonzero((scores.fold == fold) & (scores.same == same))
        for fold in np.unique(scores.fold)
        for same in (True, False)
    ]
    return bootstrap(strata, figures)


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
