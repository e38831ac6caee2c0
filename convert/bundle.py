"""Write a bundle: files, then a manifest with their digests, then all of it at once where it belongs."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge.bundle import MANIFEST_NAME, Bundle, load_bundle, sha256_of
from edge.bundle.manifest import File, Manifest
from edge.errors import UsageError


@dataclass(frozen=True, slots=True)
class Artifact:
    """One file to be, and what the manifest says of it."""

    data: bytes
    role: str
    source: str = ""
    licence: str = ""


def write_bundle(folder: Path, artifacts: Mapping[str, Artifact], about: Mapping[str, Any]) -> Bundle:
    """Write every artifact and the manifest into `folder`, then load it as a device does.

    `about` holds the manifest's fields but `files`.
    """
    files = []
    for name, artifact in sorted(artifacts.items()):
        path = folder / name
        path.write_bytes(artifact.data)
        path.chmod(0o644)
        files.append(File(name, artifact.role, sha256_of(path), len(artifact.data), artifact.source, artifact.licence))
    manifest = Manifest(files=tuple(files), **about)
    path = folder / MANIFEST_NAME
    path.write_text(manifest_text(manifest), encoding="utf-8")
    path.chmod(0o644)
    return load_bundle(folder)


def manifest_text(manifest: Manifest) -> str:
    """As it stands in the file."""
    return json.dumps(dataclasses.asdict(manifest), indent=2, ensure_ascii=False) + "\n"


@contextlib.contextmanager
def replaced_folder(target: Path, marks: tuple[str, ...] = ()) -> Iterator[Path]:
    """An empty folder that becomes `target` when the block ends well, and vanishes when it does not.

    An older bundle at `target` stays until then, or an older folder with one of the files `marks`. UsageError when
    something else is there: it is not ours to replace. Its parent is a scratch folder, and vanishes either way.
    """
    target = target.absolute()
    _refuse_foreign(target, (MANIFEST_NAME, *marks))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    except OSError as error:
        raise UsageError(f"cannot be written ({error.strerror})", where=str(target.parent)) from error
    try:
        folder = scratch / "new"
        folder.mkdir(mode=0o755)
        yield folder
        _swap(folder, target, scratch / "old")
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _swap(folder: Path, target: Path, old: Path) -> None:
    """Two renames; should the second fail, the first is undone."""
    if target.exists():
        target.rename(old)
    try:
        folder.rename(target)
    except OSError:
        if old.exists():
            old.rename(target)
        raise


def _refuse_foreign(target: Path, marks: tuple[str, ...]) -> None:
    if not target.exists():
        return
    is_ours = target.is_dir() and (any((target / mark).is_file() for mark in marks) or not any(target.iterdir()))
    if not is_ours:
        hint = "Name a folder that does not exist yet, or one that holds a bundle."
        raise UsageError("something that is no bundle is there", where=str(target), hint=hint)
