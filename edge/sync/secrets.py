"""Secrets of groups: what the content of an identity is sealed with, so that the broker reads no embeddings.

A file has lines GROUP SECRET, the secret being 32 random bytes in base64. A group may have several: the first seals, all
open, so that a secret can be changed without a gap.
"""

from __future__ import annotations

import base64
import binascii
from pathlib import Path

from edge.commands.refusal import RefusedError
from edge.errors import ConfigError
from edge.gallery.encryption.sealing import KEY_BYTES, Sealer, UnknownKeyError, UnsealError, context_of
from edge.signing import decode_base64, read_lines
from edge.sync.names import is_group

MAX_SECRETS = 16
"""Of one group."""
_MAKE_ONE = "`ostiary keys group-secret GROUP` prints such a line."


def secret_line(group: str, secret: bytes) -> str:
    """As it stands in the file."""
    return f"{group} {base64.b64encode(secret).decode()}"


def read_secrets(path: Path) -> dict[str, Sealer]:
    """By group. ConfigError names the line and never what is in it; MissingDependencyError without `cryptography`."""
    where = f"sync.secrets_file {path}"
    found: dict[str, list[bytes]] = {}
    for place, words in read_lines(path, where, "lines of GROUP SECRET"):
        secret = decode_base64(words[1], KEY_BYTES) if len(words) == 2 else None
        if secret is None or len(set(secret)) < KEY_BYTES // 4 or not is_group(words[0]):
            raise ConfigError("no secret of a group", where=place, expected="GROUP SECRET", hint=_MAKE_ONE)
        secrets = found.setdefault(words[0], [])
        if secret in secrets or len(secrets) >= MAX_SECRETS:
            raise ConfigError(
                "a secret too many",
                where=place,
                expected=f"at most {MAX_SECRETS} of a group, each once",
                hint=_MAKE_ONE,
            )
        secrets.append(secret)
    return {group: Sealer(secrets) for group, secrets in found.items()}


def seal(sealer: Sealer, topic: str, revision: int, text: str) -> str:
    """Base64 of the sealed content, which opens on that topic and with that revision only."""
    return base64.b64encode(sealer.seal(text.encode(), _context(topic, revision))).decode()


def unseal(sealer: Sealer | None, topic: str, revision: int, sealed: str) -> bytes:
    """RefusedError `no_secret` where it was sealed with a secret that is not at hand, `malformed` for anything else."""
    if sealer is None:
        raise RefusedError("no_secret", "sealed, and there is no secret of this group here")
    try:
        return sealer.open(base64.b64decode(sealed.encode("ascii"), validate=True), _context(topic, revision))
    except UnknownKeyError:
        raise RefusedError("no_secret", "sealed with a secret that is not here") from None
    except (UnsealError, binascii.Error, ValueError):
        raise RefusedError("malformed", "what is sealed does not open") from None


def _context(topic: str, revision: int) -> bytes:
    return context_of("gallery sync", topic, revision)
