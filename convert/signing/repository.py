"""A repository as it lies in its folder: which metadata counts, and what is signed but not published yet."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convert.signing.commit import METADATA, STAGED
from edge.bundle.trust.offer import SignedList, signed_list
from edge.bundle.trust.update import ISSUED
from edge.errors import BundleError, UsageError

if TYPE_CHECKING:
    from securesystemslib.signer import CryptoSigner
    from tuf.api.metadata import Metadata, Root, Snapshot, Targets, Timestamp

ROLES = ("root", "targets", "snapshot", "timestamp")
LIFETIME = "x-ostiary-days"
"""Field of signed metadata: for how long it is signed; the next version is signed for as long."""
DAYS = {"root": 730, "targets": 365, "snapshot": 30, "timestamp": 7}
MOST_BYTES = 8_000_000


@dataclass(slots=True)
class Repository:
    """Metadata by role, each of the newest version that has all its signatures."""

    folder: Path
    root: Metadata[Root]
    targets: Metadata[Targets]
    snapshot: Metadata[Snapshot]
    timestamp: Metadata[Timestamp]
    staged: dict[str, Metadata[Any]] = field(default_factory=dict)
    """Role -> what still needs signatures of others."""

    @property
    def is_published(self) -> bool:
        """Devices are told of the newest targets."""
        targets = self.snapshot.signed.meta["targets.json"].version
        snapshot = self.timestamp.signed.snapshot_meta.version
        return (targets, snapshot) == (self.targets.signed.version, self.snapshot.signed.version)

    @property
    def listed(self) -> SignedList:
        """What the newest targets list."""
        targets = self.targets.signed
        return signed_list(targets.targets, targets.unrecognized_fields, str(self.folder))

    def of(self, role: str) -> Metadata[Any]:
        """Metadata of a role."""
        return getattr(self, role)  # type: ignore[no-any-return]

    def holds(self, role: str) -> bool:
        """Whether what counts for a role has the signatures that the root asks for."""
        return is_signed(self.root.signed, role, self.of(role))


def open_repository(folder: Path) -> Repository:
    """Read it all. UsageError where there is none, BundleError where it is damaged."""
    numbers = sorted(int(found[1]) for path in (folder / METADATA).glob("*.root.json") if (found := _numbered(path)))
    if not numbers:
        hint = "`ostiary-convert sign init` makes one."
        raise UsageError("no repository there", where=str(folder), expected="a folder with metadata/", hint=hint)
    root = read(folder / METADATA / f"{numbers[-1]}.root.json", "root")
    timestamp = read(folder / METADATA / "timestamp.json", "timestamp")
    snapshot = read(folder / METADATA / f"{timestamp.signed.snapshot_meta.version}.snapshot.json", "snapshot")
    staged = {role: read(path, role) for role in ROLES if (path := folder / STAGED / f"{role}.json").is_file()}
    return Repository(folder, root, _newest_targets(folder, snapshot), snapshot, timestamp, staged)


def _newest_targets(folder: Path, snapshot: Metadata[Snapshot]) -> Metadata[Targets]:
    """That of the snapshot, or what was signed since and waits for the keys of snapshot and timestamp."""
    version = snapshot.signed.meta["targets.json"].version
    while (folder / METADATA / f"{version + 1}.targets.json").is_file():
        version += 1
    return read(folder / METADATA / f"{version}.targets.json", "targets")


def read(path: Path, role: str) -> Metadata[Any]:
    """Metadata of a file; BundleError where it is none."""
    from tuf.api.metadata import Metadata
    from tuf.api.serialization import DeserializationError

    hint = "Restore the repository from a copy."
    try:
        with path.open("rb") as handle:
            found: Metadata[Any] = Metadata.from_bytes(handle.read(MOST_BYTES))
    except OSError as error:
        raise BundleError(
            f"cannot be read ({error.strerror})", where=str(path), expected=f"{role} metadata", hint=hint
        ) from error
    except DeserializationError as error:
        raise BundleError(
            "damaged, or no signed metadata", where=str(path), expected=f"{role} metadata", hint=hint
        ) from error
    if found.signed.type != role:
        raise BundleError(f"metadata of {found.signed.type}", where=str(path), expected=f"{role} metadata", hint=hint)
    return found


def is_signed(root: Root, role: str, metadata: Metadata[Any]) -> bool:
    """By enough keys of the role."""
    return bool(root.get_verification_result(role, metadata.signed_bytes, metadata.signatures))


def lifetime(signed: Any, given: Mapping[str, int]) -> int:
    """Days from signing to expiry: as given, else as before, else as usual."""
    before = signed.unrecognized_fields.get(LIFETIME)
    usual = before if isinstance(before, int) and before > 0 else DAYS[signed.type]
    return given.get(signed.type, usual)


def dated(signed: Any, days: Mapping[str, int], now: datetime) -> None:
    """State when it is signed, and for how long."""
    span = lifetime(signed, days)
    signed.unrecognized_fields |= {LIFETIME: span, ISSUED: now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")}
    signed.expires = now.astimezone(UTC) + timedelta(days=span)


def signed_with(payload: Any, keys: Iterable[str], signers: Mapping[str, CryptoSigner]) -> Metadata[Any]:
    """Metadata with the signature of each key that is at hand."""
    from tuf.api.metadata import Metadata

    metadata = Metadata(payload)
    for key in keys:
        if key in signers:
            metadata.sign(signers[key], append=True)
    return metadata


def _numbered(path: Path) -> re.Match[str] | None:
    return re.fullmatch(r"([1-9][0-9]{0,8})\.root\.json", path.name)
