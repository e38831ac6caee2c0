"""Everything that `ostiary.yaml` can say: one frozen dataclass a section, a unit on every number.

The sentences here are the user's documentation: `docs/configuration.md`, `docs/ostiary.example.yaml` and
`docs/schemas/config.schema.json` are generated from them (`python -m edge.config.reference`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edge.validation import setting

SLUG = r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}"
"""Device and camera names become MQTT topic levels: no slash, no wildcard, no blank."""

Rectangle = tuple[float, float, float, float]


def _check_rectangle(name: str, value: Rectangle | None) -> None:
    if value is not None and (value[0] >= value[2] or value[1] >= value[3]):
        raise ValueError(f"{name} {list(value)}; expected [x1, y1, x2, y2] with x1 < x2 and y1 < y2")


@dataclass(frozen=True, slots=True)
class Device:
    """This box."""

    name: str = setting(
        "door", doc="Name of this box; second level of every MQTT topic.", pattern=SLUG, example="front-door"
    )


@dataclass(frozen=True, slots=True)
class Camera:
    """Where frames come from, and how they are turned before anything looks at them."""

    uri: str = setting(
        "v4l2:/dev/video0",
        doc="picamera2: or picamera2:1 (Raspberry Pi CSI), v4l2:/dev/video0, rtsp://..., http://... (MJPEG), a video file or a folder of pictures.",
        example="rtsp://camera.local:554/stream1",
    )
    name: str = setting("door", doc="Name of the camera in events and topics.", pattern=SLUG, example="porch")
    width_px: int | None = setting(
        None, doc="Width asked of the camera; its own choice when left out.", minimum=16, maximum=16384
    )
    height_px: int | None = setting(None, doc="Height asked of the camera.", minimum=16, maximum=16384)
    rate_fps: float | None = setting(
        None,
        doc="Frames a second at most; every frame when left out. Pictures of a folder follow each other at this rate, 5 a second when left out.",
        minimum=0.1,
        maximum=240,
    )
    rotate_deg: int = setting(0, doc="Turn the picture clockwise.", choices=(0, 90, 180, 270))
    mirror: bool = setting(default=False, doc="Mirror the picture left to right, after turning it.")
    region: Rectangle | None = setting(
        None,
        doc="Keep only this part of the turned picture: [x1, y1, x2, y2] as fractions of its size.",
        minimum=0,
        maximum=1,
    )
    stall_s: float = setting(
        3.0, doc="A live source that gives no frame for so long is closed and opened again.", minimum=0.2, maximum=3600
    )
    realtime: bool = setting(
        default=False,
        doc="Play a video file at its own pace, as a live camera would, instead of every frame as fast as possible.",
    )

    def __post_init__(self) -> None:
        _check_rectangle("region", self.region)
        if (self.width_px is None) != (self.height_px is None):
            raise ValueError("only one of width_px and height_px; expected both or neither")


@dataclass(frozen=True, slots=True)
class Detect:
    """Finding faces. What is left out comes from the bundle's manifest."""

    width_px: int = setting(
        640,
        doc="Longer side of the picture that the detector sees; smaller is faster and misses small faces.",
        minimum=64,
        maximum=4096,
    )
    confidence: float | None = setting(
        None, doc="Faces the detector is less sure of are dropped.", minimum=0, maximum=1
    )
    nms_iou: float | None = setting(
        None, doc="Two boxes that overlap more than this are one face.", minimum=0, maximum=1
    )
    min_face_px: float = setting(24, doc="Faces smaller than this in the frame are ignored.", minimum=1, maximum=4096)
    max_faces: int = setting(50, doc="Largest faces kept in one frame.", minimum=1, maximum=1000)


@dataclass(frozen=True, slots=True)
class Track:
    """Following one face over frames."""

    min_iou: float = setting(
        0.2, doc="Least overlap of a face with where its track should be.", minimum=0.01, maximum=1
    )
    lost_after_s: float = setting(1.0, doc="A track not seen for so long has ended.", minimum=0.05, maximum=60)
    confirm_frames: int = setting(
        2, doc="Frames in which a face must be seen before it counts as present.", minimum=1, maximum=100
    )
    max_tracks: int = setting(100, doc="Faces followed at once.", minimum=1, maximum=1000)


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
        _check_rectangle("zone", self.zone)
        if self.give_up_after_s < self.unknown_after_s:
            raise ValueError(
                f"give_up_after_s {self.give_up_after_s:g} is under unknown_after_s {self.unknown_after_s:g}; expected at least as much"
            )


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

    file: Path | None = setting(None, doc="Database file; outbox.sqlite beside the gallery when left out.")
    max_events: int = setting(
        10_000, doc="Oldest events are dropped above this, and counted.", minimum=1, maximum=10_000_000
    )


@dataclass(frozen=True, slots=True)
class Enrol:
    """Which pictures may become an enrolment."""

    min_face_px: float = setting(60, doc="Smaller faces are refused.", minimum=8, maximum=4096)
    min_sharpness: float = setting(0.15, doc="More blurred faces are refused; 0 takes all.", minimum=0, maximum=1)
    min_frontality: float = setting(
        0.25, doc="Faces turned further away are refused; 0 takes all.", minimum=0, maximum=1
    )
    keep_aligned: bool = setting(
        default=False,
        doc="Keep the aligned face with its embedding, so that a new embedder can enrol it again. Stores a picture of a person.",
    )


@dataclass(frozen=True, slots=True)
class Runtime:
    """How much of the box to use."""

    threads: int = setting(1, doc="Threads of each network.", minimum=1, maximum=64)
    tflite: str = setting("auto", doc="TFLite runtime.", choices=("auto", "ai-edge-litert", "tflite-runtime"))


@dataclass(frozen=True, slots=True)
class Logging:
    """What is written to standard error."""

    level: str = setting("info", doc="Least severity written.", choices=("debug", "info", "warning", "error"))


@dataclass(frozen=True, slots=True)
class Settings:
    """The whole of ostiary.yaml."""

    device: Device = setting(Device(), doc="This box.")
    camera: Camera = setting(Camera(), doc="Where frames come from.")
    bundle: Path | None = setting(None, doc="Folder of the bundle; the one in the package when left out.")
    gallery: Path | None = setting(None, doc="Database of the enrolled; one in the user's data folder when left out.")
    detect: Detect = setting(Detect(), doc="Finding faces.")
    track: Track = setting(Track(), doc="Following faces.")
    decide: Decide = setting(Decide(), doc="Deciding who it is.")
    mqtt: Mqtt = setting(Mqtt(), doc="The broker.")
    publish: Publish = setting(Publish(), doc="What is told besides events.")
    outbox: Outbox = setting(Outbox(), doc="Events on their way.")
    enrol: Enrol = setting(Enrol(), doc="Which pictures may become an enrolment.")
    runtime: Runtime = setting(Runtime(), doc="How much of the box to use.")
    logging: Logging = setting(Logging(), doc="What is logged.")
