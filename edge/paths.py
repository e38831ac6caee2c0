"""Where things lie when nobody says otherwise."""

from __future__ import annotations

import os
from pathlib import Path

from edge.config.settings import Settings


def data_folder() -> Path:
    """The state directory that systemd gives, else the user's data folder (XDG base directory specification)."""
    return _state_folder() or Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "ostiary"


def _state_folder() -> Path | None:
    """What systemd gives one service; each daemon of a box has its own."""
    state = os.environ.get("STATE_DIRECTORY", "").partition(":")[0]
    return Path(state) if state else None


def gallery_file(settings: Settings) -> Path:
    """The configuration's gallery, else the one in the data folder."""
    return settings.gallery or data_folder() / "gallery.sqlite"


def outbox_file(settings: Settings) -> Path:
    """The configuration's outbox, else one in the service's own folder: daemons may share a gallery, never an outbox.

    Without a service manager it lies beside the gallery.
    """
    return settings.outbox.file or (_state_folder() or gallery_file(settings).parent) / "outbox.sqlite"


def journal_file(settings: Settings) -> Path:
    """What is remembered of commands: beside the outbox, and of the same daemon."""
    outbox = outbox_file(settings)
    return outbox.with_name(f"{outbox.stem}-commands.sqlite")
