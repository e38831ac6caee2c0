"""Everything that Ostiary raises on purpose, and the exit code that each becomes.

    OstiaryError                     1  anything else that was foreseen
    ├── UsageError                   2  a command line or configuration that cannot be meant
    │   ├── ConfigError              2  ostiary.yaml: every fault at once, with key paths
    │   └── MissingDependencyError   2  an optional package is needed; names the extra
    ├── UnavailableError             3  retryable: the outside world is not there (yet)
    │   ├── SourceError              3  camera, stream or file gives no frames
    │   │   └── SourceStuckError     3  not retryable: a call never came back, and only a new process frees the camera
    │   ├── BrokerError              3  MQTT broker refuses, or cannot be reached
    │   └── RepositoryError          3  where signed bundles come from cannot be reached, or breaks off
    ├── RejectedError                4  an artifact must not be used
    │   ├── BundleError              4  manifest, digest, signature, file
    │   ├── ModelError               4  a network that the runtime cannot load or run
    │   ├── GalleryError             4  corrupt, from a newer version, or of another embedder
    │   └── OutboxError              4  from a newer version, not an outbox, or cannot be written
    └── PictureError                 1  one picture cannot be read
        └── EnrolmentRefusedError    1  a picture was read but must not become an enrolment

`retryable` says whether doing the same thing later may work. A message tells what was found, what was
expected, where, and what to do next; `docs/troubleshooting.md` is keyed by the first words of each.
"""

from __future__ import annotations

from typing import ClassVar

EXIT_OK = 0
EXIT_OTHER = 1
EXIT_USAGE = 2
EXIT_UNAVAILABLE = 3
EXIT_REJECTED = 4


class OstiaryError(Exception):
    """A fault that a user can act on. `str()` gives one to three short lines, without a traceback."""

    exit_code: ClassVar[int] = EXIT_OTHER
    retryable: ClassVar[bool] = False

    def __init__(self, problem: str, *, where: str = "", expected: str = "", hint: str = "") -> None:
        """`problem` says what was found, `where` the file, key or address, `hint` the next step."""
        super().__init__(problem)
        self.problem = problem
        self.where = where
        self.expected = expected
        self.hint = hint

    def __str__(self) -> str:
        head = f"{self.where}: {self.problem}" if self.where else self.problem
        if self.expected:
            head = f"{head}; expected {self.expected}"
        return f"{head}\n  {self.hint}" if self.hint else head


class UsageError(OstiaryError):
    """A command line or configuration that cannot be meant."""

    exit_code = EXIT_USAGE


class ConfigError(UsageError):
    """The configuration has faults; `problem` holds all of them, a line each."""


class MissingDependencyError(UsageError):
    """An optional package is needed for what was asked."""

    def __init__(self, package: str, *, extra: str, purpose: str) -> None:
        """`extra` is the name in brackets behind `pip install ostiary`."""
        super().__init__(f"{package} is not installed, and {purpose} needs it", hint=f"pip install 'ostiary[{extra}]'")
        self.package = package
        self.extra = extra


class UnavailableError(OstiaryError):
    """The outside world is not there, or not yet."""

    exit_code = EXIT_UNAVAILABLE
    retryable = True


class SourceError(UnavailableError):
    """A camera, stream or file gives no frames."""


class SourceStuckError(SourceError):
    """A call into the camera's library never came back and keeps the camera; trying again in this process is in vain."""

    retryable = False


class BrokerError(UnavailableError):
    """The MQTT broker refuses us or cannot be reached."""


class RepositoryError(UnavailableError):
    """Where signed bundles come from cannot be reached, or breaks off; what comes from there and is wrong is a BundleError."""


class RejectedError(OstiaryError):
    """An artifact must not be used as it is."""

    exit_code = EXIT_REJECTED


class BundleError(RejectedError):
    """A manifest, digest or file of a bundle is wrong."""


class ModelError(RejectedError):
    """A network that the runtime cannot load or run, or whose shape differs from its manifest."""


class GalleryError(RejectedError):
    """A gallery that is corrupt, was written by a newer version, or belongs to another embedder."""


class OutboxError(RejectedError):
    """An outbox that a newer version wrote, that is none, that another process holds, or that cannot be written."""


class PictureError(OstiaryError):
    """One picture cannot be read."""


class EnrolmentRefusedError(PictureError):
    """A picture was read, but would make a bad enrolment; `reason` is a stable word for programs."""

    def __init__(self, reason: str, problem: str, *, where: str = "", expected: str = "", hint: str = "") -> None:
        """`reason` is one of no_face, several_faces, too_small, too_blurred, turned_away, duplicate, unlike."""
        super().__init__(problem, where=where, expected=expected, hint=hint)
        self.reason = reason
