"""Opening a gallery: the one place that knows where it lies, whose embedder it must be of, and with which keys."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from edge.bundle.manifest import Manifest
from edge.config.settings import Settings
from edge.gallery import database
from edge.gallery.embedders import StoredEmbedder, check_embedder, most_used
from edge.gallery.encryption.columns import Columns
from edge.gallery.encryption.keyring import check_keys, prove_keys
from edge.gallery.encryption.sealing import Sealer, sealer_of
from edge.gallery.store import Gallery
from edge.paths import gallery_file


def gallery_of(settings: Settings, manifest: Manifest | None = None, *, create: bool = True) -> Gallery:
    """The gallery that the settings name, opened with their keys.

    With a `manifest` its embedder is the one in use, and where there is no gallery an empty one is made unless `create`
    is off. Without, the embedder that has most embeddings is, to list, remove or export. GalleryError as `open_gallery`.
    """
    path, sealer = gallery_file(settings), sealer_of(settings)
    if manifest is None:
        gallery = open_any_gallery(path, sealer=sealer)
    else:
        spec = manifest.embedder
        gallery = open_gallery(
            path, embedder_id=spec.embedder_id, embedding_length=spec.embedding_length, create=create, sealer=sealer
        )
    gallery.require_consent = settings.privacy.require_consent
    return gallery


def open_gallery(
    path: Path,
    *,
    embedder_id: str,
    embedding_length: int,
    create: bool = True,
    read_only: bool = False,
    sealer: Sealer | None = None,
    busy_s: float = database.BUSY_S,
    connect: database.Connect = sqlite3.connect,
) -> Gallery:
    """Open the gallery at `path` for one embedder, making an empty one where there is none and `create` is on.

    Only embeddings of that embedder are used. Whoever has none is listed but not matched (`Index.lacking`); a gallery
    with people that does not know the embedder at all is refused: edge.gallery.reembedding brings it in.

    `busy_s` is how long to wait for another program's write. GalleryError (exit code 4): another embedder, damaged,
    from a newer version, of another program, encrypted with another key or not encrypted, locked, or not to be read or
    made. What is refused is left as it is, but for the version of its tables.
    """
    if create and not read_only and not database.exists(path):
        database.create_database(path, embedder_id, embedding_length, connect, Columns(sealer))
    wanted = StoredEmbedder(embedder_id, embedding_length)
    return _opened(path, wanted, read_only=read_only, sealer=sealer, busy_s=busy_s, connect=connect)


def open_any_gallery(
    path: Path,
    *,
    read_only: bool = False,
    sealer: Sealer | None = None,
    busy_s: float = database.BUSY_S,
    connect: database.Connect = sqlite3.connect,
) -> Gallery:
    """Open an existing gallery of whatever embedder, to list, remove or export; GalleryError as `open_gallery`."""
    return _opened(path, None, read_only=read_only, sealer=sealer, busy_s=busy_s, connect=connect)


def _opened(
    path: Path,
    wanted: StoredEmbedder | None,
    *,
    read_only: bool,
    sealer: Sealer | None,
    busy_s: float,
    connect: database.Connect,
) -> Gallery:
    connection = database.connect_database(path, connect, read_only=read_only, busy_s=busy_s)
    try:
        with database.translated(path):
            check_keys(connection, path, sealer)
            prove_keys(connection, sealer)
            embedder = most_used(connection) if wanted is None else wanted
            if wanted is not None:
                check_embedder(connection, path, wanted)
            return Gallery(path, connection, Columns(sealer), embedder)
    except BaseException:
        connection.close()
        raise
