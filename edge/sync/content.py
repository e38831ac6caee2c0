"""Content of an identity: from a gallery into what is published, and from there into a gallery; everything checked."""

from __future__ import annotations

import base64
from collections.abc import Sequence

import numpy as np

from edge.commands.refusal import RefusedError
from edge.datatypes import Embedding
from edge.errors import UsageError
from edge.gallery.embeddings import LITTLE_ENDIAN, encode_vector
from edge.gallery.embeddings import decode_vector as embedding_of
from edge.gallery.encryption.sealing import Sealer
from edge.gallery.records import (
    EnrolledFace,
    IdentityRecord,
    check_validity,
    clean_name,
    clean_note,
    clean_schedule,
    clean_slugs,
)
from edge.gallery.replica import Enrolled
from edge.gallery.rows import MAX_LENGTH
from edge.sync.message import Content, Picture, Said, decode_vector, parse_content
from edge.sync.secrets import unseal


def content_of(record: IdentityRecord, faces: Sequence[EnrolledFace]) -> Content:
    """What is published of somebody: no picture, no word of consent, nor where pictures came from. UsageError."""
    try:
        return Content(
            record.name, record.note, bool(record.consent.strip()), record.enabled, record.groups, record.zones,
            record.schedule, record.valid_from, record.valid_until, tuple(_picture(face) for face in faces),
        )  # fmt: skip
    except ValueError as error:
        problem, _, expected = str(error).partition("; expected ")
        raise UsageError(f"{record.name} cannot be published: {problem}", expected=expected) from error


def _picture(face: EnrolledFace) -> Picture:
    vectors = {one.embedder_id: base64.b64encode(encode_vector(one)).decode() for one in face.embeddings}
    return Picture(round(face.quality, 4), dict(sorted(vectors.items())))


def opened(said: Said, topic: str, sealer: Sealer | None) -> Content:
    """The content of what was said on `topic`; RefusedError `no_secret` or `malformed`."""
    if said.sealed is not None:
        return parse_content(unseal(sealer, topic, said.revision, said.sealed))
    assert said.content is not None  # noqa: S101 - a removal has none
    return said.content


def enrolled_of(content: Content, embedder_id: str) -> Enrolled:
    """For a gallery in which `embedder_id` is in use; RefusedError `malformed`."""
    try:
        check_validity(content.valid_from, content.valid_until)
        return Enrolled(
            clean_name(content.name),
            tuple(_face(picture, embedder_id) for picture in content.pictures),
            note=clean_note(content.note), has_consent=content.has_consent, enabled=content.enabled,
            groups=clean_slugs(content.groups, "group"), zones=clean_slugs(content.zones, "zone"),
            schedule=clean_schedule(content.schedule),
            valid_from=None if content.valid_from is None else float(content.valid_from),
            valid_until=None if content.valid_until is None else float(content.valid_until),
        )  # fmt: skip
    except UsageError as error:
        raise RefusedError("malformed", error.problem) from None


def _face(picture: Picture, embedder_id: str) -> EnrolledFace:
    # The one in use first: that is what a gallery calls the embedding of a face.
    ids = sorted(picture.embeddings, key=lambda one: (one != embedder_id, one))
    first, *others = (_embedding(one, picture.embeddings[one]) for one in ids)
    return EnrolledFace(first, picture.quality, others=tuple(others))


def _embedding(embedder_id: str, text: str) -> Embedding:
    blob = decode_vector(text)
    if not 2 <= len(blob) // LITTLE_ENDIAN.itemsize <= MAX_LENGTH:
        raise RefusedError("malformed", f"an embedding of {len(blob)} bytes")
    try:
        with np.errstate(all="ignore"):
            return embedding_of(blob, embedder_id)
    except ValueError as error:
        raise RefusedError("malformed", str(error)) from None
