"""/usr/share/doc/ostiary/copyright: every project in the package, with the text of its licence.

Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterable
from email.message import Message
from pathlib import Path

from deploy.release.debian.environment import Environment
from deploy.release.licences import licence_of
from deploy.release.wheel import check_wheel, info_folder, metadata

_UNSPACED = re.compile(r"[^A-Za-z0-9.+-]+")


def copyright_of(environment: Environment, wheels: Iterable[Path], head: str, apache: bytes) -> str:
    """`head` speaks for Ostiary itself; a paragraph for each other wheel in the environment follows.

    `apache` is the text of that licence, for wheels which leave it out.
    """
    others = [path for path in sorted(wheels) if not path.name.startswith("ostiary-")]
    return "\n\n".join([head.strip(), *(_paragraph(environment, path, apache) for path in others)]) + "\n"


def _paragraph(environment: Environment, path: Path, apache: bytes) -> str:
    wheel = check_wheel(path, environment.target)
    licence = licence_of(wheel, apache)
    said = metadata(path)
    with zipfile.ZipFile(path) as archive:
        info = info_folder(archive, path)
    place = str((environment.home / environment.library).relative_to("/"))
    folders = "\n ".join(f"{place}/{top}" for top in _tops(environment.packages / info))
    # A name of its own for each: two projects' BSD licences differ in whom they name.
    label = f"{wheel.name}-{_UNSPACED.sub('-', licence.expression)[:60].strip('-')}"
    texts = "\n\n".join(f"-- {name}\n{text.decode('utf-8', 'replace').strip()}" for name, text in licence.texts)
    return (
        f"Files: {folders}\nCopyright: {_author(said, wheel.name)}\nLicense: {label}\n"
        f"Comment: {wheel.name} {wheel.version}; licence as it says itself: {licence.expression}"
        f"\n\nLicense: {label}\n{_indented(texts)}"
    )


def _author(said: Message, name: str) -> str:
    found = said.get("Author") or said.get("Author-Email") or said.get("Maintainer-Email")
    return " ".join(str(found or f"the authors of {name}, see the text below").split())


def _tops(info: Path) -> list[str]:
    """Folders and files right below site-packages, as patterns."""
    rows = (info / "RECORD").read_text(encoding="utf-8").splitlines()
    names = {row.partition(",")[0].strip('"') for row in rows}
    return sorted({name.split("/")[0] + ("/*" if "/" in name else "") for name in names if not name.startswith("..")})


def _indented(text: str) -> str:
    lines = (line.replace("\t", "    ").replace("\f", "").rstrip() for line in text.splitlines())
    return "\n".join(f" {line}" if line else " ." for line in lines)
