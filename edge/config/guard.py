"""Settings of who may order what, and of what is kept of people."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edge.validation import setting


@dataclass(frozen=True, slots=True)
class Commands:
    """What others may order over MQTT."""

    enabled: bool = setting(default=True, doc="Take commands at all.")
    keys_file: Path | None = setting(
        None, doc="Public keys (Ed25519) of those who may sign commands, a line each: NAME KEY [VERB,...]."
    )
    unsigned: tuple[str, ...] = setting(
        ("snapshot", "restart", "unlocking"),
        doc="Verbs that need no signature: whoever the broker lets publish may order them. What changes or shows the gallery, or switches the bundle, always needs one.",
        choices=("snapshot", "restart", "unlocking"),
    )
    freshness_s: float = setting(
        30.0,
        doc="Commands issued longer ago than this, or further in the future, are refused.",
        minimum=1,
        maximum=3600,
    )
    per_minute: int = setting(30, doc="Commands taken in a minute at most; more are refused.", minimum=1, maximum=6000)


@dataclass(frozen=True, slots=True)
class Privacy:
    """What is kept of people, for how long, and under which key."""

    key_file: Path | None = setting(
        None,
        doc="Keys that encrypt the gallery, a line each in base64; the first one encrypts, all decrypt. Needs the extra `secure`.",
    )
    require_consent: bool = setting(default=False, doc="Enrol nobody without a note of consent.")
    erase_expired_after_d: float | None = setting(
        None,
        doc="Erase identities so many days after their validity has ended; never when left out.",
        minimum=0,
        maximum=36_500,
    )
    audit_d: float = setting(
        365.0, doc="Entries of the audit log are kept for so many days.", minimum=1, maximum=36_500
    )
