"""What `ostiary check` says of secrets and of who else on this box can read what is kept here."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from edge.capture.uri import redact
from edge.config.settings import Settings
from edge.credentials import COMMAND_KEYS, MQTT_PASSWORD, SYNC_KEYS, SYNC_SECRETS, TEMPLATE_KEY, secret_file
from edge.paths import gallery_file, outbox_file

OTHERS, OTHERS_READ, OTHERS_WRITE = 0o077, 0o004, 0o022


def secrets_of(settings: Settings) -> tuple[str, list[str]]:
    """Where each secret comes from, and what is wrong with it."""
    places = (
        ("password of the broker", MQTT_PASSWORD, settings.mqtt.password_file, OTHERS),
        ("template key", TEMPLATE_KEY, settings.privacy.key_file, OTHERS),
        # Public keys: who can write the file says who may command.
        ("command keys", COMMAND_KEYS, settings.commands.keys_file, OTHERS_WRITE),
        ("keys of publishers", SYNC_KEYS, settings.sync.keys_file, OTHERS_WRITE),
        ("secrets of groups", SYNC_SECRETS, settings.sync.secrets_file, OTHERS),
    )
    told: list[str] = []
    wrong: list[str] = []
    for what, name, configured, forbidden in places:
        path = secret_file(name, configured)
        if path is None:
            told.append(f"{what}: none")
        elif path != configured:
            told.append(f"{what}: handed over by the service manager")
        else:
            told.append(f"{what}: {path}")
            wrong += _too_open(path, forbidden)
    return "; ".join(told), wrong


def files_of(settings: Settings, config: Path | None, *, user: int | None = None) -> tuple[str, list[str]]:
    """The files of this box that tell of people, and what is wrong with them for `user` (whoever asks, when left out)."""
    reader = os.geteuid() if user is None else user
    wrong: list[str] = []
    if config is not None and redact(settings.camera.uri) != settings.camera.uri:
        # It names a camera with its user or password.
        wrong += _too_open(config, OTHERS_READ)
    key = settings.mqtt.tls.key_file
    wrong += _too_open(key, OTHERS) if key is not None else []
    found = [path for path in (gallery_file(settings), outbox_file(settings)) if path.exists()]
    for path in found:
        wrong += [*_too_open(path, OTHERS), *_of_somebody_else(path, reader)]
    told = ", ".join(path.name for path in found)
    return f"{gallery_file(settings).parent}: {told or 'nothing yet'}; for this user alone", wrong


def _too_open(path: Path, forbidden: int) -> Iterator[str]:
    try:
        mode = path.stat().st_mode & 0o777
    except OSError:
        # Whoever needs it says so.
        return
    if mode & forbidden:
        may = "write" if forbidden == OTHERS_WRITE else "read"
        yield f"{path}: others can {may} it (mode {mode:04o}); run `chmod {mode & ~forbidden:o} {path}`"


def _of_somebody_else(path: Path, user: int) -> Iterator[str]:
    owner = path.stat().st_uid
    # Root may read everything; what root writes anew belongs to root, and the daemon stands before a closed door.
    if user not in {0, owner}:
        yield f"{path}: belongs to user {owner}, not to this one (sudo ostiaryctl ... runs commands as the service's)"
