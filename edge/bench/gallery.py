"""How long one search takes in a gallery of random embeddings."""

from __future__ import annotations

import numpy as np

from edge.bench.timing import Spread, timed
from edge.datatypes import Identity
from edge.gallery import Index, Member

SIZES = (1_000, 10_000, 100_000)
PER_IDENTITY = 4


def measure(*, length: int = 128, sizes: tuple[int, ...] = SIZES, repeat: int = 200) -> dict[int, Spread]:
    """Embeddings enrolled -> time of one search, for a probe that resembles one identity as a real one would."""
    random = np.random.default_rng(0)
    return {size: _one(random, size, length, repeat) for size in sizes}


def _one(random: np.random.Generator, size: int, length: int, repeat: int) -> Spread:
    vectors = random.standard_normal((size, length), np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    owner = np.arange(size, dtype=np.int64) // PER_IDENTITY
    members = [Member(Identity(f"id{number}", f"Person {number}")) for number in range(int(owner[-1]) + 1)]
    index = Index(members, owner, vectors)
    probe = vectors[size // 2] + 0.08 * random.standard_normal(length, np.float32)
    probe = np.asarray(probe / np.linalg.norm(probe), np.float32)
    return timed(lambda: index.search(probe), repeat=repeat)
