"""What values of several sections look like."""

from __future__ import annotations

SLUG = r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}"
"""Device and camera names become MQTT topic levels: no slash, no wildcard, no blank."""

Rectangle = tuple[float, float, float, float]


def check_rectangle(name: str, value: Rectangle | None) -> None:
    """ValueError for a rectangle without area."""
    if value is not None and (value[0] >= value[2] or value[1] >= value[3]):
        raise ValueError(f"{name} {list(value)}; expected [x1, y1, x2, y2] with x1 < x2 and y1 < y2")
