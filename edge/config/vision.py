"""Settings of what sees: the box, its camera, finding and following faces, and enrolment."""

from __future__ import annotations

from dataclasses import dataclass

from edge.config.shapes import SLUG, Rectangle, check_rectangle
from edge.validation import setting


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
        doc="picamera2: or picamera2:1 (Raspberry Pi CSI), v4l2:/dev/video0 or v4l2:/dev/v4l/by-id/NAME, rtsp://..., http://... (MJPEG), a video file or a folder of pictures.",
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
        2.5, doc="A live source that gives no frame for so long is closed and opened again.", minimum=0.2, maximum=3600
    )
    frozen_s: float = setting(
        10.0,
        doc="A live source whose picture does not change by a single pixel for so long has frozen: it is closed and opened again. 0 never says so.",
        minimum=0,
        maximum=3600,
    )
    black_s: float = setting(
        10.0,
        doc="A picture without any content for so long is told as black in /health. 0 never says so.",
        minimum=0,
        maximum=3600,
    )
    give_up_s: float = setting(
        60.0,
        doc="A camera that never came back from a call is left behind and tried anew; without a frame for so long after that the daemon exits with code 3, so that the service manager starts it afresh. 0 never gives up.",
        minimum=0,
        maximum=86400,
    )
    realtime: bool = setting(
        default=False,
        doc="Play a video file at its own pace, as a live camera would, instead of every frame as fast as possible.",
    )

    def __post_init__(self) -> None:
        check_rectangle("region", self.region)
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
