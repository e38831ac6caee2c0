"""One moment in the forms that files want. Always UTC: a build must not know where it is made."""

from __future__ import annotations

from datetime import UTC, datetime


def zip_date(epoch: int) -> tuple[int, int, int, int, int, int]:
    """For a zip archive, which counts in steps of two seconds."""
    at = datetime.fromtimestamp(epoch, UTC)
    return at.year, at.month, at.day, at.hour, at.minute, at.second // 2 * 2


def iso_date(epoch: int) -> str:
    """2026-11-20T12:34:56Z."""
    return datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
