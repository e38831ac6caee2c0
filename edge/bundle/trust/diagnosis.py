"""Why an update was refused: tuf says that it was, the file in question says which attack or mishap it looks like.

Names of attacks are those of TUF, section 1.5.2.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edge.bundle.trust.chain import read_metadata
from edge.errors import BundleError

if TYPE_CHECKING:
    from tuf.api.metadata import Metadata, Root

COPY = "Copy the repository again, from where its owner keeps it."
OWNER = "Ask the owner of the repository; nothing has changed on this box."
STALE = (
    "The repository is not kept up, or somebody holds back what is new. Its owner runs `ostiary-convert sign refresh`."
)
ROLES = ("root", "timestamp", "snapshot", "targets")
GAP = 8
"""So many missing roots are looked behind."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What there is to see when tuf has refused."""

    place: str
    name: str
    """Of the file that was asked for last."""
    data: bytes
    """Its bytes."""
    roots: list[Root]
    """From the installer's to the newest that is trusted."""
    kept: Mapping[str, Any]
    """Role -> what is trusted of it so far, or None."""
    has: Callable[[str], bool]

    @property
    def role(self) -> str:
        """Of that file."""
        found = self.name.rpartition("/")[2].removesuffix(".json").rpartition(".")[2]
        return found if found in ROLES else "targets"

    @property
    def where(self) -> str:
        """For a message."""
        return f"{self.place}/{self.name}"


def explained(error: Exception, evidence: Evidence) -> BundleError:
    """In words, with what to do."""
    from tuf.api.exceptions import ExpiredMetadataError

    if isinstance(error, ExpiredMetadataError):
        return _expired(evidence)
    found = read_metadata(evidence.data)
    if found is None or found.signed.type != evidence.role or not _can_be_signed(found):
        return BundleError(
            "damaged, or no signed metadata", where=evidence.where, expected=f"{evidence.role} metadata", hint=COPY
        )
    gap = _missing_root(evidence)
    if gap:
        return gap
    return _signature(found, evidence) or _version(found, evidence)


def _can_be_signed(metadata: Metadata[Any]) -> bool:
    """Canonical JSON has no fractions, for one."""
    from tuf.api.serialization import SerializationError

    try:
        return bool(metadata.signed_bytes)
    except SerializationError:
        return False


def _expired(evidence: Evidence) -> BundleError:
    """TUF: indefinite freeze attack."""
    root = evidence.roots[-1]
    found = read_metadata(evidence.data)
    if root.is_expired():
        where, expires = f"{evidence.place}/metadata/{root.version}.root.json", root.expires
    elif found is not None:
        where, expires = evidence.where, found.signed.expires
    else:
        return BundleError("expired", where=evidence.where, expected="fresh metadata", hint=STALE)
    problem = f"expired on {expires:%Y-%m-%d %H:%M} UTC"
    return BundleError(problem, where=where, expected="metadata that was signed anew in time", hint=STALE)


def _missing_root(evidence: Evidence) -> BundleError | None:
    newest = evidence.roots[-1].version
    if evidence.role == "root":
        return None
    later = [step for step in range(2, GAP + 2) if evidence.has(f"metadata/{newest + step}.root.json")]
    if not later or evidence.has(f"metadata/{newest + 1}.root.json"):
        return None
    hint = f"Each root is signed by the one before. {COPY}"
    problem = f"root version {newest + 1} is missing, and there is a version {newest + later[0]}"
    return BundleError(problem, where=f"{evidence.place}/metadata", expected="every version of the root", hint=hint)


def _signature(found: Metadata[Any], evidence: Evidence) -> BundleError | None:
    """What is wrong with the signatures under the keys that are trusted now; None where they hold."""
    by = [evidence.roots[-1]]
    if evidence.role == "root" and found.signed.version == by[0].version + 1:
        by.append(found.signed)
    for root in by:
        fault = _under(root, found, evidence)
        if fault:
            return fault
    return None


def _under(root: Root, found: Metadata[Any], evidence: Evidence) -> BundleError | None:
    role, where = evidence.role, evidence.where
    result = root.get_verification_result(role, found.signed_bytes, found.signatures)
    if result:
        return None
    keys, signers = set(root.get_delegated_role(role).keyids), set(found.signatures)
    expected = f"a signature of {', '.join(sorted(key[:12] for key in keys))}"
    shown = ", ".join(sorted(key[:12] for key in signers))
    if not signers:
        return BundleError("not signed", where=where, expected=expected, hint=OWNER)
    if signers & keys - set(result.signed):
        return BundleError("altered after it was signed", where=where, expected=expected, hint=COPY)
    if result.signed:
        problem = f"signed by {len(result.signed)} of {result.threshold} keys that are needed"
        return BundleError(problem, where=where, expected=expected, hint=OWNER)
    before = {key for one in evidence.roots[:-1] for key in one.get_delegated_role(role).keyids}
    if signers & before:
        hint = f"Somebody signs with a key that was taken out of use, or the owner forgot to sign anew. {OWNER}"
        return BundleError(f"signed with a revoked key: {shown}", where=where, expected=expected, hint=hint)
    hint = "Whoever made this, this box does not know them: root.json in updates.trust says whom it trusts."
    return BundleError(f"signed by a stranger: {shown}", where=where, expected=expected, hint=hint)


def _version(found: Metadata[Any], evidence: Evidence) -> BundleError:
    """Well signed, and of the wrong time: rollback, or mix-and-match."""
    role, version, where = evidence.role, found.signed.version, evidence.where
    if role == "root":
        expected = f"version {evidence.roots[-1].version + 1}"
        return BundleError(f"is root version {version}", where=where, expected=expected, hint=COPY)
    rolled = _rolled_back(found, evidence)
    if rolled:
        return rolled
    above = {"snapshot": "timestamp", "targets": "snapshot"}.get(role)
    kept = evidence.kept.get(above or "")
    if kept is not None and above is not None:
        stated = kept.snapshot_meta.version if above == "timestamp" else kept.meta["targets.json"].version
        problem = f"put together from different times: {role} version {version}"
        hint = f"A copy made while the repository changed, or a mix-and-match attack. {COPY}"
        return BundleError(problem, where=where, expected=f"version {stated}, as {above}.json says", hint=hint)
    return BundleError("refused", where=where, expected=f"{role} metadata", hint=OWNER)


def _rolled_back(found: Metadata[Any], evidence: Evidence) -> BundleError | None:
    """TUF: rollback attack, of the file itself or of one that it speaks of."""
    kept, role = evidence.kept.get(evidence.role), evidence.role
    if kept is None or role == "targets":
        return None
    seen = [(role, found.signed.version, kept.version)]
    if role == "timestamp":
        seen.append(("snapshot", found.signed.snapshot_meta.version, kept.snapshot_meta.version))
    else:
        stated = found.signed.meta.get("targets.json")
        seen.append(("targets", stated.version if stated else 0, kept.meta["targets.json"].version))
    for what, version, trusted in seen:
        if version < trusted:
            hint = f"Somebody offers an old state again, or the repository was restored from a backup. {OWNER}"
            problem = f"{what} version {version} is older than what this box has seen"
            return BundleError(problem, where=evidence.where, expected=f"version {trusted} or later", hint=hint)
    return None
