"""Whether a newer bundle than the one in use lies on this box."""

from __future__ import annotations

import json
import re
from pathlib import Path

from edge.bundle import MANIFEST_NAME

MAX_BYTES = 1_000_000
BUNDLE_ID = r"[A-Za-z0-9._-]{1,64}"
"""As the manifest has it; nothing else may get into a template."""


def newest_bundle(folder: Path | None) -> str | None:
    """Id of the bundle that was installed last, sound or not; None where there is none, or no such folder."""
    if folder is None:
        return None
    try:
        found = [entry / MANIFEST_NAME for entry in folder.iterdir() if not entry.is_symlink()]
        dated = sorted((path.stat().st_mtime_ns, path) for path in found if path.is_file())
    except OSError:
        return None
    return _id_of(dated[-1][1]) if dated else None


def _id_of(manifest: Path) -> str | None:
    try:
        with manifest.open("rb") as handle:
            bundle_id = json.loads(handle.read(MAX_BYTES))["bundle_id"]
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None
    return bundle_id if isinstance(bundle_id, str) and re.fullmatch(BUNDLE_ID, bundle_id) else None
