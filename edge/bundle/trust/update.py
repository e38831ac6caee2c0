"""One update of what is trusted: tuf's client workflow in a copy on disk, and the clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from edge.bundle.trust.chain import first_root, listed, read_metadata, roots_of
from edge.bundle.trust.diagnosis import Evidence, explained
from edge.bundle.trust.offer import SignedList
from edge.bundle.trust.places import Downloader
from edge.bundle.trust.state import METADATA, put_in_force, read_bounded, read_moment, write_moment
from edge.errors import BundleError, RepositoryError

if TYPE_CHECKING:
    from tuf.api.metadata import Root, Timestamp
    from tuf.ngclient import FetcherInterface, Updater

ISSUED = "x-ostiary-issued"
"""Field of signed metadata: when it was signed. No clock that is right can be behind it."""
FLOOR = datetime(2026, 1, 1, tzinfo=UTC)
"""Before this there was no signed bundle."""
TOLERANCE = timedelta(minutes=10)
"""Between the clocks of a signer and of a box."""
CLOCK = "Set the clock, or let the box reach a time server (timedatectl): without it nobody can tell what has expired."


class Update:
    """Metadata of a place, checked against what this box trusts."""

    def __init__(self, root: bytes, where_root: str, draft: Path, downloader: Downloader) -> None:
        """`root` are the bytes of the installer's root.json; `draft` is a generation of TrustState, and written."""
        self._root, self._where_root = root, where_root
        self._draft, self._downloader = draft, downloader
        self._updater: Updater | None = None

    def run(self, now: datetime) -> SignedList:
        """Bring metadata up to date; what the new list says. BundleError, RepositoryError."""
        from tuf.api.exceptions import DownloadError
        from tuf.api.exceptions import RepositoryError as Refused

        where = self._downloader.place.where
        if now < FLOOR:
            raise _clock_error("this box's clock is not set", now, FLOOR)
        first_root(self._root, self._where_root)
        try:
            self._updater = self._made()
            self._updater.refresh()
        except (Refused, DownloadError, ValueError, TypeError, LookupError, AttributeError) as error:
            raise explained(error, self._evidence()) from error
        except RepositoryError as error:
            # A wrong clock makes certificates look as if they were not valid.
            self._check_clock(now, error)
            raise
        self._check_clock(now, None)
        root = self._roots()[-1]
        found = listed(self._metadata("targets"), f"{where}/{METADATA}")
        put_in_force(self._draft, root.version)
        self._remember(now, root)
        return found

    def fetch_file(self, name: str, path: Path) -> None:
        """A listed file to `path`; BundleError where it is not what was signed."""
        from tuf.api.exceptions import DownloadError
        from tuf.api.exceptions import RepositoryError as Refused

        if self._updater is None:
            raise RuntimeError("run comes first")
        target = self._updater.get_targetinfo(name)
        if target is None:
            raise RuntimeError(f"{name} is not listed")
        try:
            self._updater.download_target(target, str(path))
        except (Refused, DownloadError) as error:
            hint = "It was damaged on its way, or somebody put another in its place: copy the repository again."
            where = f"{self._downloader.place.where}/{self._downloader.name}"
            expected = f"{target.length} bytes of SHA-256 {target.hashes.get('sha256', '?')}"
            raise BundleError("not the file that was signed", where=where, expected=expected, hint=hint) from error

    def _made(self) -> Updater:
        from tuf.ngclient import Updater

        return Updater(
            metadata_dir=str(self._draft / METADATA),
            metadata_base_url=METADATA,
            target_base_url="targets",
            fetcher=cast("FetcherInterface", self._downloader),
            bootstrap=self._root,
        )

    def _roots(self) -> list[Root]:
        return roots_of(self._root, self._where_root, self._draft / METADATA)

    def _metadata(self, role: str) -> Any:
        """As tuf has checked and kept it."""
        found = read_metadata(read_bounded(self._draft / METADATA / f"{role}.json"))
        return None if found is None else found.signed

    def _kept(self, role: str) -> Any:
        try:
            return self._metadata(role)
        except OSError:
            return None

    def _evidence(self) -> Evidence:
        downloader = self._downloader
        return Evidence(
            place=downloader.place.where,
            name=downloader.name,
            data=downloader.data,
            roots=self._roots(),
            kept={role: self._kept(role) for role in ("timestamp", "snapshot", "targets")},
            has=downloader.has,
        )

    def _check_clock(self, now: datetime, cause: Exception | None) -> None:
        """BundleError where the clock is behind what was signed, or behind the newest moment that was trusted."""
        keys = self._roots()[-1].get_delegated_role("timestamp").keyids
        issued = None if cause is not None else issued_at(self._kept("timestamp"))
        moments = [one for one in (read_moment(self._draft, keys), issued) if one is not None]
        if moments and now < max(moments) - TOLERANCE:
            raise _clock_error("this box's clock is behind", now, max(moments)) from cause

    def _remember(self, now: datetime, root: Root) -> None:
        """`now` lies before the expiry of the timestamp, so a clock that runs ahead once does no harm for longer than that."""
        keys = root.get_delegated_role("timestamp").keyids
        before = read_moment(self._draft, keys)
        moment = max(one for one in (now, issued_at(self._kept("timestamp")), before) if one is not None)
        if before is None or moment - before >= timedelta(hours=1):
            write_moment(self._draft, moment, keys)


def issued_at(timestamp: Timestamp | None) -> datetime | None:
    """When it was signed, where it says so."""
    said = None if timestamp is None else timestamp.unrecognized_fields.get(ISSUED)
    try:
        return datetime.strptime(str(said), "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except ValueError:
        return None


def _clock_error(problem: str, now: datetime, least: datetime) -> BundleError:
    return BundleError(
        f"{problem}: {now:%Y-%m-%d %H:%M} UTC", expected=f"{least:%Y-%m-%d %H:%M} UTC or later", hint=CLOCK
    )
