"""The device's side of the project as a wheel: `edge` and the command `ostiary`, and nothing of the host's side.

Written here rather than by setuptools, because a build must neither need the network for its tools nor change with their
versions. Format: "Binary distribution format" and "Core metadata", packaging.python.org.
"""

from __future__ import annotations

import base64
import hashlib
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from deploy.release.dates import zip_date
from deploy.release.origin import Origin
from edge.bundle import Bundle
from edge.bundle.folder import MANIFEST_NAME

PACKAGE = "edge"
DEFAULT_BUNDLE = f"{PACKAGE}/data/default-bundle"
_HOST_EXTRAS = ("convert", "torch", "demo", "release")
_PLAIN_FIELDS = (("description", "Summary"), ("license", "License-Expression"), ("requires-python", "Requires-Python"))


def build_project(origin: Origin, folder: Path, bundle: Bundle) -> Path:
    """Write the wheel. Its default bundle is `bundle`: what a box runs before anybody installs another one."""
    info = f"ostiary-{origin.version}.dist-info"
    files = {**dict(_package_files(origin.checkout)), **dict(_bundle_files(bundle))}
    files[f"{info}/licenses/LICENSE"] = (origin.checkout / "LICENSE").read_bytes()
    files[f"{info}/METADATA"] = _metadata(origin).encode()
    files[f"{info}/WHEEL"] = (
        b"Wheel-Version: 1.0\nGenerator: ostiary-convert release\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    )
    files[f"{info}/entry_points.txt"] = (
        f"[console_scripts]\nostiary = {origin.project['scripts']['ostiary']}\n".encode()
    )
    files[f"{info}/RECORD"] = _record(files, f"{info}/RECORD")
    path = folder / f"ostiary-{origin.version}-py3-none-any.whl"
    folder.mkdir(parents=True, exist_ok=True)
    _write(path, files, origin.epoch)
    return path


def _package_files(checkout: Path) -> Iterator[tuple[str, bytes]]:
    """Modules and data, but its default bundle."""
    root = checkout / PACKAGE
    for path in sorted(root.rglob("*")):
        name = path.relative_to(checkout).as_posix()
        is_ours = path.suffix == ".py" or path.name == "py.typed" or name.startswith(f"{PACKAGE}/data/")
        is_left_out = "__pycache__" in path.parts or name.startswith(f"{DEFAULT_BUNDLE}/")
        if path.is_file() and is_ours and not is_left_out:
            yield name, path.read_bytes()


def _bundle_files(bundle: Bundle) -> Iterator[tuple[str, bytes]]:
    for name in (MANIFEST_NAME, *(file.path for file in bundle.manifest.files)):
        yield f"{DEFAULT_BUNDLE}/{name}", bundle.path(name).read_bytes()


def _metadata(origin: Origin) -> str:
    """METADATA, version 2.4."""
    project = origin.project
    lines = ["Metadata-Version: 2.4", "Name: ostiary", f"Version: {origin.version}"]
    lines += [f"{field}: {project[key]}" for key, field in _PLAIN_FIELDS]
    lines += [f"Author: {author['name']}" for author in project["authors"]]
    lines += [f"Keywords: {','.join(project['keywords'])}", "License-File: LICENSE"]
    lines += [f"Classifier: {it}" for it in project["classifiers"]]
    return "\n".join([*lines, *_requirements(project)]) + "\n"


def _requirements(project: dict[str, Any]) -> Iterator[str]:
    for text in project["dependencies"]:
        yield f"Requires-Dist: {Requirement(text)}"
    for extra, texts in project["optional-dependencies"].items():
        if extra in _HOST_EXTRAS:
            continue
        yield f"Provides-Extra: {extra}"
        for text in texts:
            wanted = Requirement(text)
            marker = f"({wanted.marker}) and " if wanted.marker is not None else ""
            wanted.marker = None
            yield f'Requires-Dist: {wanted}; {marker}extra == "{extra}"'


def _record(files: dict[str, bytes], own: str) -> bytes:
    rows = []
    for name, data in sorted(files.items()):
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        rows.append(f"{name},sha256={digest},{len(data)}\n")
    return "".join([*rows, f"{own},,\n"]).encode()


def _write(path: Path, files: dict[str, bytes], epoch: int) -> None:
    """Stored, not compressed: compressed bytes hang on the version of zlib. RECORD comes last, as the format asks."""
    with zipfile.ZipFile(path, "w") as archive:
        for name in sorted(files, key=lambda name: (".dist-info/" in name, name.endswith("/RECORD"), name)):
            member = zipfile.ZipInfo(name, zip_date(epoch))
            member.create_system, member.external_attr = 3, 0o100644 << 16
            archive.writestr(member, files[name])
