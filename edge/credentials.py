"""Where a secret lies: in the folder that systemd gives a service alone, else where the configuration says."""

from __future__ import annotations

import os
from pathlib import Path

MQTT_PASSWORD = "mqtt-password"  # noqa: S105 - a name
TEMPLATE_KEY = "template-key"
COMMAND_KEYS = "command-keys"
SYNC_KEYS = "sync-keys"
SYNC_SECRETS = "sync-secrets"


def secret_file(name: str, configured: Path | None) -> Path | None:
    """The credential `name` (systemd's LoadCredential) when there is one, else `configured`.

    The unit hands over copies of the very files that the configuration names, which only root may read; a command that
    an administrator runs as root has no such folder, and reads the files themselves.
    """
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    if folder:
        handed = Path(folder) / name
        # A blank one stands for a file that is not there: LoadCredential alone would not let the service start.
        if handed.is_file() and handed.read_bytes().strip():
            return handed
    return configured


def is_handed(path: Path) -> bool:
    """Whether a secret is a credential: its mode says nothing then, as its folder and an access list guard it.

    systemd 257 lists root as the owner and lets the service in by the access list, whose mask looks like group bits.
    """
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    return bool(folder) and path.parent == Path(str(folder))
