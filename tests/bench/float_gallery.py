"""What a float gallery buys, and what embeddings of eight bits cost: the tables of docs/results.md.

    python -m tests.bench.float_gallery FLOAT UINT8 --images TAR --pairs FILE... [--cache FOLDER]

FLOAT and UINT8 are bundles of one network in two precisions; the detector and the alignment of the first serve both. Pictures
are those of the pairs' people. Everything runs through `edge`. With `--cache` embeddings are kept in a folder, by what made
them, and are taken from there the next time.

1. gallery and probes from either network: LFW accuracy (each fold at the threshold best in the others), TAR at FMR 1e-3, and
   FNMR at FMR 1e-4 over all impostor pairs, with 95 % intervals by drawing people again, also of the difference to uint8 with
   uint8. The first picture of a pair is the gallery's;
2. the same with embeddings rounded to int8, symmetric, one scale each;
3. the mirrored face added: on no side, in the gallery alone, or on both;
4. identities enrolled with three pictures: the most similar of them (as the gallery does), their mean, or either. Probes are all
   other pictures of anybody. FNMR at FMR 1e-4 of comparisons with identities; and both rates at the threshold that has
   FMR 1e-4 of comparisons between two pictures, which is what a manifest says.

What storage costs and how fast search is in it: tests/bench/gallery_storage.py.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from convert.accuracy.comparisons import Comparisons, Numbers, compare_sides
from convert.accuracy.evaluate import Scores, by_fold, pictures_of_people, tar_at
from convert.accuracy.faces import align_pictures, embed_faces
from convert.accuracy.pairs import Pair, read_all_pairs
from convert.accuracy.person_bootstrap import draw_people, measured, middle
from convert.pictures import PictureStore, open_pictures, person_of
from edge.align import template_named
from edge.bundle import Bundle, load_bundle, sha256_of
from edge.config.settings import Detect, Runtime
from edge.datatypes import AlignedFace, Floats
from edge.detect import make_detector
from edge.embed import make_embedder
from edge.errors import UsageError
from tests.bench.gallery_storage import to_int8

Embeddings = dict[str, Floats]
Way = Callable[[Floats, Floats], Floats]
"""Probes (N, D) and templates (identities, pictures, D) -> similarities (N, identities)."""
Misses = NDArray[np.float64]
"""FNMR of each draw, (draws, 1)."""
RATE = 1e-4
ENROLLED = 3


@dataclass(frozen=True, slots=True)
class Job:
    """What every table needs: embeddings by (precision, mirrored)."""

    pairs: list[Pair]
    sets: Mapping[tuple[str, bool], Embeddings]


def main() -> None:
    """All tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("float_bundle", type=Path)
    parser.add_argument("uint8_bundle", type=Path)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--pairs", type=Path, nargs="+", required=True)
    parser.add_argument("--cache", type=Path)
    args = parser.parse_args()
    bundles = {"float": load_bundle(args.float_bundle), "uint8": load_bundle(args.uint8_bundle)}
    store, pairs = open_pictures(args.images), read_all_pairs(args.pairs)
    job = Job(pairs, embedded(bundles, store, pictures_of_people(pairs, store), args.cache))
    precisions(job)
    mirrored(job)
    enrolled(job)


def embedded(
    bundles: Mapping[str, Bundle], store: PictureStore, names: Sequence[str], cache: Path | None
) -> dict[tuple[str, bool], Embeddings]:
    """Every picture's central face by both networks, with and without the mirrored face."""
    made: dict[tuple[str, bool], Embeddings] = {}
    faces: dict[str, AlignedFace] = {}
    first = bundles["float"]
    for precision, bundle in bundles.items():
        for is_mirrored in (False, True):
            kept = None if cache is None else cache / f"{_key(first, bundle, names)}-{int(is_mirrored)}.npz"
            if kept is not None and kept.exists():
                with np.load(kept) as data:
                    made[precision, is_mirrored] = dict(zip(data["names"].tolist(), data["vectors"], strict=True))
                continue
            faces = faces or _aligned(first, store, names)
            made[precision, is_mirrored] = _embeddings(bundle, faces, is_mirrored=is_mirrored)
            if kept is not None:
                kept.parent.mkdir(parents=True, exist_ok=True)
                vectors = made[precision, is_mirrored]
                np.savez(kept, names=np.array(list(vectors)), vectors=np.stack(list(vectors.values())))
    return made


def _key(first: Bundle, bundle: Bundle, names: Sequence[str]) -> str:
    """Of everything that an embedding depends on."""
    files = [*(first.path(name) for name in first.manifest.detector.artifacts.values())]
    files.append(bundle.path(bundle.manifest.embedder.artifact))
    about = [repr(first.manifest.detector), repr(bundle.manifest.embedder), *map(sha256_of, files), *names]
    return hashlib.sha256("\n".join(about).encode()).hexdigest()[:24]


def _aligned(bundle: Bundle, store: PictureStore, names: Sequence[str]) -> dict[str, AlignedFace]:
    template = template_named(bundle.manifest.embedder.alignment_template)
    return align_pictures(store, names, make_detector(bundle, Detect()), template)


def _embeddings(bundle: Bundle, faces: Mapping[str, AlignedFace], *, is_mirrored: bool) -> Embeddings:
    spec = dataclasses.replace(bundle.manifest.embedder, add_mirrored=is_mirrored)
    variant = dataclasses.replace(bundle, manifest=dataclasses.replace(bundle.manifest, embedder=spec))
    return embed_faces(faces, make_embedder(variant, Runtime()))


def precisions(job: Job) -> None:
    """Tables 1 and 2."""
    plain = {precision: job.sets[precision, False] for precision in ("float", "uint8")}
    eight = {f"{precision}, int8": rounded(vectors) for precision, vectors in plain.items()}
    ways = [
        ("uint8", "uint8"),
        ("float", "uint8"),
        ("float", "float"),
        ("uint8, int8", "uint8"),
        ("float, int8", "uint8"),
    ]
    ways += [("uint8, int8", "uint8, int8"), ("float, int8", "float, int8")]
    sets = plain | eight
    _table("gallery | probes", [(f"{one} | {other}", sets[one], sets[other]) for one, other in ways], job.pairs)


def mirrored(job: Job) -> None:
    """Table 3."""
    rows = []
    for precision in ("uint8", "float"):
        alone, both = job.sets[precision, False], job.sets[precision, True]
        rows += [(f"{precision} | {title}", gallery, probes) for title, gallery, probes in (
            ("on no side", alone, alone), ("gallery alone", both, alone), ("both sides", both, both))]  # fmt: skip
    rows.append(("float gallery, uint8 probes | gallery alone", job.sets["float", True], job.sets["uint8", False]))
    rows.append(("float gallery, uint8 probes | both sides", job.sets["float", True], job.sets["uint8", True]))
    _table("network | mirrored face added", rows, job.pairs)


def _table(head: str, rows: Sequence[tuple[str, Embeddings, Embeddings]], pairs: list[Pair]) -> None:
    """`head` has two columns, and so has the title of each row; differences are to the first row, on the same people drawn."""
    heads = (
        "LFW accuracy",
        "TAR at FMR 1e-3",
        "similarity at FMR 1e-4",
        "FNMR there (95 %)",
        "fewer than in the first row (95 %)",
    )
    print(f"\n| {head} | {' | '.join(heads)} |\n{'|---' * (len(heads) + 2)}|")
    first: tuple[float, Misses] | None = None
    for title, gallery, probes in rows:
        people = {name: person_of(name) for name in gallery}
        found = compare_sides(
            {name: probes[name] for name in probes if name in gallery}, gallery, people, share=10 * RATE
        )
        exact, drawn = measured(found, [RATE], []), draw_people(found, [RATE], []).fnmr_there
        first = first or (exact.fnmr_there[0], drawn)
        accuracy, tar = _lfw(pairs, gallery, probes)
        own = _shown(exact.fnmr_there[0], drawn, ".2%")
        fewer = _shown(first[0] - exact.fnmr_there[0], first[1] - drawn, "+.2%")
        print(f"| {title} | {accuracy:.2%} | {tar:.2%} | {exact.thresholds[0]:.4f} | {own} | {fewer} |", flush=True)


def _shown(value: float, drawn: Misses, form: str) -> str:
    low, high = middle(drawn)[0]
    return f"{value:{form}} ({low:{form}} to {high:{form}})"


def _lfw(pairs: Sequence[Pair], gallery: Embeddings, probes: Embeddings) -> tuple[float, float]:
    """LFW accuracy and TAR at FMR 1e-3; a pair with a picture without a face has similarity -1."""
    similarities = [
        float(gallery[pair.first] @ probes[pair.second]) if pair.first in gallery and pair.second in probes else -1.0
        for pair in pairs
    ]
    same, fold = np.array([pair.same for pair in pairs]), np.array([pair.fold for pair in pairs])
    scores = Scores(np.array(similarities, np.float32), same, fold)
    return float(np.mean(by_fold(scores)[0])), tar_at(scores.similarities, same)["1e-3"]


def rounded(embeddings: Mapping[str, Floats]) -> Embeddings:
    """Embeddings as int8 would keep them: symmetric, each with its own scale, and L2-normalised again."""
    integers, scales = to_int8(np.stack(list(embeddings.values())))
    vectors = integers * scales[:, None]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return dict(zip(embeddings, vectors, strict=True))


def enrolled(job: Job) -> None:
    """Table 4, for probes of the uint8 network alone, as they are on a device."""
    probes = job.sets["uint8", False]
    people = {name: person_of(name) for name in probes}
    usual = measured(compare_sides(probes, probes, people, share=10 * RATE), [RATE], []).thresholds[0]
    heads = ("similarity at FMR 1e-4", "FNMR there (95 %)", "fewer than in the first row (95 %)",
             f"FMR at the pairs' threshold, {usual:.4f}", "FNMR there (95 %)")  # fmt: skip
    print(f"\n| gallery | three pictures | {' | '.join(heads)} |\n{'|---' * (len(heads) + 2)}|")
    first: tuple[float, Misses] | None = None
    for precision in ("uint8", "float"):
        for title, way in (("the most similar", most_similar), ("their mean", mean_of), ("either", either)):
            found = identified(job.sets[precision, False], probes, way)
            exact, drawn = measured(found, [RATE], [usual]), draw_people(found, [RATE], [usual])
            first = first or (exact.fnmr_there[0], drawn.fnmr_there)
            own = _shown(exact.fnmr_there[0], drawn.fnmr_there, ".2%")
            fewer = _shown(first[0] - exact.fnmr_there[0], first[1] - drawn.fnmr_there, "+.2%")
            at_usual = f"{_shown(exact.fmr[0], drawn.fmr, '.1e')} | {_shown(exact.fnmr[0], drawn.fnmr, '.2%')}"
            print(f"| {precision} | {title} | {exact.thresholds[0]:.4f} | {own} | {fewer} | {at_usual} |", flush=True)


def identified(gallery: Embeddings, probes: Embeddings, way: Way) -> Comparisons:
    """Everybody with more than ENROLLED pictures is enrolled with the first ones; all other pictures of anybody are probes."""
    by_person: dict[str, list[str]] = defaultdict(list)
    for name in sorted(gallery):
        by_person[person_of(name)].append(name)
    people = sorted(by_person)
    known = [number for number, person in enumerate(people) if len(by_person[person]) > ENROLLED]
    if not known:
        raise UsageError("nobody has four pictures", expected="people who can be enrolled and be seen again")
    templates = np.stack([[gallery[name] for name in by_person[people[number]][:ENROLLED]] for number in known])
    skipped = {name for number in known for name in by_person[people[number]][:ENROLLED]}
    number_of = {person: number for number, person in enumerate(people)}
    shown = [name for name in sorted(probes) if name not in skipped and person_of(name) in number_of]
    similarities = way(np.stack([probes[name] for name in shown]), templates)
    whose = np.array([number_of[person_of(name)] for name in shown], np.int32)
    return _identity_comparisons(similarities, whose, np.array(known, np.int32), len(people))


def _identity_comparisons(similarities: Floats, probe: Numbers, known: Numbers, people: int) -> Comparisons:
    """`similarities` of probes (whose: `probe`) with identities (whose: `known`); of the impostors the highest 5 % are kept."""
    same = probe[:, None] == known[None]
    genuine, whose = similarities[same], probe[np.nonzero(same)[0]]
    order = np.argsort(genuine, kind="stable")
    rows, columns = np.nonzero(~same & (similarities > np.quantile(similarities, 0.95)))
    impostor = similarities[rows, columns]
    down = np.argsort(-impostor, kind="stable")
    both = np.stack([probe[rows], known[columns]])[:, down]
    counts = [np.bincount(side, minlength=people).astype(np.float64) for side in (probe, known)]
    pairs = int(np.count_nonzero(~same))
    return Comparisons(genuine[order], whose[order], impostor[down], both, counts[0], counts[1], pairs)


def most_similar(probes: Floats, templates: Floats) -> Floats:
    """A Way: the greatest over an identity's pictures, as the gallery does it."""
    each = [probes @ templates[:, number].T for number in range(templates.shape[1])]
    return np.asarray(np.max(each, axis=0), np.float32)


def mean_of(probes: Floats, templates: Floats) -> Floats:
    """A Way: with the mean of an identity's pictures, L2-normalised."""
    means = templates.mean(axis=1)
    return np.asarray(probes @ (means / np.linalg.norm(means, axis=1, keepdims=True)).T, np.float32)


def either(probes: Floats, templates: Floats) -> Floats:
    """A Way: the mean stands beside the pictures."""
    return np.maximum(most_similar(probes, templates), mean_of(probes, templates))


if __name__ == "__main__":
    main()
