"""What a release is made for: an architecture and a Debian, and with them a Python, a C library and what wheels there are."""

from __future__ import annotations

from dataclasses import dataclass

from packaging.tags import Tag, compatible_tags, cpython_tags

from edge.errors import UsageError

OLDEST_MANYLINUX = 17
"""glibc 2.17: what is older than manylinux2014 nobody builds for Python 3.11 any more."""


@dataclass(frozen=True, slots=True)
class Provided:
    """A Python package that comes from the distribution, because nobody publishes a wheel of it for the target."""

    project: str
    """Its name in a lock."""
    package: str
    """Its name in Debian."""
    version: str
    """What that Debian has."""


@dataclass(frozen=True, slots=True)
class Target:
    """One column of the table in docs/release.md."""

    name: str
    """As Debian calls the architecture: arm64, armhf or amd64."""
    debian: str
    """bookworm or trixie."""
    python: str
    """The distribution's Python: 3.11 or 3.13."""
    machine: str
    """As `uname -m` and wheels call it: aarch64, armv7l or x86_64."""
    triplet: str
    """Of its libraries' folders: aarch64-linux-gnu."""
    glibc: tuple[int, int]
    """The distribution's C library: what a wheel may ask for at most."""
    lock: str
    """What is installed there, relative to the checkout."""
    tflite: str
    """The project that runs embedders: ai-edge-litert or tflite-runtime; empty where nobody publishes one."""
    provided: tuple[Provided, ...] = ()
    """What is not in the wheelhouse, because the distribution has it."""

    @property
    def label(self) -> str:
        """bookworm-arm64: ends the names of releases."""
        return f"{self.debian}-{self.name}"

    @property
    def distribution_packages(self) -> tuple[str, ...]:
        """Debian packages that stand in for wheels."""
        return tuple(it.package for it in self.provided)

    @property
    def platforms(self) -> tuple[str, ...]:
        """Platform tags of wheels that run there, in the order in which a Python there would prefer them."""
        major, newest = self.glibc
        tags = [f"manylinux_{major}_{minor}_{self.machine}" for minor in range(newest, OLDEST_MANYLINUX - 1, -1)]
        return (f"linux_{self.machine}", *tags, f"manylinux2014_{self.machine}")

    @property
    def tags(self) -> tuple[Tag, ...]:
        """Every tag of a wheel that runs there, the best first."""
        version = (int(self.python.split(".")[0]), int(self.python.split(".")[1]))
        interpreter = f"cp{version[0]}{version[1]}"
        own = cpython_tags(version, abis=[interpreter], platforms=self.platforms)
        return (*own, *compatible_tags(version, interpreter=interpreter, platforms=self.platforms))

    @property
    def usual_tag(self) -> str:
        """What wheels with libraries for it are called, for people."""
        return str(self.tags[1])

    @property
    def environment(self) -> dict[str, str]:
        """What markers of a lock are judged by: the target's Python, not the one that builds."""
        return {
            "implementation_name": "cpython",
            "implementation_version": f"{self.python}.0",
            "os_name": "posix",
            "platform_machine": self.machine,
            "platform_python_implementation": "CPython",
            "platform_release": "",
            "platform_system": "Linux",
            "platform_version": "",
            "python_full_version": f"{self.python}.0",
            "python_version": self.python,
            "sys_platform": "linux",
            "extra": "",
        }


_DEBIANS = {"bookworm": ("3.11", (2, 36)), "trixie": ("3.13", (2, 41))}
_LOCKS = {"bookworm": "requirements/device-bookworm.txt", "trixie": "requirements/device.txt"}
"""What differs is numpy: Debian 12's picamera2 was built with numpy 1, and does not load beside numpy 2."""
_MACHINES = {
    "arm64": ("aarch64", "aarch64-linux-gnu"),
    "armhf": ("armv7l", "arm-linux-gnueabihf"),
    "amd64": ("x86_64", "x86_64-linux-gnu"),
}
_BOOKWORM_ARMHF = (
    Provided("numpy", "python3-numpy", "1.24.2"),
    Provided("opencv-python-headless", "python3-opencv", "4.6.0"),
    Provided("pyyaml", "python3-yaml", "6.0"),
    Provided("cffi", "python3-cffi-backend", "1.15.1"),
)
"""Projects without armv7l wheels, and what Debian 12 has instead."""


def target_named(name: str, debian: str) -> Target:
    """The target of that architecture and Debian. UsageError for one that is not known, or that nothing can be made for."""
    if name not in _MACHINES:
        raise UsageError(f"no target {name[:64]!r}", expected=f"one of {', '.join(_MACHINES)}")
    if debian not in _DEBIANS:
        raise UsageError(f"no Debian {debian[:64]!r}", expected=f"one of {', '.join(_DEBIANS)}")
    python, glibc = _DEBIANS[debian]
    machine, triplet = _MACHINES[name]
    if name != "armhf":
        lock = _LOCKS[debian]
        return Target(name, debian, python, machine, triplet, glibc, lock, "ai-edge-litert")
    if debian == "bookworm":
        lock = "requirements/device-armhf.txt"
        return Target(name, debian, python, machine, triplet, glibc, lock, "tflite-runtime", _BOOKWORM_ARMHF)
    hint = "Use Debian 12 (--debian bookworm), whose Python has one; or a 64-bit system (--target arm64) on a board that can run it."
    raise UsageError(
        f"no TFLite runtime is published for armhf and Python {python} of {debian}",
        expected="a target whose embedder can run",
        hint=hint,
    )


def all_targets() -> tuple[Target, ...]:
    """Every target that a release can be made for."""
    pairs = [(name, debian) for name in _MACHINES for debian in _DEBIANS]
    return tuple(target_named(*pair) for pair in pairs if pair != ("armhf", "trixie"))
