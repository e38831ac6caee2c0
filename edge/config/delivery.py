"""Settings of what is told, to whom, and how it gets there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edge.validation import setting


@dataclass(frozen=True, slots=True)
class Tls:
    """Encryption to the broker."""

    enabled: bool = setting(default=False, doc="Speak TLS.")
    ca_file: Path | None = setting(None, doc="Certificates to trust instead of the system's.")
    cert_file: Path | None = setting(None, doc="This box's own certificate.")
    key_file: Path | None = setting(None, doc="Key of that certificate.")
    insecure: bool = setting(
        default=False, doc="Accept any host name in the broker's certificate. For a bench, never for a door."
    )

    def __post_init__(self) -> None:
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("only one of cert_file and key_file; expected both or neither")
        if not self.enabled and (self.ca_file or self.cert_file or self.insecure):
            raise ValueError(
                "enabled is false but other TLS settings are given; expected enabled: true, or none of them"
            )


@dataclass(frozen=True, slots=True)
class Mqtt:
    """The broker that hears of every decision."""

    enabled: bool = setting(default=True, doc="Publish to a broker; false writes events to the log only.")
    host: str = setting(
        "localhost", doc="Name or address of the broker.", pattern=r"\S+", example="homeassistant.local"
    )
    port: int | None = setting(None, doc="1883, or 8883 with TLS, when left out.", minimum=1, maximum=65535)
    protocol: str = setting("5", doc="MQTT version.", choices=("5", "3.1.1"))
    username: str | None = setting(None, doc="User at the broker.")
    password_file: Path | None = setting(
        None, doc="File that holds the password, and nothing else. Never the password itself."
    )
    client_id: str | None = setting(
        None, doc="ostiary-<device> when left out.", pattern=r"[\x21-\x7e]{1,64}", example="ostiary-door"
    )
    base_topic: str = setting(
        "ostiary", doc="First level of every topic.", pattern=r"[^+#\x00/][^+#\x00]{0,126}", example="ostiary"
    )
    keepalive_s: int = setting(
        15, doc="A silent connection counts as lost after one and a half times this.", minimum=2, maximum=3600
    )
    event_ttl_s: float = setting(
        5.0, doc="An event not sent within this goes to /history, never to /event.", minimum=0.1, maximum=3600
    )
    tls: Tls = setting(Tls(), doc="Encryption to the broker.")

    def __post_init__(self) -> None:
        if self.password_file is not None and self.username is None:
            raise ValueError("password_file without username; expected both")


@dataclass(frozen=True, slots=True)
class HomeAssistant:
    """How Home Assistant finds this box."""

    discovery: bool = setting(
        default=True, doc="Publish an MQTT discovery message, so that the device appears by itself."
    )
    prefix: str = setting(
        "homeassistant",
        doc="Discovery prefix that Home Assistant listens to.",
        pattern=r"[^+#\x00/][^+#\x00]{0,126}",
        example="homeassistant",
    )
    area: str | None = setting(
        None,
        doc="Area that Home Assistant first puts this box in; it asks when left out.",
        pattern=r"\S(.{0,62}\S)?",
        example="Entrance",
    )


@dataclass(frozen=True, slots=True)
class Publish:
    """What is told besides events."""

    presence_off_after_s: float = setting(
        5.0, doc="Presence turns OFF when no face was seen for so long.", minimum=0.1, maximum=3600
    )
    health_interval_s: float = setting(30.0, doc="Time between two health reports.", minimum=0.5, maximum=86400)
    snapshot: bool = setting(
        default=False, doc="Publish a JPEG of the decided face. It leaves the box unencrypted unless MQTT does TLS."
    )
    snapshot_px: int = setting(320, doc="Longer side of that JPEG.", minimum=32, maximum=2048)


@dataclass(frozen=True, slots=True)
class Outbox:
    """Events on their way to the broker, kept on disk until it has acknowledged them."""

    file: Path | None = setting(
        None, doc="Database file; outbox.sqlite in the folder of the service, else beside the gallery, when left out."
    )
    max_events: int = setting(
        10_000, doc="Oldest events are dropped above this, and counted.", minimum=1, maximum=10_000_000
    )
    max_bytes: int = setting(
        67_108_864,
        doc="Oldest events are dropped when all together take more bytes than this.",
        minimum=65_536,
        maximum=1_099_511_627_776,
    )
    max_age_h: float = setting(
        168.0,
        doc="Events that waited longer than so many hours are dropped, and counted.",
        minimum=0.01,
        maximum=87_600,
    )


@dataclass(frozen=True, slots=True)
class Metrics:
    """Numbers for Prometheus."""

    enabled: bool = setting(default=False, doc="Serve /metrics over HTTP. Needs the extra `metrics`.")
    host: str = setting(
        "127.0.0.1", doc="Address to listen at; only this box by default.", pattern=r"\S+", example="127.0.0.1"
    )
    port: int = setting(9469, doc="Port to listen at.", minimum=1, maximum=65535)
