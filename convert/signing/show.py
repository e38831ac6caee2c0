"""What a repository says of itself, as plain data: roles and keys, expiry, bundles."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from convert.signing.repository import ROLES, Repository
from edge.bundle.trust.offer import WITHDRAWN


def described(repository: Repository, now: datetime) -> dict[str, Any]:
    """Plain data, for --json."""
    listed = repository.listed
    offers = sorted((listed.offer(name) for name in listed.files), key=lambda one: -one.version)
    taken_back = repository.targets.signed.unrecognized_fields.get(WITHDRAWN, {})
    return {
        "repository": str(repository.folder),
        "published": repository.is_published,
        "waits_for_signatures": sorted(repository.staged),
        "roles": {role: _role(repository, role, now) for role in ROLES},
        "bundles": [
            {
                "bundle_id": one.bundle_id, "version": one.version, "devices": list(one.devices),
                "machines": list(one.machines), "bytes": one.bytes, "manifest_sha256": one.manifest_sha256,
                "description": one.description,
            }
            for one in offers
        ],
        "withdrawn": [{**row, "manifest_sha256": digest} for digest, row in taken_back.items()],
    }  # fmt: skip


def _role(repository: Repository, role: str, now: datetime) -> dict[str, Any]:
    signed = repository.of(role).signed
    needed = repository.root.signed.get_delegated_role(role)
    return {
        "version": signed.version,
        "expires": signed.expires.isoformat(),
        "expired": signed.expires <= now,
        "days_left": (signed.expires - now).days,
        "threshold": needed.threshold,
        "keys": list(needed.keyids),
    }
