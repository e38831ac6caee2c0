"""Settings of what is decided, and of who may enter."""

from __future__ import annotations

import re
from dataclasses import dataclass

from edge.config.shapes import SLUG, Rectangle, check_rectangle
from edge.policy.schedule import check_timezone, parse_schedule
from edge.validation import setting


@dataclass(frozen=True, slots=True)
class Decide:
    """From embeddings to one decision a visit."""

    operating_point: str = setting(
        "fmr-1e-4",
        doc="Operating point of the bundle: which false match rate a recognition may have.",
        pattern=r"[A-Za-z0-9.-]+",
        example="fmr-1e-4",
    )
    margin: float = setting(
        0.05, doc="The best identity must beat the second-best by this much similarity.", minimum=0, maximum=1
    )
    min_frames: int = setting(
        3, doc="Good frames that must agree before anyone is recognized. Never one.", minimum=2, maximum=100
    )
    min_quality: float = setting(0.3, doc="Frames of lower quality teach nothing.", minimum=0, maximum=1)
    unknown_after_s: float = setting(
        2.5,
        doc="Time from the first good frame after which a visitor nobody matches is unknown.",
        minimum=0.1,
        maximum=600,
    )
    give_up_after_s: float = setting(
        10.0, doc="Time after which a visitor who never showed a good face is unknown.", minimum=0.5, maximum=3600
    )
    cool_down_s: float = setting(
        10.0,
        doc="The same person, known or unknown, is not announced again for so long.",
        minimum=0,
        maximum=86400,
    )
    closest_only: bool = setting(default=False, doc="Only the largest face in the zone may be recognized.")
    zone: Rectangle | None = setting(
        None,
        doc="Only faces whose centre is in here are decided: [x1, y1, x2, y2] as fractions of the frame.",
        minimum=0,
        maximum=1,
    )
    embed_per_frame: int = setting(
        2, doc="Faces embedded in one frame at most; the ones that teach most come first.", minimum=1, maximum=100
    )
    embed_interval_s: float = setting(0.1, doc="Least time between two embeddings of one track.", minimum=0, maximum=60)
    recheck_s: float = setting(
        2.0,
        doc="A decided track is looked at again after so long, and nobody is recognized from older frames, lest somebody else has stepped in.",
        minimum=0.1,
        maximum=3600,
    )

    def __post_init__(self) -> None:
        check_rectangle("zone", self.zone)
        if self.give_up_after_s < self.unknown_after_s:
            raise ValueError(
                f"give_up_after_s {self.give_up_after_s:g} is under unknown_after_s {self.unknown_after_s:g}; expected at least as much"
            )


@dataclass(frozen=True, slots=True)
class Group:
    """Where and when the members of a group may enter."""

    zones: tuple[str, ...] = setting(
        (), doc="Zones that the group may enter; every one when left out.", pattern=SLUG, example="workshop"
    )
    schedule: str = setting(
        "",
        doc="When, each week: `mon-fri 08:00-18:00; sat 09:00-13:00`. Always when left out.",
        example="mon-fri 08:00-18:00",
    )

    def __post_init__(self) -> None:
        parse_schedule(self.schedule)


@dataclass(frozen=True, slots=True)
class Policy:
    """Who of those recognized may enter: what `allowed` and `reason` of an event say."""

    zone: str | None = setting(
        None,
        doc="Name of the zone behind this door; groups and identities may be limited to zones.",
        pattern=SLUG,
    )
    timezone: str | None = setting(
        None, doc="Time zone of schedules, such as Europe/Berlin; the system's when left out."
    )
    groups: dict[str, Group] = setting(
        {},
        doc="Groups by name. Without any everybody enrolled may enter; with some, members of a group that lets them in.",
        example={"staff": {"zones": ["workshop"], "schedule": "mon-fri 08:00-18:00"}},
    )
    company: str = setting(
        "no_stranger_in_front",
        doc="Who else may be before the camera while somebody is let in: anybody, no stranger in front (with a larger face), no strangers at all. Who is not decided yet counts as a stranger.",
        choices=("anybody", "no_stranger_in_front", "no_strangers"),
    )
    trust_unsynced_clock: bool = setting(
        default=False, doc="Let schedules and validity decide although nobody keeps the clock right."
    )

    def __post_init__(self) -> None:
        if self.timezone is not None:
            check_timezone(self.timezone)
        for name, group in self.groups.items():
            if not re.fullmatch(SLUG, name):
                raise ValueError(
                    f"group {name[:70]!r}; expected a name of letters, digits, - and _ such as 'night-shift'"
                )
            if group.zones and self.zone is None:
                raise ValueError(
                    f"group {name!r} is limited to zones but zone is not set; expected zone: the name of what is behind this door"
                )
