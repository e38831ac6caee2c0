"""Where things lie when nobody says otherwise."""

from __future__ import annotations

import os
from pathlib import Path

from edge.config.settings import Settings


def data_folder() -> Path:
    """The state directory that systemd gives, else the user's data folder (XDG base directory specification)."""
    state = os.environ.get("STATE_DIRECTORY", "").partition(":")[0]
    if state:
        return Path(state)
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "ostiary"


def gallery_file(settings: Settings) -> Path:
    """The configuration's gallery, else the one in the data folder."""
    return settings.gallery or data_folder() / "gallery.sqlite"


def outbox_file(settings: Settings) -> Path:
    """The configuration's outbox, else the one beside the gallery."""
    return settings.outbox.file or gallery_file(settings).parent / "outbox.sqlite"


def journal_file(settings: Settings) -> Path:
    """What is remembered of commands: beside the outbox, and of the same daemon."""
    outbox = outbox_file(settings)
    return outbox.with_name(f"{outbox.stem}-commands.sqlite")
