"""The export file: gzip of JSON lines, each with its `kind`.

{"kind": "gallery", "schema": 3, "embedder_id": ..., "embedding_length": ..., "identities": N, "embeddings": M, ...}
{"kind": "synced", "origin": ..., "revision": ..., ...}     what groups have said of people
{"kind": "identity", "id": ..., "name": ..., ...}           N times, each followed by its
{"kind": "embedding", "vector": base64 of float32, ...}     M enrolments in all
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
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from edge.datatypes import Embedding
from edge.errors import GalleryError, UsageError
from edge.gallery.archive_lines import SCHEMA_VERSION, EmbeddingLine, EndLine, Header, IdentityLine, SyncedLine
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
from edge.gallery.synced import State, Synced
from edge.validation import build

MAX_LINE_BYTES = MAX_FACE_BYTES * 4 // 3 + 100_000
SMALL_BYTES = 16_000_000
MAX_RATIO = 100
"""Embeddings hardly shrink: a large file that grows more than so is made to fill the disk."""
_COPY_AGAIN = "Nothing was imported. Make the export again, or copy it again."


@dataclass(frozen=True, slots=True, eq=False)
class ReadFace:
    """An embedding from the file, and when it was added (Unix seconds)."""

    face: EnrolledFace
    added_at: float


_KINDS: dict[str, type] = {
    "gallery": Header,
    "synced": SyncedLine,
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

    def items(self) -> Iterator[Synced | IdentityRecord | ReadFace]:
        """What groups have said, then every identity, each followed by its enrolments; at the end counts and digest are checked."""
        counts: Counter[type] = Counter()
        while True:
            before = self._digest.hexdigest()
            item = self._read_item()
            if isinstance(item, EndLine):
                break
            counts[type(item)] += 1
            yield self._item(item, counts)
            self._check_counts(counts, is_end=False)
        self._check_counts(counts, is_end=True)
        if item.sha256 != before:
            raise self.fault(f"SHA-256 {before} of the lines before", item.sha256)
        if self._raw_line():
            raise self.fault("more after the end", "nothing")

    def _item(self, item: object, counts: Counter[type]) -> Synced | IdentityRecord | ReadFace:
        if isinstance(item, IdentityLine):
            return self._record(item)
        if isinstance(item, EmbeddingLine):
            if not counts[IdentityLine]:
                raise self.fault("an embedding before any identity", "an identity")
            return self._face(item)
        if isinstance(item, SyncedLine):
            if counts[IdentityLine]:
                raise self.fault("a word of a group behind an identity", "all of them before")
            return Synced(item.origin, item.identity_id, item.revision, cast("State", item.state))
        raise self.fault("a second header", "an identity, an embedding or the end")

    def _check_counts(self, counts: Counter[type], *, is_end: bool) -> None:
        header = self.header
        wanted = (header.identities, header.embeddings, header.synced)
        found = (counts[IdentityLine], counts[EmbeddingLine], counts[SyncedLine])
        if found != wanted if is_end else any(one > most for one, most in zip(found, wanted, strict=True)):
            of_groups = f", and {found[2]} of groups" if found[2] != wanted[2] else ""
            text = f"{found[0]} identities and {found[1]} embeddings{of_groups}"
            also = f", and {wanted[2]}" if of_groups else ""
            raise self.fault(text, f"{wanted[0]} and {wanted[1]}{also}, as the header says")

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
        png = None if line.face is None else self._decoded(line.face)
        if len(line.source) > MAX_SOURCE:
            raise self.fault(f"source of {len(line.source)} characters", f"at most {MAX_SOURCE}")
        try:
            first = self._embedding(line.embedder or self.header.embedder_id, line.vector)
            others = tuple(self._embedding(*one) for one in line.others.items())
            face = EnrolledFace(first, line.quality, line.source, png, line.template, others)
        except ValueError as error:
            raise self.fault(str(error)) from error
        return ReadFace(face, line.added_at)

    def _embedding(self, embedder_id: str, text: str) -> Embedding:
        length = self.header.lengths.get(embedder_id)
        if length is None:
            raise self.fault(f"embedder {embedder_id[:64]!r}", f"one of {', '.join(self.header.lengths)}")
        blob = self._decoded(text)
        if len(blob) != length * LITTLE_ENDIAN.itemsize:
            raise self.fault(f"embedding of {len(blob)} bytes", f"{length} values of float32")
        return decode_vector(blob, embedder_id)

    def _decoded(self, text: str) -> bytes:
        try:
            return base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError) as error:
            raise self.fault(f"not base64 ({error})") from error


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
        embedder=face.embedding.embedder_id,
        others={one.embedder_id: base64.b64encode(encode_vector(one)).decode() for one in face.others},
        template="" if png is None else face.template,
    )
