"""From pictures to enrolments: what is taken, what is refused and why, and whom the new person resembles."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from edge.config.settings import Enrol
from edge.datatypes import Floats, Image, Quality, ReadFace
from edge.errors import EnrolmentRefusedError, PictureError, UsageError
from edge.gallery.records import MAX_SOURCE, EnrolledFace, IdentityRecord
from edge.gallery.search import Index
from edge.gallery.similar import Likeness, likenesses
from edge.gallery.store import Gallery
from edge.interfaces import FaceReader

BYSTANDER = 0.4
"""A second face does not count while its longer side is less than this part of the largest face's."""
UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture that is read when its turn comes; `load` may raise PictureError."""

    path: str
    load: Callable[[], Image]


@dataclass(frozen=True, slots=True, eq=False)
class Accepted:
    """A picture that was taken."""

    path: str
    face: EnrolledFace
    quality: Quality


@dataclass(frozen=True, slots=True)
class Refused:
    """A picture that was not; `reason` is one of EnrolmentRefusedError's, or `unreadable`."""

    path: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Warned:
    """A picture that was taken although something about it is remarkable."""

    path: str
    likeness: Likeness


@dataclass(frozen=True, slots=True)
class EnrolmentResult:
    """What became of every picture; `identity` is None when none was taken (and nothing was written)."""

    accepted: list[Accepted] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    warnings: list[Warned] = field(default_factory=list)
    identity: IdentityRecord | None = None


def choose_face(faces: Sequence[ReadFace], settings: Enrol, where: str = "") -> ReadFace:
    """The one face that a picture is about, good enough to enrol; EnrolmentRefusedError."""
    if not faces:
        hint = "Use a picture that shows the whole face, from the front, well lit."
        raise EnrolmentRefusedError("no_face", "no face found", where=where, expected="one face", hint=hint)
    largest, *others = sorted(faces, key=lambda face: face.detection.box.side, reverse=True)
    side = largest.detection.box.side
    rivals = [face for face in others if face.detection.box.side >= BYSTANDER * side]
    if rivals:
        raise EnrolmentRefusedError(
            "several_faces",
            f"{1 + len(rivals)} faces of {side:.0f} px and {rivals[0].detection.box.side:.0f} px",
            where=where,
            expected=f"one face, others under {BYSTANDER:g} of its size",
            hint="Cut the picture to the person who is meant.",
        )
    check_quality(largest.quality, settings, where)
    return largest


def check_quality(quality: Quality, settings: Enrol, where: str) -> None:
    """Refuse a face that would make a bad enrolment; EnrolmentRefusedError says why."""
    checks = (
        ("too_small", "face of {:.0f} px", quality.size_px, settings.min_face_px, "min_face_px", "Come closer."),
        ("too_blurred", "sharpness {:.2f}", quality.sharpness, settings.min_sharpness, "min_sharpness", "Hold still, in better light."),
        ("turned_away", "frontality {:.2f}", quality.frontality, settings.min_frontality, "min_frontality", "Look at the camera."),
    )  # fmt: skip
    for reason, problem, found, least, key, advice in checks:
        # So written, NaN is refused.
        if not found >= least:
            raise EnrolmentRefusedError(
                reason,
                problem.format(found),
                where=where,
                expected=f"at least {least:g}",
                hint=f"{advice} enrol.{key} sets the limit.",
            )


class Enroller:
    """Takes pictures of one person, one after the other; nothing is written."""

    def __init__(
        self,
        reader: FaceReader,
        settings: Enrol,
        index: Index,
        *,
        own_id: str | None,
        threshold: float,
        refused: tuple[str, ...] = ("duplicate",),
    ) -> None:
        """`index` holds everyone enrolled; `own_id` is the person's id, None for a new one; `threshold` a similarity.

        `refused` are the kinds of Likeness that refuse a picture; the others are warned of.
        """
        self._refused = refused
        self._reader = reader
        self._settings = settings
        self._index = index
        self._own_id = own_id
        self._threshold = threshold
        self._taken: list[Floats] = []

    def take(self, path: str, image: Image) -> tuple[Accepted, list[Warned]]:
        """One picture; EnrolmentRefusedError."""
        found = choose_face(self._reader.faces(image), self._settings, path)
        vector = found.embedding.vector
        alike = likenesses(self._index, vector, own_id=self._own_id, own=self._taken, threshold=self._threshold)
        for likeness in alike:
            if likeness.kind in self._refused:
                raise EnrolmentRefusedError(likeness.kind, likeness.message, where=path, hint="Use another picture.")
        self._taken.append(vector)
        return self._accepted(path, found), [Warned(path, likeness) for likeness in alike]

    def _accepted(self, path: str, found: ReadFace) -> Accepted:
        png = encode_png(found.aligned.image) if self._settings.keep_aligned else None
        source = path.encode("utf-8", "backslashreplace").decode().replace("\0", "")[-MAX_SOURCE:]
        score = min(1.0, max(0.0, found.quality.score))
        template = "" if png is None else found.aligned.template
        return Accepted(path, EnrolledFace(found.embedding, score, source, png, template), found.quality)


def assess_pictures(enroller: Enroller, pictures: Iterable[Picture]) -> EnrolmentResult:
    """What would become of every picture."""
    result = EnrolmentResult()
    for picture in pictures:
        try:
            accepted, warnings = enroller.take(picture.path, picture.load())
        except EnrolmentRefusedError as error:
            result.refused.append(Refused(picture.path, error.reason, str(error)))
        except PictureError as error:
            result.refused.append(Refused(picture.path, UNREADABLE, str(error)))
        else:
            result.accepted.append(accepted)
            result.warnings.extend(warnings)
    return result


def enrol_pictures(
    gallery: Gallery,
    who: str,
    pictures: Iterable[Picture],
    reader: FaceReader,
    settings: Enrol,
    *,
    threshold: float,
    note: str | None = None,
    consent: str | None = None,
    and_then: Callable[[IdentityRecord], None] | None = None,
) -> EnrolmentResult:
    """Enrol the good ones of `pictures` as `who` (id or name; a new name makes a new identity), in one transaction.

    `threshold` is the similarity of the operating point in use, for warnings of look-alikes. `and_then` may change the
    identity further before anyone sees it. UsageError for a bad or ambiguous name, and without consent where that is
    required; GalleryError when the gallery cannot be read or written; then nobody is enrolled.
    """
    known = gallery.find(who)
    own_id = None if known is None else known.id
    # Before anybody is asked to look into a camera.
    gallery.check_consent(consent if consent is not None else "" if known is None else known.consent)
    enroller = Enroller(reader, settings, gallery.load_index(everyone=True), own_id=own_id, threshold=threshold)
    result = assess_pictures(enroller, pictures)
    if not result.accepted:
        return result
    faces = [accepted.face for accepted in result.accepted]
    with gallery.change():
        record = gallery.enrol(who if own_id is None else own_id, faces, note=note, consent=consent)
        if and_then is not None:
            and_then(record)
        record = gallery.get(record.id)
    return EnrolmentResult(result.accepted, result.refused, result.warnings, record)


def encode_png(image: Image) -> bytes:
    """BGR uint8 as PNG; UsageError where it cannot be."""
    import cv2

    done, data = cv2.imencode(".png", image)
    if not done:
        raise UsageError(f"an aligned face of {image.shape} cannot be kept as PNG")
    return data.tobytes()
