"""Settings of a box among many: whose bundles it takes, and whose people."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edge.config.shapes import SLUG
from edge.validation import setting


@dataclass(frozen=True, slots=True)
class Updates:
    """Which bundles this box takes, and how a new one proves itself."""

    trust: Path | None = setting(
        None,
        doc="Folder with `root.json`, the keys of those who sign bundles. With it only signed bundles are installed, activated and run. Needs the extra `updates`.",
    )
    source: str | None = setting(
        None,
        doc="Where `ostiary bundle install` looks when it is told no other place: a folder, or an address that begins with https.",
        pattern=r"\S+",
        example="https://updates.example/ostiary",
    )
    budget_ms: float = setting(
        1000.0,
        doc="A bundle that takes longer than this for a frame with one face, median of the self-test and of its trial, is not used.",
        minimum=1,
        maximum=60_000,
    )
    trial_s: float = setting(
        60.0,
        doc="A newly activated bundle must run so long without a fault before it counts as good; until then a restart brings the previous one back.",
        minimum=0,
        maximum=86_400,
    )
    trial_frames: int = setting(
        30, doc="So many frames must have gone through all stages by then, too.", minimum=1, maximum=1_000_000
    )
    re_embed: bool = setting(
        default=False,
        doc="A bundle with another embedder may be activated: everybody is embedded again from the aligned faces that were kept (enrol.keep_aligned).",
    )


@dataclass(frozen=True, slots=True)
class Sync:
    """People who are enrolled once, elsewhere, for many boxes."""

    groups: tuple[str, ...] = setting(
        (), doc="Groups whose people this box takes from the broker.", pattern=SLUG, example="staff"
    )
    keys_file: Path | None = setting(
        None,
        doc="Public keys (Ed25519) of those who may publish people, a line each: NAME KEY GROUP[,GROUP...]. Needs the extra `secure`.",
    )
    secrets_file: Path | None = setting(
        None,
        doc="Secrets that open the sealed people of a group, a line each: GROUP SECRET. Without one a group is published in the clear.",
    )
