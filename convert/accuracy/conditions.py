"""What small, blurred, dark and turned faces do to a bundle's operating points: probes made worse, against a gallery as it is.

A stranger who walks up in the dark is compared with pictures that were taken with care. The degraded picture goes through
every stage: what the detector does not find any more is counted apart, as ISO/IEC 19795-1 has it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from convert.accuracy.comparisons import compare_sides
from convert.accuracy.confidence import Interval
from convert.accuracy.degrade import DEGRADATIONS, Degradation
from convert.accuracy.faces import central_face
from convert.accuracy.operating_points import FALSE_MATCH_RATES, four_digits
from convert.accuracy.person_bootstrap import LEAST_PEOPLE, draw_people, measured, middle
from convert.pictures import PictureStore, person_of
from edge.align import align, template_named
from edge.bundle.manifest import OperatingPoint
from edge.cli.common import progress
from edge.config.settings import Decide
from edge.datatypes import Detection, Floats
from edge.errors import UsageError
from edge.quality import assess, frontality
from edge.reader import Models

PROBES = 1000
"""Pictures that are made worse, drawn from all; each is compared with every picture of the gallery."""
LEAST_FALSE_MATCHES = 10
"""Fewer say nothing of the threshold that would keep a rate."""
TURNED = {
    "turned": ("turned a little (frontality 0.5 to 0.7)", 0.5, 0.7),
    "turned-far": ("turned far (under 0.5)", 0.0, 0.5),
}
"""Pictures of the set itself; frontality is the one of edge.quality, 1 from the front and 0 for a profile."""
AS_THEY_ARE = "as-they-are"
_SEED = 0


@dataclass(frozen=True, slots=True, eq=False)
class Clean:
    """The pictures as they are: what was found in each, and its embedding, by name."""

    detections: Mapping[str, Detection]
    embeddings: Mapping[str, Floats]


@dataclass(frozen=True, slots=True)
class Figure:
    """A value and its 95 % interval, None where there are too few people, or nothing was seen."""

    value: float
    interval: Interval | None

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        ends = None if self.interval is None else [four_digits(end) for end in self.interval]
        return {"value": four_digits(self.value), "confidence_95": ends}


@dataclass(frozen=True, slots=True)
class Condition:
    """How a bundle fares with one kind of probe."""

    name: str
    title: str
    probes: int
    no_face: int
    """Of these, in how many no face was found any more."""
    poor: int
    """Of the others, how many faces are of too low a quality for the daemon to decide by."""
    fmr: Mapping[str, Figure]
    """Operating point -> FMR at its threshold."""
    fnmr: Mapping[str, Figure]
    threshold: Mapping[str, Figure]
    """Operating point -> the threshold that would keep its false match rate."""
    fnmr_there: Mapping[str, Figure]

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        figures = {
            name: {point: figure.as_dict() for point, figure in getattr(self, name).items()}
            for name in ("fmr", "fnmr", "threshold", "fnmr_there")
        }
        return {"title": self.title, "probes": self.probes, "no_face": self.no_face, "poor": self.poor, **figures}


@dataclass(frozen=True, slots=True)
class _Probes:
    """Embeddings of one kind of probe."""

    embeddings: dict[str, Floats]
    no_face: int = 0
    poor: int = 0


def shown_point(conditions: Mapping[str, Mapping[str, Any]]) -> str:
    """Of conditions as dictionaries, the operating point that a daemon uses, else the strictest that they have; "" for none."""
    known = {name for one in conditions.values() for name in one["fmr"]}
    usual = Decide().operating_point
    return usual if usual in known else max(known, default="", key=list(FALSE_MATCH_RATES).index)


def measure_conditions(
    models: Models, store: PictureStore, clean: Clean, points: Mapping[str, OperatingPoint], probes: int = PROBES
) -> list[Condition]:
    """First the pictures as they are, then every degradation, then the turned faces of the set. UsageError as `measured_points`."""
    points = measured_points(points)
    names = sorted(clean.embeddings)
    chosen = sorted(np.random.default_rng(_SEED).permutation(names)[:probes].tolist())
    kinds = {AS_THEY_ARE: ("as they are", _Probes({name: clean.embeddings[name] for name in chosen}))}
    worse = _degraded(models, store, clean, chosen)
    kinds |= {way.name: (way.title, worse[way.name]) for way in DEGRADATIONS}
    kinds |= {name: (title, _Probes(_turned(clean, low, high))) for name, (title, low, high) in TURNED.items()}
    return [_condition(name, title, made, clean, points) for name, (title, made) in kinds.items()]


def measured_points(points: Mapping[str, OperatingPoint]) -> dict[str, OperatingPoint]:
    """Those that were measured at a known false match rate. UsageError where there is none."""
    found = {name: point for name, point in points.items() if name in FALSE_MATCH_RATES}
    if not found:
        hint = "Measure the bundle first, or at once: ostiary-convert evaluate --write-operating-points."
        raise UsageError("no operating point that was measured", expected="thresholds to start from", hint=hint)
    return found


def _turned(clean: Clean, low: float, high: float) -> dict[str, Floats]:
    found = {}
    for name, embedding in clean.embeddings.items():
        landmarks = clean.detections[name].landmarks
        if landmarks is not None and low <= frontality(landmarks) < high:
            found[name] = embedding
    return found


def _degraded(models: Models, store: PictureStore, clean: Clean, names: Sequence[str]) -> dict[str, _Probes]:
    """Degradation -> its probes. One picture after another, so that one is in memory at a time."""
    made: dict[str, dict[str, Floats]] = {way.name: {} for way in DEGRADATIONS}
    poor = dict.fromkeys(made, 0)
    for name in progress(names, f"{len(names)} pictures made worse in {len(DEGRADATIONS)} ways"):
        image = store.read(name)
        for way in DEGRADATIONS:
            embedded = _through(models, way, image, clean.detections[name], name)
            if embedded is not None:
                made[way.name][name], is_poor = embedded
                poor[way.name] += is_poor
    return {way: _Probes(found, len(names) - len(found), poor[way]) for way, found in made.items()}


def _through(models: Models, way: Degradation, image: Any, face: Detection, name: str) -> tuple[Floats, bool] | None:
    """The embedding of a picture made worse, and whether a daemon would leave it out; None where no face is found."""
    worse = way.apply(image, face.box, name)
    found = central_face(worse, models.detector.detect(worse))
    if found is None:
        return None
    aligned = align(worse, found, template_named(models.embedder.template))
    return models.embedder.embed([aligned])[0].vector, assess(found, aligned).score < Decide().min_quality


def _condition(name: str, title: str, probes: _Probes, clean: Clean, points: Mapping[str, OperatingPoint]) -> Condition:
    wanted = len(probes.embeddings) + probes.no_face
    nothing = Condition(name, title, wanted, probes.no_face, probes.poor, {}, {}, {}, {})
    if not probes.embeddings:
        return nothing
    thresholds = [point.threshold for point in points.values()]
    people = {picture: person_of(picture) for picture in clean.embeddings}
    found = compare_sides(probes.embeddings, clean.embeddings, people, reach=min(thresholds))
    if not len(found.genuine) or not found.impostor_pairs:
        return nothing
    rates = [FALSE_MATCH_RATES[point] for point in points]
    exact = measured(found, rates, thresholds)
    drawn = draw_people(found, rates, thresholds) if found.people >= LEAST_PEOPLE else None

    def figures(kind: str, *, at_least: float = 0.0) -> dict[str, Figure]:
        values = getattr(exact, kind)
        ends: list[Interval | None] = [None] * len(values) if drawn is None else [*middle(getattr(drawn, kind))]
        return {
            point: Figure(value, ends[number] if value else None)
            for number, (point, value) in enumerate(zip(points, values, strict=True))
            if FALSE_MATCH_RATES[point] * found.impostor_pairs >= at_least
        }

    return Condition(
        name, title, wanted, probes.no_face, probes.poor, figures("fmr"), figures("fnmr"),
        figures("thresholds", at_least=LEAST_FALSE_MATCHES), figures("fnmr_there", at_least=LEAST_FALSE_MATCHES),
    )  # fmt: skip
