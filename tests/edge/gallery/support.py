"""Galleries, embeddings and clocks for the tests of this folder."""

from __future__ import annotations

import sqlite3
import subprocess
from pathlib import Path
from typing import Any

import numpy as np

from edge.datatypes import Embedding, Floats, Identity
from edge.gallery.opening import open_gallery
from edge.gallery.records import EnrolledFace, Member
from edge.gallery.store import Gallery

EMBEDDER = "test-1"
LENGTH = 16


def vectors(count: int, seed: int = 0, length: int = LENGTH) -> Floats:
    made = np.random.default_rng(seed).standard_normal((count, length))
    return (made / np.linalg.norm(made, axis=1, keepdims=True)).astype(np.float32)


def faces(count: int, seed: int = 0, *, png: bytes | None = None, source: str = "a.jpg") -> list[EnrolledFace]:
    return [EnrolledFace(Embedding(vector, EMBEDDER), 0.5, source, png) for vector in vectors(count, seed)]


_OPEN: list[Gallery | sqlite3.Connection] = []


def opened(path: Path, **options: Any) -> Gallery:
    gallery = open_gallery(path, **{"embedder_id": EMBEDDER, "embedding_length": LENGTH, **options})
    _OPEN.append(gallery)
    return gallery


def close_all() -> None:
    """Whatever a test left open; Python 3.13 complains of connections that nobody closed."""
    while _OPEN:
        _OPEN.pop().close()


def members(count: int) -> list[Member]:
    return [Member(Identity(f"id{number}", f"Name {number}")) for number in range(count)]


class Clock:
    """Unix seconds that stand still until told otherwise."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def raw(path: Path) -> sqlite3.Connection:
    """A connection behind the gallery's back."""
    connection = sqlite3.connect(path, isolation_level=None)
    _OPEN.append(connection)
    connection.execute("PRAGMA foreign_keys = ON")
    return connection


def everything(path: Path) -> bytes:
    """All bytes of the database and of what lies beside it.

    Read by another process: to close the file in this one would drop the locks of its open galleries.
    """
    beside = [str(one) for one in sorted(path.parent.glob(f"*{path.name}*"))]
    return subprocess.run(["cat", *beside], check=True, stdout=subprocess.PIPE).stdout
