"""Embeddings that no bundle of this box needs any more are taken away: what serves nobody is not kept of anybody."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from edge.bundle import load_bundle
from edge.bundle.slots import Slots
from edge.bundle.store import BundleStore
from edge.config.settings import Settings
from edge.gallery.embedders import StoredEmbedder, read_embedders
from edge.gallery.opening import gallery_of
from edge.gallery.store import Gallery
from edge.paths import gallery_file
from edge.reader import bundle_folder


@dataclass(frozen=True, slots=True)
class Pruned:
    """What a call took away, or would take away."""

    removed: dict[str, int]
    """Embedder -> embeddings."""
    left: dict[str, int]
    """Embeddings of embedders that are not needed, but nothing else is there of those pictures: to be embedded again."""
    is_scrubbed: bool = True
    """False while a reader of another process keeps old pages of the file alive: `ostiary gallery retain` does the rest."""


def needed_embedders(settings: Settings) -> frozenset[str]:
    """Of the bundle in use and, where there are several, of the one that a rollback goes to. BundleError."""
    if settings.bundle is not None or settings.bundles is None:
        return frozenset({load_bundle(bundle_folder(settings)).manifest.embedder.embedder_id})
    slots = Slots(BundleStore(settings.bundles))
    folders = [None if name is None else slots.store.folder(name) for name in slots.needed()]
    return frozenset(load_bundle(folder).manifest.embedder.embedder_id for folder in folders)


def prune(settings: Settings, keep: Collection[str], *, dry_run: bool = False) -> Pruned:
    """Erase embeddings of every embedder but those, and rewrite the file.

    Nobody is lost by it: where a picture has embeddings of none of these, it keeps what it has. ValueError for no
    embedder, GalleryError.
    """
    if not keep:
        raise ValueError("keep: expected at least one embedder")
    if not gallery_file(settings).exists():
        return Pruned({}, {})
    with gallery_of(settings) as gallery:
        return prune_from(gallery, keep, dry_run=dry_run)


def prune_from(gallery: Gallery, keep: Collection[str], *, dry_run: bool = False) -> Pruned:
    """The same for an open gallery, of whichever embedder."""
    with gallery.change() as connection:
        known = read_embedders(connection)
        kept = [one for one in known if one.embedder_id in keep]
        others = [one for one in known if one not in kept] if kept else []
        removed = {one.embedder_id: _superfluous(connection, one, kept) for one in others}
        left = {one.embedder_id: one.embeddings - removed[one.embedder_id] for one in others}
        if not dry_run:
            for one in others:
                _take(connection, one, kept, is_all=not left[one.embedder_id])
            if any(removed.values()):
                gallery.note(connection, "embedder_pruned", embeddings=sum(removed.values()))
    is_scrubbed = dry_run or not any(removed.values()) or gallery.scrub()
    return Pruned(_some(removed), _some(left), is_scrubbed=is_scrubbed)


_CONDITION = (
    "embedder = (SELECT number FROM embedders WHERE embedder_id = ?) AND enrolment_id IN (SELECT o.enrolment_id"
    " FROM embeddings o JOIN embedders r ON r.number = o.embedder WHERE r.embedder_id IN ({kept}))"
)


def _superfluous(connection: sqlite3.Connection, one: StoredEmbedder, kept: Sequence[StoredEmbedder]) -> int:
    asked = f"SELECT count(*) FROM embeddings WHERE {_condition(kept)}"  # noqa: S608 - question marks
    return int(connection.execute(asked, _values(one, kept)).fetchone()[0])


def _take(connection: sqlite3.Connection, one: StoredEmbedder, kept: Sequence[StoredEmbedder], *, is_all: bool) -> None:
    connection.execute(f"DELETE FROM embeddings WHERE {_condition(kept)}", _values(one, kept))  # noqa: S608 - question marks
    if is_all:
        # The gallery is refused to its bundles from now on, until everybody is embedded for it again.
        connection.execute("DELETE FROM embedders WHERE embedder_id = ?", (one.embedder_id,))


def _condition(kept: Sequence[StoredEmbedder]) -> str:
    """Embeddings of one embedder, beside which the same enrolment has one of these."""
    return _CONDITION.format(kept=", ".join("?" * len(kept)))


def _values(one: StoredEmbedder, kept: Sequence[StoredEmbedder]) -> tuple[str, ...]:
    return (one.embedder_id, *(other.embedder_id for other in kept))


def _some(counts: dict[str, int]) -> dict[str, int]:
    return {name: count for name, count in counts.items() if count}
