"""What the gallery takes and gives, and what it accepts as a name or a moment."""

from __future__ import annotations

import datetime as dt
import math
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from edge.config.shapes import SLUG
from edge.datatypes import Access, Embedding, Identity
from edge.errors import UsageError

MAX_NAME = 200
MAX_NOTE = 2000
MAX_SOURCE = 1000
MAX_SCHEDULE = 1000
MAX_GROUPS = 50
MAX_FACE_BYTES = 1_000_000
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_JOINERS = "\u200c\u200d"
"""Names in Persian and in Indian scripts are written with these two, which are not "printable" by Unicode."""


@dataclass(frozen=True, slots=True, eq=False)
class EnrolledFace:
    """One embedding on its way into the gallery."""

    embedding: Embedding
    quality: float
    """0 to 1."""
    source: str = ""
    """Where the picture came from; for people."""
    face_png: bytes | None = None
    """The aligned face as PNG, only where configuration lets it be kept."""
    template: str = ""
    """Alignment template of the kept face; empty where an older version kept it, and for none."""
    others: tuple[Embedding, ...] = ()
    """Of the same face by other embedders."""

    @property
    def embeddings(self) -> tuple[Embedding, ...]:
        """Of every embedder, that of the one in use first."""
        return (self.embedding, *self.others)

    def __post_init__(self) -> None:
        if len({one.embedder_id for one in self.embeddings}) < len(self.embeddings):
            raise ValueError("embeddings: expected one of each embedder")
        if not 0 <= self.quality <= 1:
            raise ValueError(f"quality: expected 0 to 1, got {self.quality}")
        if len(self.source) > MAX_SOURCE:
            raise ValueError(f"source: expected at most {MAX_SOURCE} characters, got {len(self.source)}")
        if not is_storable(self.source):
            raise ValueError(f"source: expected text, got {self.source[:50]!r}")
        if self.face_png is not None:
            check_png(self.face_png)


@dataclass(frozen=True, slots=True)
class IdentityRecord:
    """Everything that the gallery knows of one identity, but for its embeddings. Times are Unix seconds."""

    id: str
    name: str
    note: str
    enabled: bool
    valid_from: float | None
    valid_until: float | None
    created_at: float
    updated_at: float
    embeddings: int = 0
    """How many of the embedder in use: with none the identity is not matched."""
    faces: int = 0
    """How many aligned faces were kept."""
    consent: str = ""
    """How and when the person agreed; free text."""
    groups: tuple[str, ...] = ()
    zones: tuple[str, ...] = ()
    schedule: str = ""
    origin: str = ""
    """Name of the group whose publisher enrolled the person; empty for who was enrolled here."""
    enrolments: int = 0
    """How many pictures somebody was enrolled from; each has an embedding of one embedder or of several."""
    stored: int = 0
    """Embeddings of all embedders."""

    @property
    def is_lacking(self) -> bool:
        """Enrolled, but without any embedding of the embedder in use: never matched."""
        return bool(self.enrolments) and not self.embeddings

    @property
    def access(self) -> Access:
        """What limits the identity."""
        begin = -math.inf if self.valid_from is None else self.valid_from
        end = math.inf if self.valid_until is None else self.valid_until
        return Access(self.groups, self.zones, self.schedule, begin, end)

    @property
    def identity(self) -> Identity:
        """What matches carry."""
        return Identity(self.id, self.name)

    def is_active(self, now: float) -> bool:
        """Enabled, and `now` (Unix seconds) is within [valid_from, valid_until)."""
        return self.enabled and (self.valid_from or -math.inf) <= now < (
            math.inf if self.valid_until is None else self.valid_until
        )


@dataclass(frozen=True, slots=True)
class Member:
    """An identity in an Index."""

    identity: Identity
    access: Access = Access()


@dataclass(frozen=True, slots=True)
class Actor:
    """Who changes the gallery, for the audit log."""

    kind: str
    """`local` for a command on the box, `mqtt` for one that was sent, `sync` for people published elsewhere, `daemon` for what
    happens by itself."""
    name: str = ""
    """User of the box, or name of the key."""
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class Erased:
    """What `Gallery.remove` took away."""

    identity: Identity
    embeddings: int
    """Of all embedders."""
    faces: int
    is_scrubbed: bool
    """False while a reader of another process keeps old pages of the file alive: call `Gallery.scrub` later."""
    origin: str = ""
    """Name of the group that published the person, and from which this box takes the identity no more."""


def clean_name(name: str) -> str:
    """Trimmed and in Unicode's NFC; UsageError unless 1 to 200 printable characters remain."""
    cleaned = unicodedata.normalize("NFC", name).strip()
    bad = next((char for char in cleaned if not char.isprintable() and char not in _JOINERS), None)
    if bad is not None:
        raise UsageError(f"name {cleaned[:50]!r} has the character U+{ord(bad):04X}", expected="printable characters")
    if not 1 <= len(cleaned.strip(_JOINERS)) <= len(cleaned) <= MAX_NAME:
        raise UsageError(f"name of {len(cleaned)} characters", expected=f"1 to {MAX_NAME}")
    return cleaned


def is_storable(text: str) -> bool:
    """Whether UTF-8 has it: not the lone surrogates with which Python reads odd file names."""
    return not any("\ud800" <= char <= "\udfff" for char in text) and "\0" not in text


def clean_note(note: str, what: str = "note") -> str:
    """UsageError for a note (or what `what` says) that is too long or that SQLite cannot keep."""
    if len(note) > MAX_NOTE:
        raise UsageError(f"{what} of {len(note)} characters", expected=f"at most {MAX_NOTE}")
    if not is_storable(note):
        raise UsageError(f"{what} has a character that is not text", expected="text")
    return note


def clean_slugs(names: Sequence[str], what: str) -> tuple[str, ...]:
    """Names of groups or zones (`what` says which), each once, as given; UsageError for what cannot be one."""
    for name in names:
        if not re.fullmatch(SLUG, name):
            raise UsageError(f"{what} {name[:50]!r}", expected="letters, digits, - and _, such as night-shift")
    if len(names) > MAX_GROUPS:
        raise UsageError(f"{len(names)} names of a {what}", expected=f"at most {MAX_GROUPS}")
    return tuple(dict.fromkeys(names))


def clean_schedule(schedule: str) -> str:
    """Trimmed; UsageError unless it is as policy.groups has it, or empty."""
    from edge.policy.schedule import parse_schedule

    text = schedule.strip()
    if len(text) > MAX_SCHEDULE or not is_storable(text):
        raise UsageError(f"schedule of {len(text)} characters", expected=f"text of at most {MAX_SCHEDULE}")
    try:
        if text:
            parse_schedule(text)
    except ValueError as error:
        raise UsageError(
            f"schedule {text[:80]!r}: {error}", hint="Write `mon-fri 08:00-18:00; sat 09:00-13:00`."
        ) from error
    return text


def check_validity(valid_from: float | None, valid_until: float | None) -> None:
    """UsageError unless both are finite and in order."""
    for moment in (valid_from, valid_until):
        if moment is not None and not math.isfinite(moment):
            raise UsageError(f"moment {moment}", expected="Unix seconds")
    if valid_from is not None and valid_until is not None and valid_from >= valid_until:
        raise UsageError("valid_from is not before valid_until", expected="a span that begins before it ends")


def check_png(data: bytes) -> None:
    """ValueError unless `data` begins like a PNG and is of a sensible size."""
    if not data.startswith(PNG_SIGNATURE) or len(data) > MAX_FACE_BYTES:
        raise ValueError(f"face: expected a PNG of at most {MAX_FACE_BYTES} bytes, got {len(data)} bytes")


def parse_moment(text: str) -> float:
    """`2026-01-31` or `2026-01-31T23:59:59Z` (ISO 8601; UTC where no offset is given) to Unix seconds; UsageError."""
    hint = "Write 2026-01-31 or 2026-01-31T18:00:00+01:00."
    try:
        moment = dt.datetime.fromisoformat(text.strip()[:40])
    except ValueError as error:
        raise UsageError(f"{text[:50]!r} is no date", expected="ISO 8601", hint=hint) from error
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=dt.UTC)
    # Python reads a long row of digits as a date, too.
    if not moment.year >= 1970 or len(text.strip()) > 40:
        raise UsageError(f"{text[:50]!r} is no date", expected="ISO 8601, from 1970 on", hint=hint)
    return moment.timestamp()
