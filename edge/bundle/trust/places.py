"""Where a repository lies: a folder (a USB stick, a share), or a web server. What comes from there is not trusted yet."""

from __future__ import annotations

import os
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol
from urllib.parse import unquote, urlsplit

from edge.bundle.folder import MANIFEST_NAME
from edge.errors import BundleError, RepositoryError, UsageError

CHUNK_BYTES = 65_536
LOCAL = ("localhost", "127.0.0.1", "::1")
NEVER_CLEAR = "What is signed needs no secret way, but whoever can change the way can hold back what is new: use https."
ENDLESS = "It was altered, or never ends: copy the repository again, and ask whose server or stick that is."


class MissingFileError(Exception):
    """The place has no such file; at the end of the chain of roots that is as it should be."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a place may take: TUF's slow retrieval attack keeps a client waiting by a byte now and then."""

    timeout_s: float = 30.0
    """Without a single byte."""
    grace_s: float = 60.0
    """For a file of any size; after that it must come at the rate below."""
    least_bytes_s: float = 4_000.0


class Place(Protocol):
    """Gives files by their names, such as `metadata/timestamp.json`."""

    where: str

    def chunks(self, name: str) -> Iterator[bytes]:
        """Bytes of a file; MissingFileError, RepositoryError."""


def open_place(source: str, limits: Limits = Limits()) -> Place:
    """A folder, or an address that begins with https. UsageError for any other, RepositoryError where nothing is there."""
    scheme, separator, _ = source.partition("://")
    if not separator:
        return FolderPlace(Path(source))
    if scheme.lower() == "file":
        return FolderPlace(Path(unquote(urlsplit(source).path)))
    check_address(source)
    from edge.bundle.trust.web import WebPlace

    return WebPlace(source.rstrip("/"), limits)


def check_address(address: str) -> None:
    """UsageError where it is no address that may be fetched from."""
    try:
        parts = urlsplit(address)
        host = parts.hostname
    except ValueError:
        parts, host = urlsplit(""), None
    if not host or parts.scheme not in {"http", "https"}:
        expected = "a folder, or an address that begins with https://"
        raise UsageError(f"cannot be fetched from {address[:200]!r}", expected=expected)
    if parts.scheme == "http" and host not in LOCAL:
        raise UsageError("http without TLS", where=address[:200], expected="https://", hint=NEVER_CLEAR)


class FolderPlace:
    """A repository in a folder."""

    def __init__(self, folder: Path) -> None:
        self.where = str(folder)
        self._folder = folder
        if (folder / "metadata").is_dir():
            return
        if (folder / MANIFEST_NAME).is_file():
            hint = "Its owner signs it with `ostiary-convert sign add`; this box takes no other (updates.trust)."
            raise BundleError(
                "not signed: a plain bundle", where=self.where, expected="a repository of signed bundles", hint=hint
            )
        problem = "not a repository of signed bundles" if folder.is_dir() else "no such folder"
        hint = "A repository is a folder with metadata/ and targets/. Is the stick mounted?"
        raise RepositoryError(problem, where=self.where, expected="a folder with metadata/", hint=hint)

    def chunks(self, name: str) -> Iterator[bytes]:
        """Bytes of a regular file: opening a pipe or a device on a stranger's stick could wait for ever."""
        path = self._folder / name
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            with os.fdopen(descriptor, "rb") as handle:
                if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                    raise RepositoryError("not a file", where=str(path), expected="a plain file")
                while chunk := handle.read(CHUNK_BYTES):
                    yield chunk
        except (FileNotFoundError, NotADirectoryError) as error:
            raise MissingFileError(name) from error
        except OSError as error:
            raise RepositoryError(
                f"cannot be read ({error.strerror})", where=str(path), expected="a readable file"
            ) from error


class Downloader:
    """What tuf's updater asks for files (its FetcherInterface, so far as it is called), within limits of our own."""

    def __init__(
        self,
        place: Place,
        scratch: Path,
        *,
        limits: Limits = Limits(),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`scratch` takes what is being fetched: /tmp is in memory on many boxes."""
        self.place = place
        self.name = ""
        """Of the file asked for last."""
        self.data = b""
        """The metadata that came last, for a diagnosis."""
        self._scratch = scratch
        self._limits = limits
        self._clock = clock

    @contextmanager
    def download_file(self, url: str, max_length: int) -> Iterator[IO[bytes]]:
        """The bytes under a name in a temporary file, which is at its beginning."""
        self.name, self.data = url, b""
        where = f"{self.place.where}/{url}"
        with tempfile.TemporaryFile(dir=self._scratch) as file:
            got, begun = 0, self._clock()
            for chunk in self._chunks(url):
                got += len(chunk)
                if got > max_length:
                    problem = f"longer than what was signed: more than {max_length} bytes"
                    raise BundleError(problem, where=where, expected="an end", hint=ENDLESS)
                self._check_pace(got, self._clock() - begun, where)
                file.write(chunk)
            file.seek(0)
            yield file

    def download_bytes(self, url: str, max_length: int) -> bytes:
        """The bytes under a name."""
        with self.download_file(url, max_length) as file:
            self.data = file.read()
        return self.data

    def has(self, name: str) -> bool:
        """Whether the place gives a file of that name."""
        try:
            next(self.place.chunks(name), None)
        except (MissingFileError, RepositoryError):
            return False
        return True

    def _chunks(self, name: str) -> Iterator[bytes]:
        from tuf.api.exceptions import DownloadHTTPError

        try:
            yield from self.place.chunks(name)
        except MissingFileError as error:
            if name.endswith(".root.json"):
                # tuf takes this, and nothing else, for the end of the chain of roots.
                raise DownloadHTTPError(name, 404) from error
            hint = "A copy that is not complete, or is being made: try again later. A repository is copied whole, timestamp.json last."
            raise RepositoryError(
                "missing", where=f"{self.place.where}/{name}", expected="every file that was signed", hint=hint
            ) from error

    def _check_pace(self, got: int, took_s: float, where: str) -> None:
        limits = self._limits
        if took_s > limits.grace_s and got < (took_s - limits.grace_s) * limits.least_bytes_s:
            problem = f"too slow: {got} bytes in {took_s:.0f} s"
            raise RepositoryError(problem, where=where, expected=f"{limits.least_bytes_s:.0f} bytes a second")
