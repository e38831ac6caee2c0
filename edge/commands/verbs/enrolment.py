"""Verbs that enrol: from the camera before which somebody stands, and from pictures in the command."""

from __future__ import annotations

import base64
import binascii
from dataclasses import asdict, dataclass, field
from typing import Any

from edge.commands import arguments
from edge.commands.refusal import RefusedError
from edge.commands.request import Request
from edge.commands.verbs.people import check_groups, described, limit, moment
from edge.commands.work import Job, Result, Work
from edge.datatypes import Image
from edge.enrol import UNREADABLE, Accepted, Enroller, Warned
from edge.errors import EnrolmentRefusedError, PictureError
from edge.gallery import Gallery, IdentityRecord
from edge.gallery.records import check_validity
from edge.picture_header import HeaderFault, read_header
from edge.pictures import decode_picture
from edge.pipeline import FrameResult, thresholds_of
from edge.reader import PictureReader

PAUSE_S = 0.5
"""Between two frames, so that they differ and the stages get their turn."""
MAX_PIXELS = 16_000_000
"""Decoded in the thread that watches the door: 48 MB, and some tenths of a second on a small board."""
KEPT_REFUSALS = 20
"""The newest of them are told."""


def enrol(work: Work, request: Request) -> Job:
    """Whoever has the largest face in the coming frames; nothing is written before all are taken."""
    asked: arguments.Enrol = request.arguments
    return _FromCamera(_Enrolment(work, request, asked, refused=("duplicate", "unlike")), asked)


def enrol_picture(work: Work, request: Request) -> Job:
    """One picture between two frames each, so that the door is never left alone for long."""
    asked: arguments.EnrolPicture = request.arguments
    pictures = [_decoded_base64(text, number) for number, text in enumerate(asked.pictures, start=1)]
    return _FromPictures(_Enrolment(work, request, asked, refused=("duplicate",)), pictures)


def _decoded_base64(text: str, number: int) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise RefusedError("refused", f"picture {number} is no base64") from error


@dataclass(slots=True)
class _Told:
    """What became of the pictures, for the reply."""

    accepted: list[Accepted] = field(default_factory=list)
    warnings: list[dict[str, Any]] = field(default_factory=list)
    refused: list[dict[str, Any]] = field(default_factory=list)

    def refuse(self, number: int, reason: str, message: str) -> None:
        self.refused = [*self.refused, {"picture": number, "reason": reason, "message": message}][-KEPT_REFUSALS:]

    def result(self) -> dict[str, Any]:
        quality = [{name: round(value, 3) for name, value in asdict(row.quality).items()} for row in self.accepted]
        accepted = [
            {"picture": int(row.path.rpartition(" ")[2]), **values}
            for row, values in zip(self.accepted, quality, strict=True)
        ]
        return {"accepted": accepted, "refused": self.refused, "warnings": self.warnings}


class _Enrolment:
    """Takes one picture after the other, and writes at the end."""

    def __init__(
        self, work: Work, request: Request, asked: arguments.Enrol | arguments.EnrolPicture, *, refused: tuple[str, ...]
    ) -> None:
        """Refuses at once what would be refused at the end."""
        self._work, self._request, self._asked = work, request, asked
        check_groups(asked.groups, work.settings.policy)
        with work.changing(request) as gallery:
            known = gallery.get(asked.id) if asked.id is not None else gallery.find(asked.who)
            self._check(gallery, known)
            index = gallery.load_index(everyone=True)
        own_id = None if known is None else known.id
        point = thresholds_of(work.models.bundle, work.settings.decide.operating_point)
        self._enroller = Enroller(
            PictureReader(work.models), work.settings.enrol, index,
            own_id=own_id, threshold=point.recognized, refused=refused,
        )  # fmt: skip
        self._told = _Told()

    @property
    def taken(self) -> int:
        """Pictures so far."""
        return len(self._told.accepted)

    def _check(self, gallery: Gallery, known: IdentityRecord | None) -> None:
        asked = self._asked
        old = known.consent if known is not None else ""
        gallery.check_consent(old if asked.consent is None else asked.consent)
        begin = moment(asked.valid_from, None if known is None else known.valid_from)
        check_validity(begin, moment(asked.valid_until, None if known is None else known.valid_until))

    def take(self, kind: str, number: int, image: Image) -> None:
        """Look at one picture."""
        path = f"{kind} {number}"
        try:
            accepted, warnings = self._enroller.take(path, image)
        except EnrolmentRefusedError as error:
            self._told.refuse(number, error.reason, error.problem)
            return
        self._told.accepted.append(accepted)
        self._told.warnings += [_warned(number, row) for row in warnings]

    def refuse(self, number: int, error: PictureError) -> None:
        """A picture that cannot be read."""
        self._told.refuse(number, UNREADABLE, error.problem)

    def finish(self) -> Result:
        """Write what was taken; RefusedError `nobody_enrolled` when that is nothing."""
        told = self._told.result()
        if not self._told.accepted:
            raise RefusedError("nobody_enrolled", "no picture could be taken", result=told)
        with self._work.changing(self._request) as gallery:
            record = self._write(gallery)
            return {"id": record.id, "identity": described(record), **told, "revision": gallery.revision}

    def _write(self, gallery: Gallery) -> IdentityRecord:
        """Limits before faces: a crash in between must leave nobody who may enter without limits."""
        asked = self._asked
        faces = [row.face for row in self._told.accepted]
        known = gallery.get(asked.id) if asked.id is not None else gallery.find(asked.who)
        has_limits = any(
            value is not None
            for value in (asked.groups, asked.zones, asked.schedule, asked.valid_from, asked.valid_until)
        )
        if known is None and has_limits:
            made = gallery.add_identity(asked.who, note=asked.note or "", consent=asked.consent or "")
            known = gallery.get(made.id)
        if known is not None:
            limit(gallery, known, asked, self._work.settings.policy)
        return gallery.enrol(
            asked.who if known is None else known.id, faces, note=asked.note or None, consent=asked.consent or None
        )


def _warned(number: int, row: Warned) -> dict[str, Any]:
    return {"picture": number, "kind": row.likeness.kind, "message": row.likeness.message}


class _FromCamera:
    """Frames some time apart, until there are enough or the time is up."""

    def __init__(self, enrolment: _Enrolment, asked: arguments.Enrol) -> None:
        self._enrolment = enrolment
        self._asked = asked
        self._clock = enrolment._work.clock  # noqa: SLF001 - one module, one thing
        self._until_ns = self._clock.monotonic_ns() + int(asked.timeout_s * 1e9)
        self._due_ns = 0
        self._number = 0

    def seen(self, result: FrameResult) -> Result | None:
        if not result.tracks or result.frame.moment_ns < self._due_ns:
            return None
        self._due_ns = result.frame.moment_ns + int(PAUSE_S * 1e9)
        self._number += 1
        self._enrolment.take("camera", self._number, result.frame.image)
        return self._enrolment.finish() if self._enrolment.taken >= self._asked.count else None

    def tick(self) -> Result | None:
        if self._clock.monotonic_ns() < self._until_ns:
            return None
        return self._enrolment.finish()


class _FromPictures:
    """One a tick."""

    def __init__(self, enrolment: _Enrolment, pictures: list[bytes]) -> None:
        self._enrolment = enrolment
        self._left = list(enumerate(pictures, start=1))

    def seen(self, result: FrameResult) -> Result | None:  # noqa: ARG002 - the camera has no part in it
        return None

    def tick(self) -> Result | None:
        if not self._left:
            return self._enrolment.finish()
        number, data = self._left.pop(0)
        try:
            self._enrolment.take("picture", number, _decoded(data))
        except PictureError as error:
            self._enrolment.refuse(number, error)
        return None


def _decoded(data: bytes) -> Image:
    """As any picture, but no larger than what a door may spend on it, and of two formats alone."""
    try:
        header = read_header(data)
    except HeaderFault as fault:
        raise PictureError(fault.found, expected=fault.expected) from fault
    if header.format not in {"JPEG", "PNG"} or header.width * header.height > MAX_PIXELS:
        raise PictureError(
            f"a {header.format} picture of {header.width}x{header.height}",
            expected=f"JPEG or PNG of at most {MAX_PIXELS:,} pixels",
        )
    return decode_picture(data)
