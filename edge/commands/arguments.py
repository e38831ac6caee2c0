"""What each verb takes: the one declaration behind the checks on the device, the command line and the JSON Schema."""

from __future__ import annotations

from dataclasses import dataclass

from edge.config.shapes import SLUG
from edge.validation import setting

MAX_PICTURE_COMMAND_BYTES = 1_048_576
"""A signed command with pictures: five faces of 150 KB, and a third more for base64."""
_WHO = "Id or name of somebody who is enrolled."
_TEXT = r"[^\x00]{1,200}"
_LONG = r"[^\x00]{0,2000}"
_MOMENT = r"[0-9TtZz:+. -]{0,40}"
_NOW = "2026-01-31T18:00:00+01:00"


@dataclass(frozen=True, slots=True)
class Nothing:
    """A verb without arguments."""


@dataclass(frozen=True, slots=True)
class Somebody:
    """Verbs about one identity."""

    who: str = setting(doc=_WHO, pattern=_TEXT, example="Ada Lovelace")


@dataclass(frozen=True, slots=True)
class Rename:
    """A new name for an identity; the id stays."""

    who: str = setting(doc=_WHO, pattern=_TEXT, example="Ada Byron")
    name: str = setting(doc="The new name.", pattern=_TEXT, example="Ada Lovelace")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Where and when somebody may enter; shared by `access`, `enrol` and `enrol-picture`."""

    groups: tuple[str, ...] | None = setting(
        None, doc="Groups of policy.groups; [] for none; as it was when left out.", pattern=SLUG, example=["staff"]
    )
    zones: tuple[str, ...] | None = setting(
        None, doc="Zones, instead of every one; [] for every one; as it was when left out.", pattern=SLUG
    )
    schedule: str | None = setting(
        None, doc='When, each week; "" for always; as it was when left out.', example="mon-fri 08:00-18:00",
        pattern=r"[^\x00]{0,1000}",
    )  # fmt: skip
    valid_from: str | None = setting(
        None, doc='Not let in before; "" takes the limit away; as it was when left out.', pattern=_MOMENT, example=_NOW
    )
    valid_until: str | None = setting(None, doc="Not let in from then on; likewise.", pattern=_MOMENT, example=_NOW)


@dataclass(frozen=True, slots=True, kw_only=True)
class Access(Limits):
    """Other limits for an identity."""

    who: str = setting(doc=_WHO, pattern=_TEXT, example="Ada Lovelace")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Enrolment(Limits):
    name: str | None = setting(
        None, doc="Name of a new identity, or of the one to add to.", pattern=_TEXT, example="Ada Lovelace"
    )
    id: str | None = setting(None, doc="Id of the identity to add to.", pattern=r"[0-9A-Za-z]{26}")
    note: str | None = setting(None, doc="Kept with the identity; published nowhere.", pattern=_LONG, example="door 2")
    consent: str | None = setting(
        None, doc="When and how the person has consented.", pattern=_LONG, example="signed form, 2026-01-31"
    )

    def __post_init__(self) -> None:
        if (self.name is None) == (self.id is None):
            raise ValueError("both or neither of name and id; expected one of them")

    @property
    def who(self) -> str:
        """Id or name."""
        return self.id or self.name or ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrol(_Enrolment):
    """Somebody who stands before the camera now."""

    count: int = setting(5, doc="Pictures to take.", minimum=1, maximum=20)
    timeout_s: float = setting(
        30.0, doc="Give up after so long; what was taken by then counts.", minimum=1, maximum=300
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class EnrolPicture(_Enrolment):
    """Somebody from pictures in the command."""

    pictures: tuple[str, ...] = setting((), doc="JPEG or PNG files in base64.", pattern=r"[A-Za-z0-9+/]{4,}={0,2}")

    def __post_init__(self) -> None:
        # `super()` knows no class here: with slots the decorator makes a second one.
        _Enrolment.__post_init__(self)
        if not 1 <= len(self.pictures) <= 10:
            raise ValueError(f"{len(self.pictures)} pictures; expected 1 to 10")


@dataclass(frozen=True, slots=True)
class List:
    """Who is enrolled, by name, a page at a time."""

    offset: int = setting(0, doc="So many are passed over.", minimum=0, maximum=10_000_000)
    limit: int = setting(100, doc="So many at most.", minimum=1, maximum=500)


@dataclass(frozen=True, slots=True)
class Switch:
    """A switch in a position."""

    on: bool = setting(doc="Whether this box may open doors.", example=False)


@dataclass(frozen=True, slots=True)
class SwitchBundle:
    """Another bundle."""

    bundle: str = setting(
        doc="Name of a folder of settings.bundles.", pattern=r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", example="ostiary-default-2"
    )  # fmt: skip
    timeout_s: float = setting(60.0, doc="Give up its self-test after so long.", minimum=1, maximum=300)


@dataclass(frozen=True, slots=True)
class Form:
    """What the door checks of a verb."""

    arguments: type
    doc: str
    max_bytes: int = 65_536
    wants_key: bool = True
    """Needs a signature whatever commands.unsigned says."""


VERBS: dict[str, Form] = {
    "enrol": Form(Enrol, "Enrol somebody who stands before the camera."),
    "enrol-picture": Form(EnrolPicture, "Enrol somebody from pictures.", MAX_PICTURE_COMMAND_BYTES),
    "rename": Form(Rename, "Give an identity another name."),
    "disable": Form(Somebody, "Recognize an identity no more, but keep it."),
    "enable": Form(Somebody, "Recognize a disabled identity again."),
    "access": Form(Access, "Say where and when an identity may enter."),
    "remove": Form(Somebody, "Erase an identity: embeddings, kept faces, everything."),
    "list": Form(List, "Tell who is enrolled."),
    "bundle": Form(SwitchBundle, "Use another installed bundle."),
    "snapshot": Form(Nothing, "Publish what the camera sees now.", wants_key=False),
    "restart": Form(Nothing, "Start the daemon again.", wants_key=False),
    "unlocking": Form(Switch, "Let this box open doors, or not.", wants_key=False),
}
