"""A virtual environment made of wheels without running the Python that it is for.

Layout of wheels and RECORD: https://packaging.python.org/en/latest/specifications/binary-distribution-format/ and
.../recording-installed-packages/; of the environment: Python's documentation of `venv` and `site`.
"""

from __future__ import annotations

import base64
import configparser
import csv
import hashlib
import io
import re
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from deploy.release.target import Target
from deploy.release.wheel import info_folder
from edge.errors import RejectedError

COMMANDS = ("ostiary",)
"""Of all that the wheels would put into bin/: a box wants no `f2py`."""
_LEFT_OUT = re.compile(
    r"(?:[^/]+/)*__pycache__/|convert/|deploy/|numpy/(?:[^/]+/)*tests/"
    r"|ai_edge_litert/(?:vendors/|tools/apply_plugin_main$|libLiteRt\w+Accelerator\.so$)"
    r"|[^/]+\.dist-info/(?:RECORD|INSTALLER|REQUESTED|direct_url\.json)$"
)
"""Byte code, the host's side, numpy's tests (a sixth of all files), plug-ins for accelerators that no embedder here uses, and what is written anew."""
_SCRIPT = """#!{interpreter} -I
import sys

from {module} import {function}

if __name__ == "__main__":
    sys.exit({function}())
"""
_HINT = "Fetch it again: pip checks it against the lock."


@dataclass(frozen=True, slots=True)
class Environment:
    """The folder that becomes `home` on the box."""

    folder: Path
    """Where it is made."""
    home: PurePosixPath
    """Where it lies on the box."""
    target: Target

    @property
    def library(self) -> str:
        """lib/python3.11/site-packages: an environment's own, also with a Debian Python that calls its own dist-packages."""
        return f"lib/python{self.target.python}/site-packages"

    @property
    def packages(self) -> Path:
        """Where wheels are unpacked."""
        return self.folder / self.library


def make_environment(environment: Environment, wheels: Iterable[Path]) -> None:
    """Fill its folder, sorted by wheel. RejectedError for a wheel that would write elsewhere, or over another's file."""
    environment.packages.mkdir(parents=True)
    _make_interpreter(environment)
    owners: dict[str, str] = {}
    for wheel in sorted(wheels):
        try:
            with zipfile.ZipFile(wheel) as archive:
                _install(environment, wheel, archive, owners)
        except zipfile.BadZipFile as error:
            raise RejectedError(f"not a wheel ({error})", where=wheel.name, hint=_HINT) from error


def _make_interpreter(environment: Environment) -> None:
    python = environment.target.python
    binaries = environment.folder / "bin"
    binaries.mkdir()
    up = "/".join([".."] * len(environment.home.relative_to("/usr").parts))
    (binaries / "python3").symlink_to(f"{up}/../bin/python{python}")
    (binaries / "python").symlink_to("python3")
    # python3-picamera2 and what it needs come from the distribution.
    lines = (
        "home = /usr/bin",
        "include-system-site-packages = true",
        f"version = {python}",
        f"executable = /usr/bin/python{python}",
    )
    settings = environment.folder / "pyvenv.cfg"
    settings.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    settings.chmod(0o644)


def _install(environment: Environment, wheel: Path, archive: zipfile.ZipFile, owners: dict[str, str]) -> None:
    names = [member.filename for member in archive.infolist() if not member.is_dir()]
    info = info_folder(archive, wheel).rstrip("/")
    record = []
    for name in sorted(names):
        place = _place(name, wheel)
        if place is None:
            continue
        _claim(place, wheel, owners)
        record.append(_write(environment.packages, place, archive.read(name)))
    for place, text in _scripts(environment, archive, f"{info}/entry_points.txt").items():
        record.append(_write(environment.packages, place, text.encode(), mode=0o755))
    record.append(_write(environment.packages, f"{info}/INSTALLER", b"dpkg\n"))
    _write(environment.packages, f"{info}/RECORD", _table([*record, (f"{info}/RECORD", "", "")]))


def _place(name: str, wheel: Path) -> str | None:
    """Where a member goes, relative to the packages; None where it is left out."""
    parts = PurePosixPath(name).parts
    if name.startswith("/") or "\\" in name or any(part in {"..", "."} for part in name.split("/")):
        raise RejectedError(
            f"{name!r} would lie outside", where=wheel.name, expected="plain relative names", hint=_HINT
        )
    if parts[0].endswith(".data"):
        if parts[1] not in {"purelib", "platlib"}:
            # scripts, headers and data of other people's projects are nothing that a box runs.
            return None
        parts = parts[2:]
    place = "/".join(parts)
    return None if _LEFT_OUT.match(place) else place


def _claim(place: str, wheel: Path, owners: dict[str, str]) -> None:
    if place in owners:
        raise RejectedError(f"{place} is in {owners[place]}, too", where=wheel.name, expected="one owner for each file")
    owners[place] = wheel.name


def _write(packages: Path, place: str, data: bytes, mode: int = 0o644) -> tuple[str, str, str]:
    """A line of RECORD."""
    path = packages / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    path.chmod(mode)
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
    return place, f"sha256={digest}", str(len(data))


def _scripts(environment: Environment, archive: zipfile.ZipFile, entry_points: str) -> dict[str, str]:
    """Commands by their place relative to the packages."""
    if entry_points not in archive.namelist():
        return {}
    parser = configparser.ConfigParser(delimiters=("=",), interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign] # names keep their case
    parser.read_string(archive.read(entry_points).decode("utf-8"))
    if not parser.has_section("console_scripts"):
        return {}
    up = "/".join([".."] * len(PurePosixPath(environment.library).parts))
    made = {}
    for name, entry in sorted(parser.items("console_scripts")):
        if name in COMMANDS:
            module, _, function = entry.strip().partition(":")
            interpreter = environment.home / "bin" / "python3"
            # -I: nothing that the service's user could write to (its home, the working folder) is on the path.
            made[f"{up}/bin/{name}"] = _SCRIPT.format(interpreter=interpreter, module=module, function=function)
    return made


def _table(record: list[tuple[str, str, str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(sorted(record))
    return text.getvalue().encode("utf-8")
