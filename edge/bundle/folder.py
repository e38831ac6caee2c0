"""A bundle: a folder with `manifest.json` and the artifacts it names, read whole and checked before anything runs."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from edge.bundle.manifest import SCHEMA_VERSION, File, Manifest, OperatingPoint
from edge.errors import BundleError
from edge.validation import build

MANIFEST_NAME = "manifest.json"
MAX_MANIFEST_BYTES = 1_000_000
MAX_ARTIFACT_BYTES = 512_000_000


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle whose every file is there and has the digest that its manifest gives."""

    folder: Path
    manifest: Manifest

    def path(self, name: str) -> Path:
        """Path of an artifact."""
        return self.folder / name

    def operating_point(self, name: str) -> OperatingPoint:
        """By name; BundleError lists those that the bundle has."""
        points = self.manifest.operating_points
        if name not in points:
            hint = "Set decide.operating_point to one of them."
            raise BundleError(
                f"no operating point {name!r}",
                where=str(self.folder),
                expected=f"one of {', '.join(points)}",
                hint=hint,
            )
        return points[name]


def default_bundle_folder() -> Path:
    """The bundle that the package carries."""
    return Path(str(resources.files("edge") / "data" / "default-bundle"))


def load_bundle(folder: Path | None = None) -> Bundle:
    """Read and check a bundle; None means the default one. BundleError (exit code 4) says what is wrong with which file."""
    folder = folder or default_bundle_folder()
    manifest = _read_manifest(folder / MANIFEST_NAME)
    for file in manifest.files:
        _check_file(folder, file)
    return Bundle(folder, manifest)


def _read_manifest(path: Path) -> Manifest:
    where = str(path)
    try:
        with path.open("rb") as handle:
            raw = handle.read(MAX_MANIFEST_BYTES + 1)
    except OSError as error:
        hint = "A bundle is a folder made by `ostiary-convert build`; leave --bundle out to use the default one."
        raise BundleError(
            f"cannot be read ({error.strerror})", where=where, expected="the manifest of a bundle", hint=hint
        ) from error
    if len(raw) > MAX_MANIFEST_BYTES:
        raise BundleError(f"more than {MAX_MANIFEST_BYTES} bytes", where=where, expected="a manifest of a few pages")
    try:
        data = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise BundleError(
            f"not JSON ({type(error).__name__})", where=where, expected="a manifest", hint="Copy the bundle again."
        ) from error
    found = data.get("schema") if isinstance(data, dict) else None
    if isinstance(found, int) and found > SCHEMA_VERSION:
        hint = "Update ostiary on this box, or use a bundle made for this version."
        raise BundleError(
            f"manifest of schema {found}, from a newer version",
            where=where,
            expected=f"schema {SCHEMA_VERSION}",
            hint=hint,
        )
    manifest, faults = build(Manifest, data)
    if manifest is None:
        rows = "\n".join(f"  {fault}" for fault in faults)
        raise BundleError(
            f"{len(faults)} fault(s) in the manifest\n{rows}", where=where, hint="Build the bundle again."
        )
    return manifest


def _check_file(folder: Path, file: File) -> None:
    path = folder / file.path
    hint = "The file was changed or only partly copied: copy the bundle again."
    try:
        if not path.is_file():
            raise BundleError("missing", where=str(path), expected="every file that the manifest names", hint=hint)
        size = path.stat().st_size
        if size != file.bytes or size > MAX_ARTIFACT_BYTES:
            expected = f"{file.bytes} bytes, and at most {MAX_ARTIFACT_BYTES}"
            raise BundleError(f"{size} bytes", where=str(path), expected=expected, hint=hint)
        digest = sha256_of(path)
    except OSError as error:
        raise BundleError(f"cannot be read ({error.strerror})", where=str(path), expected="a readable file") from error
    if digest != file.sha256:
        raise BundleError(f"SHA-256 {digest}", where=str(path), expected=file.sha256, hint=hint)


def sha256_of(path: Path) -> str:
    """Hex digest of a file."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
