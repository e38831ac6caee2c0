"""A bundle that exists: run with another detector, or given the figures that were measured on it."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from convert.accuracy.comparisons import compare_all
from convert.accuracy.evaluate import Evaluation
from convert.accuracy.operating_points import operating_points, refuse_too_few
from convert.bundle import manifest_text, write_bundle
from convert.pictures import person_of
from edge.bundle import MANIFEST_NAME, Bundle, load_bundle
from edge.bundle.manifest import Manifest, OperatingPoint
from edge.config.settings import Settings
from edge.errors import UsageError
from edge.reader import Models, load_models


@contextlib.contextmanager
def models_with_detector(folder: Path, detector: str | None) -> Iterator[Models]:
    """A bundle's networks; with `detector` (a catalogue name, or a bundle) its faces are found by that one."""
    if detector is None:
        yield load_models(Settings(bundle=folder))
        return
    from convert.build.halves import embedder_of_bundle, find_detector

    with tempfile.TemporaryDirectory() as scratch:
        bundle = load_bundle(folder)
        found = find_detector(detector, Path(scratch), beside=folder)
        about = {field.name: getattr(bundle.manifest, field.name) for field in dataclasses.fields(bundle.manifest)}
        about = {**about, "detector": found.spec}
        del about["files"]
        combined = Path(scratch) / "bundle"
        combined.mkdir()
        write_bundle(combined, {**found.artifacts, **embedder_of_bundle(bundle).artifacts}, about)
        yield load_models(Settings(bundle=combined))


def check_measurable(folder: Path, names: Sequence[str]) -> None:
    """Before hours of work: BundleError where the bundle is unsound, UsageError where these pictures are too few."""
    load_bundle(folder)
    each = Counter(person_of(name) for name in names).values()
    genuine = sum(count * (count - 1) // 2 for count in each)
    refuse_too_few(len(names) * (len(names) - 1) // 2 - genuine, genuine)


def measure_points(evaluation: Evaluation, data: str) -> dict[str, OperatingPoint]:
    """Operating points from every comparison of the evaluation's pictures. UsageError where these are too few."""
    names = list(evaluation.embeddings)
    people = {name: person_of(name) for name in names}
    label = f"every pair of {len(names)} pictures of {len(set(people.values()))} people ({data})"
    return operating_points(compare_all(evaluation.embeddings, people), label)


def write_measured(folder: Path, points: Mapping[str, OperatingPoint], figures: Mapping[str, Any]) -> None:
    """Put operating points into the manifest, and `figures` among what it says was measured; in one go."""
    bundle = load_bundle(folder)
    measured = {**bundle.manifest.measured, **figures}
    replace_manifest(bundle, dataclasses.replace(bundle.manifest, operating_points=dict(points), measured=measured))


def replace_manifest(bundle: Bundle, manifest: Manifest) -> None:
    """Write `manifest` over the bundle's, whole or not at all. A signed copy of it, in a repository, stays as it was."""
    path = bundle.folder / MANIFEST_NAME
    text = manifest_text(manifest)
    scratch = path.with_name(f".{MANIFEST_NAME}.{os.getpid()}")
    try:
        scratch.write_text(text, encoding="utf-8")
        scratch.chmod(0o644)
        scratch.replace(path)
    except OSError as error:
        raise UsageError(f"cannot be written ({error.strerror})", where=str(path)) from error
    finally:
        scratch.unlink(missing_ok=True)
