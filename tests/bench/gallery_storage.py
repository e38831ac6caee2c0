"""What a gallery costs in float32, float16 and int8: bytes in memory and on disk, time to load, time of one search.

    python -m tests.bench.gallery_storage

Random embeddings of 128 values that lie like real ones (a few axes hold most of the energy), four an identity. Searches that the
gallery does not have are written as NumPy can do them best, and give the row of the most similar embedding alone.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.bench.gallery import PER_IDENTITY
from edge.datatypes import Embedding, Floats, Identity
from edge.gallery import EnrolledFace, Index, Member, open_gallery

SIZES = (10_000, 100_000)
LENGTH = 128
BLOCK = 2048
REPEAT = 100
PEOPLE_ON_DISK = 2500
"""Enrolled one by one, each on the disk before the next: a quarter of the smaller size is enough to know the rest."""


def main() -> None:
    """Both tables."""
    print("| embeddings | kept as | in memory | one search, least / median |\n|---|---|---|---|")
    for size in SIZES:
        vectors = embeddings(size)
        for title, (count, search) in ways(vectors).items():
            least, median = times(search)
            print(f"| {size:,} | {title} | {count / 1e6:.1f} MB | {least:.2f} / {median:.2f} ms |", flush=True)
    print("\n| embeddings on disk | bytes each | of these the vector | to load |\n|---|---|---|---|")
    each, load_ms = on_disk(embeddings(PEOPLE_ON_DISK * PER_IDENTITY))
    print(f"| {PEOPLE_ON_DISK * PER_IDENTITY:,} | {each:.0f} | {LENGTH * 4} | {load_ms:.0f} ms |")


def times(search: Callable[[], object]) -> tuple[float, float]:
    """Least and median ms of REPEAT runs: the least is what holds where other programs run too."""
    taken = []
    for _ in range(REPEAT):
        started = time.perf_counter()
        search()
        taken.append((time.perf_counter() - started) * 1000)
    return min(taken), float(np.median(taken))


def embeddings(count: int) -> Floats:
    """float32 (count, LENGTH), L2-normalised; the k-th axis has 0.97 ** k of the first one's standard deviation."""
    made = np.random.default_rng(0).standard_normal((count, LENGTH), np.float32) * 0.97 ** np.arange(LENGTH)
    return np.asarray(made / np.linalg.norm(made, axis=1, keepdims=True), np.float32)


def ways(vectors: Floats) -> dict[str, tuple[int, Callable[[], object]]]:
    """Name -> (bytes in memory, one search)."""
    probe = np.ascontiguousarray(vectors[len(vectors) // 2])
    owner = np.arange(len(vectors), dtype=np.int64) // PER_IDENTITY
    index = Index([Member(Identity(str(n), str(n))) for n in range(int(owner[-1]) + 1)], owner, vectors)
    integers, scales = to_int8(vectors)
    halves = vectors.astype(np.float16)
    ones = np.ones(len(vectors), np.float32)
    return {
        "float32, as the gallery has it": (vectors.nbytes, lambda: index.search(probe)),
        "float16, blocks of it to float32": (halves.nbytes, lambda: by_blocks(halves, ones, probe)),
        "int8, blocks of it to float32": (integers.nbytes + scales.nbytes, lambda: by_blocks(integers, scales, probe)),
        "int8 with an int8 probe": (integers.nbytes + scales.nbytes, lambda: by_integers(integers, scales, probe)),
    }


def to_int8(vectors: Floats) -> tuple[NDArray[np.int8], Floats]:
    """Integers (N, D) and scales (N,): symmetric, a scale for each row, so that vectors = integers * scales to half a scale."""
    scales = np.asarray(np.abs(vectors).max(axis=1) / 127, np.float32)
    return np.rint(vectors / scales[:, None]).astype(np.int8), scales


def by_blocks(matrix: NDArray[Any], scales: Floats, probe: Floats) -> int:
    """Converted in pieces that stay in the cache, each then multiplied by BLAS."""
    scores = np.empty(len(matrix), np.float32)
    piece = np.empty((BLOCK, matrix.shape[1]), np.float32)
    for begin in range(0, len(matrix), BLOCK):
        part = matrix[begin : begin + BLOCK]
        np.copyto(piece[: len(part)], part)
        np.dot(piece[: len(part)], probe, out=scores[begin : begin + len(part)])
    return int(np.multiply(scores, scales, out=scores).argmax())


def by_integers(integers: NDArray[np.int8], scales: Floats, probe: Floats) -> int:
    """Sums of integers, for which NumPy has no BLAS."""
    own = to_int8(probe[None])[0][0].astype(np.int32)
    return int((np.einsum("nd,d->n", integers, own, dtype=np.int32) * scales).argmax())


def on_disk(vectors: Floats) -> tuple[float, float]:
    """Bytes of the database for each embedding, and ms to make an index of it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "gallery.sqlite"
        with open_gallery(path, embedder_id="bench", embedding_length=LENGTH) as gallery:
            for person, rows in enumerate(vectors.reshape(-1, PER_IDENTITY, LENGTH)):
                gallery.enrol(f"Person {person}", [EnrolledFace(Embedding(row, "bench"), 0.8) for row in rows])
            gallery.scrub()
            started = time.perf_counter()
            gallery.load_index()
            load_ms = (time.perf_counter() - started) * 1000
        return path.stat().st_size / len(vectors), load_ms


if __name__ == "__main__":
    main()
