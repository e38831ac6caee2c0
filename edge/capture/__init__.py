"""Frames from a camera, a stream, a video file or a folder of pictures, chosen by URI scheme.

Start at `open_source`. Live sources (`live`) run a device in a thread that can be given up; files (`video`, `folder`)
are read by whoever asks. What every source does to a picture is in `geometry`.
"""

from edge.backoff import Backoff, BackoffPlan
from edge.capture.ladder import LiveOptions
from edge.capture.live import LiveSource, OnState
from edge.capture.opening import Libraries, open_source
from edge.capture.uri import SCHEMES, redact

__all__ = [
    "SCHEMES",
    "Backoff",
    "BackoffPlan",
    "Libraries",
    "LiveOptions",
    "LiveSource",
    "OnState",
    "open_source",
    "redact",
]
