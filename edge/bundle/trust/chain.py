"""Trusted metadata read back without a network: the chain of roots, and the list that is in force."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from edge.bundle.trust.offer import SignedList, signed_list
from edge.bundle.trust.state import IN_FORCE, METADATA, ROOT_VERSION, TARGETS, read_bounded
from edge.errors import BundleError

if TYPE_CHECKING:
    from tuf.api.metadata import Metadata, Root, Targets

HISTORY = "root_history"
AGAIN = "`ostiary bundle install` brings it anew from where bundles come from."
NONE_YET = "`ostiary bundle install` brings it, together with a bundle: from updates.source, or from the folder that it is told."


def read_metadata(data: bytes) -> Metadata[Any] | None:
    """Metadata whose signatures nobody has checked; None where these bytes are none."""
    from tuf.api.metadata import Metadata
    from tuf.api.serialization import DeserializationError

    try:
        return Metadata.from_bytes(data)
    except DeserializationError:
        return None


def first_root(data: bytes, where: str) -> Root:
    """The root of trust as the installer put it; BundleError where it is none."""
    root = read_metadata(data)
    hint = "Put REPOSITORY/metadata/1.root.json there again, from whoever signs bundles."
    if root is None or root.signed.type != "root":
        raise BundleError("damaged, or no root of trust", where=where, expected="root.json", hint=hint)
    if not _is_signed(root.signed, "root", root):
        raise BundleError("altered after it was signed", where=where, expected="a root that signs itself", hint=hint)
    return cast("Root", root.signed)


def roots_of(data: bytes, where: str, metadata: Path) -> list[Root]:
    """The chain from the installer's root to the newest one that is kept, each signed by the one before and by itself."""
    chain = [first_root(data, where)]
    while (following := _following(chain[-1], metadata)) is not None:
        chain.append(following)
    return chain


def list_in_force(root: bytes, where_root: str, generation: Path | None, where: str) -> SignedList:
    """The list of the last complete update, whatever its expiry. BundleError where there is none, or it does not follow from the root."""
    if generation is None:
        first_root(root, where_root)
        raise BundleError("no signed list of bundles yet", where=where, expected="an update before", hint=NONE_YET)
    chain = roots_of(root, where_root, generation / METADATA)
    path = generation / IN_FORCE / TARGETS
    try:
        version = int((generation / IN_FORCE / ROOT_VERSION).read_text(encoding="ascii"))
        data = read_bounded(path)
    except FileNotFoundError as error:
        raise BundleError(
            "no signed list of bundles yet", where=where, expected="an update before", hint=NONE_YET
        ) from error
    except (OSError, ValueError) as error:
        raise BundleError(
            f"cannot be read ({error})", where=str(path.parent), expected="the signed list", hint=AGAIN
        ) from error
    # A root that was put there since counts from its own version on; one seen in an update that broke off does not yet.
    trusted = [one for one in chain if one.version <= version] or chain[:1]
    targets = read_metadata(data)
    if targets is None or targets.signed.type != "targets" or not _is_signed(trusted[-1], "targets", targets):
        problem = f"the signed list is not signed by the keys of root version {trusted[-1].version}"
        raise BundleError(problem, where=str(path), expected=f"a list that follows from {where_root}", hint=AGAIN)
    return listed(targets.signed, str(path))


def listed(targets: Targets, where: str) -> SignedList:
    """What checked targets metadata lists."""
    return signed_list(targets.targets, targets.unrecognized_fields, where)


def _following(root: Root, metadata: Path) -> Root | None:
    try:
        data = read_bounded(metadata / HISTORY / f"{root.version + 1}.root.json")
    except OSError:
        return None
    found = read_metadata(data)
    if found is None or found.signed.type != "root" or found.signed.version != root.version + 1:
        return None
    is_signed = _is_signed(root, "root", found) and _is_signed(found.signed, "root", found)
    return found.signed if is_signed else None


def _is_signed(root: Root, role: str, metadata: Metadata[Any]) -> bool:
    from tuf.api.exceptions import RepositoryError

    try:
        return bool(root.get_verification_result(role, metadata.signed_bytes, metadata.signatures))
    except (RepositoryError, ValueError):
        return False
