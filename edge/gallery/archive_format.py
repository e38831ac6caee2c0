"""The export file: gzip of JSON lines, each with its `kind`.

{"kind": "gallery", "schema": 2, "embedder_id": ..., "embedding_length": ..., "identities": N, "embeddings": M, ...}
{"kind": "identity", "id": ..., "name": ..., ...}           N times, each followed by its
{"kind": "embedding", "vector": base64 of float32, ...}     M in all
{"kind": "end", "sha256": digest of all bytes before this line}
"""

from __future__ import annotations

import base64
import binascii
import gzip
import hashlib
import json
import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from edge.errors import GalleryError, UsageError
from edge.gallery.embeddings import LITTLE_ENDIAN, decode_vector, encode_vector
from edge.gallery.records import (
    MAX_FACE_BYTES,
    MAX_SOURCE,
    EnrolledFace,
    IdentityRecord,
    check_validity,
    clean_name,
    clean_note,
    clean_schedule,
    clean_slugs,
)
from edge.validation import build, setting

SCHEMA_VERSION = 2
"""Version 2 added consent, groups, zones and schedule of an identity."""
MAX_IDENTITIES = 1_000_000
MAX_EMBEDDINGS = 1_000_000
MAX_LINE_BYTES = MAX_FACE_BYTES * 4 // 3 + 100_000
SMALL_BYTES = 16_000_000
MAX_RATIO = 100
"""Embeddings hardly shrink: a large file that grows more than so is made to fill the disk."""
_LATEST_S = 253402300800.0
"""The year 10000."""
_COPY_AGAIN = "Nothing was imported. Make the export again, or copy it again."


@dataclass(frozen=True, slots=True)
class Header:
    """First line."""

    schema: int = setting(doc="version of this format", choices=(1, SCHEMA_VERSION))
    embedder_id: str = setting(doc="what the embeddings belong to", pattern=r"\S{1,64}")
    embedding_length: int = setting(doc="values in an embedding", minimum=2, maximum=4096)
    identities: int = setting(doc="how many follow", minimum=0, maximum=MAX_IDENTITIES)
    embeddings: int = setting(doc="how many follow in all", minimum=0, maximum=MAX_EMBEDDINGS)
    has_faces: bool = setting(doc="whether aligned faces are in here")
    exported_at: float = setting(doc="Unix seconds", minimum=0, maximum=_LATEST_S)


@dataclass(frozen=True, slots=True)
class IdentityLine:
    """One identity."""

    id: str = setting(doc="ULID", pattern=r"[0-7][0-9A-HJKMNP-TV-Z]{25}")
    name: str = setting(doc="printable")
    note: str = setting(doc="free text")
    enabled: bool = setting(doc="whether it is matched")
    valid_from: float | None = setting(doc="Unix seconds")
    valid_until: float | None = setting(doc="Unix seconds")
    created_at: float = setting(doc="Unix seconds")
    updated_at: float = setting(doc="Unix seconds")
    consent: str = setting("", doc="how and when the person agreed")
    groups: tuple[str, ...] = setting((), doc="names of groups")
    zones: tuple[str, ...] = setting((), doc="names of zones")
    schedule: str = setting("", doc="as policy.groups has it")


@dataclass(frozen=True, slots=True)
class EmbeddingLine:
    """One embedding of the identity before it."""

    vector: str = setting(doc="base64 of little-endian float32")
    quality: float = setting(doc="0 to 1", minimum=0, maximum=1)
    source: str = setting(doc="where it came from")
    added_at: float = setting(doc="Unix seconds")
    face: str | None = setting(doc="base64 of a PNG")


@dataclass(frozen=True, slots=True)
class EndLine:
    """Last line."""

    sha256: str = setting(doc="digest of all lines before", pattern=r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, eq=False)
class ReadFace:
    """An embedding from the file, and when it was added (Unix seconds)."""

    face: EnrolledFace
    added_at: float


_KINDS: dict[str, type] = {
    "gallery": Header,
    "identity": IdentityLine,
    "embedding": EmbeddingLine,
    "end": EndLine,
}


class LineReader:
    """Lines of an export, each checked as far as it can be alone; GalleryError names the line."""

    def __init__(self, path: Path, handle: IO[bytes]) -> None:
        self._path = path
        self._limit = max(SMALL_BYTES, MAX_RATIO * os.fstat(handle.fileno()).st_size)
        self._stream = gzip.GzipFile(fileobj=handle, mode="rb")
        self._digest = hashlib.sha256()
        self._bytes = 0
        self._line = 0
        self.header = self._read_header()

    def fault(self, problem: str, expected: str = "", hint: str = _COPY_AGAIN) -> GalleryError:
        """What is wrong with the line read last."""
        return GalleryError(problem, where=f"{self._path}, line {self._line}", expected=expected, hint=hint)

    def items(self) -> Iterator[IdentityRecord | ReadFace]:
        """Every identity, each followed by its embeddings; at the end counts and digest are checked."""
        identities = embeddings = 0
        while True:
            before = self._digest.hexdigest()
            item = self._read_item()
            if isinstance(item, EndLine):
                break
            if isinstance(item, IdentityLine):
                identities += 1
                yield self._record(item)
            elif isinstance(item, EmbeddingLine):
                embeddings += 1
                if not identities:
                    raise self.fault("an embedding before any identity", "an identity")
                yield self._face(item)
            else:
                raise self.fault("a second header", "an identity, an embedding or the end")
            self._check_counts(identities, embeddings, is_end=False)
        self._check_counts(identities, embeddings, is_end=True)
        if item.sha256 != before:
            raise self.fault(f"SHA-256 {before} of the lines before", item.sha256)
        if self._raw_line():
            raise self.fault("more after the end", "nothing")

    def _check_counts(self, identities: int, embeddings: int, *, is_end: bool) -> None:
        wanted = (self.header.identities, self.header.embeddings)
        found = (identities, embeddings)
        if found != wanted if is_end else (found[0] > wanted[0] or found[1] > wanted[1]):
            text = f"{found[0]} identities and {found[1]} embeddings"
            raise self.fault(text, f"{wanted[0]} and {wanted[1]}, as the header says")

    def _read_header(self) -> Header:
        item = self._read_item()
        if not isinstance(item, Header):
            raise self.fault("no header", "a gallery exported by ostiary")
        return item

    def _read_item(self) -> Any:
        raw = self._raw_line()
        if not raw:
            raise self.fault("the file ends", "a line of kind 'end'")
        try:
            data = json.loads(raw, parse_constant=_refuse_constant)
        except (ValueError, RecursionError) as error:
            raise self.fault(f"not JSON ({str(error)[:80]})", "one JSON object a line") from error
        kind = data.pop("kind", None) if isinstance(data, dict) else None
        if not isinstance(kind, str) or kind not in _KINDS:
            raise self.fault(f"kind {str(kind)[:40]!r}", f"one of {', '.join(_KINDS)}")
        self._refuse_newer(kind, data.get("schema"))
        made, faults = build(_KINDS[kind], data, kind)
        if faults:
            raise self.fault("; ".join(map(str, faults[:5])))
        return made

    def _refuse_newer(self, kind: str, schema: object) -> None:
        if kind == "gallery" and isinstance(schema, int) and schema > SCHEMA_VERSION:
            hint = "Nothing was imported. Update ostiary on this box."
            raise self.fault(f"export of schema {schema}, from a newer version", f"schema {SCHEMA_VERSION}", hint)

    def _raw_line(self) -> bytes:
        self._line += 1
        try:
            raw = self._stream.readline(MAX_LINE_BYTES + 1)
        except (EOFError, OSError, zlib.error) as error:
            raise self.fault(f"cut off or no gzip file ({str(error)[:80]})", "a gallery exported by ostiary") from error
        self._bytes += len(raw)
        if len(raw) > MAX_LINE_BYTES:
            raise self.fault("line too long", f"at most {MAX_LINE_BYTES} bytes")
        if self._bytes > self._limit:
            raise self.fault(f"grows to more than {self._limit} bytes", f"at most {MAX_RATIO} times the file")
        self._digest.update(raw)
        return raw

    def _record(self, line: IdentityLine) -> IdentityRecord:
        values = {name: getattr(line, name) for name in IdentityLine.__dataclass_fields__}
        try:
            check_validity(line.valid_from, line.valid_until)
            if clean_name(line.name) != line.name:
                raise self.fault(f"name {line.name[:50]!r}", "a trimmed name in NFC")
            cleaned = {
                "note": clean_note(line.note), "consent": clean_note(line.consent, "consent"),
                "groups": clean_slugs(line.groups, "group"), "zones": clean_slugs(line.zones, "zone"),
                "schedule": clean_schedule(line.schedule),
            }  # fmt: skip
            return IdentityRecord(**{**values, **cleaned})
        except UsageError as error:
            raise self.fault(error.problem, error.expected) from error

    def _face(self, line: EmbeddingLine) -> ReadFace:
        try:
            blob = base64.b64decode(line.vector, validate=True)
            png = None if line.face is None else base64.b64decode(line.face, validate=True)
        except (binascii.Error, ValueError) as error:
            raise self.fault(f"not base64 ({error})") from error
        if len(blob) != self.header.embedding_length * LITTLE_ENDIAN.itemsize:
            raise self.fault(f"embedding of {len(blob)} bytes", f"{self.header.embedding_length} values of float32")
        if len(line.source) > MAX_SOURCE:
            raise self.fault(f"source of {len(line.source)} characters", f"at most {MAX_SOURCE}")
        try:
            embedding = decode_vector(blob, self.header.embedder_id)
            return ReadFace(EnrolledFace(embedding, line.quality, line.source, png), line.added_at)
        except ValueError as error:
            raise self.fault(str(error)) from error


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is no number in JSON")


def encode_line(kind: str, **values: Any) -> bytes:
    """One line with its line break."""
    return json.dumps({"kind": kind, **values}, allow_nan=False, separators=(",", ":")).encode() + b"\n"


def encode_face(face: EnrolledFace, added_at: float, *, include_face: bool) -> bytes:
    """An EmbeddingLine."""
    png = face.face_png if include_face else None
    return encode_line(
        "embedding",
        vector=base64.b64encode(encode_vector(face.embedding)).decode(),
        quality=face.quality,
        source=face.source,
        added_at=added_at,
        face=None if png is None else base64.b64encode(png).decode(),
    )
