"""The folder of a release, file by file. docs/release.md says what is in it and what for."""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.release.archive import mode_of
from deploy.release.licences import Licence, licence_of
from deploy.release.origin import Origin
from deploy.release.project import build_project
from deploy.release.sbom import FILE_NAME as BILL
from deploy.release.sbom import Materials, bill_of_materials
from deploy.release.target import Target
from deploy.release.wheel import Wheel, check_wheel, info_folder
from deploy.release.wheelhouse import collect
from edge.bundle import Bundle
from edge.bundle.folder import MANIFEST_NAME, sha256_of
from edge.config.reference import example_file

SUMS = "SHA256SUMS"
ABOUT = "release.json"
INSTALLER = "install.sh"
SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Ingredients:
    """What the caller chooses."""

    origin: Origin
    target: Target
    bundle: Bundle
    configuration: str
    cache: Path | None = None
    """Folder of wheels that were fetched before."""


def release_name(origin: Origin, target: Target) -> str:
    """ostiary-0.1.0-bookworm-arm64."""
    return f"ostiary-{origin.version}-{target.label}"


def fill_folder(ingredients: Ingredients, folder: Path) -> None:
    """Write everything into an empty folder."""
    origin, target = ingredients.origin, ingredients.target
    wheels = [
        check_wheel(build_project(origin, folder / "wheels", ingredients.bundle), target),
        *collect(target, folder / "wheels", checkout=origin.checkout, cache=ingredients.cache),
    ]
    apache = (origin.checkout / "LICENSE").read_bytes()
    licences = {wheel.name: licence_of(wheel, apache) for wheel in wheels}
    _write_licences(wheels, licences, ingredients.bundle, folder / "LICENSES")
    bills = _write_bills(wheels, folder)
    _copy_bundle(ingredients.bundle, folder / "bundle")
    _copy_units(origin.checkout, folder / "systemd")
    _write(folder / "config" / "ostiary.yaml", ingredients.configuration.encode())
    _write(folder / "config" / "ostiary.example.yaml", example_file().encode())
    materials = Materials(origin, target, wheels, licences, ingredients.bundle, bills)
    _write(folder / BILL, bill_of_materials(materials).encode())
    _write(folder / INSTALLER, _installer(origin, target).encode(), executable=True)
    _write(folder / ABOUT, _about(ingredients, wheels).encode())
    _write(folder / SUMS, _sums(folder).encode())
    _settle(folder, origin.epoch)


def _write(path: Path, data: bytes, *, executable: bool = False) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    path.chmod(0o755 if executable else 0o644)


def _write_licences(wheels: Sequence[Wheel], licences: Mapping[str, Licence], bundle: Bundle, folder: Path) -> None:
    rows = [f"{wheel.name} {wheel.version}: {licences[wheel.name].expression}\n" for wheel in wheels]
    for wheel in wheels:
        for name, text in licences[wheel.name].texts:
            _write(folder / f"{wheel.name}-{wheel.version}" / name, text)
    files = bundle.manifest.files
    rows += [
        f"bundle {bundle.manifest.bundle_id}, {file.path}: {file.licence or 'its manifest does not say'}\n"
        for file in files
        if file.role != "document"
    ]
    _write(folder / "LICENCES.txt", "".join(rows).encode())


def _write_bills(wheels: Sequence[Wheel], folder: Path) -> dict[str, list[str]]:
    """What wheels say of the libraries inside them (PEP 770), copied to `sboms/`; paths by the wheel's name."""
    bills: dict[str, list[str]] = {}
    for wheel in wheels:
        with zipfile.ZipFile(wheel.path) as archive:
            inside = f"{info_folder(archive, wheel.path)}sboms/"
            for name in sorted(archive.namelist()):
                short = name.removeprefix(inside)
                if not name.startswith(inside) or not short or "/" in short or short.startswith("."):
                    continue
                path = f"sboms/{wheel.name}-{wheel.version}/{short}"
                _write(folder / path, archive.read(name))
                bills.setdefault(wheel.name, []).append(path)
    return bills


def _copy_bundle(bundle: Bundle, folder: Path) -> None:
    for name in (MANIFEST_NAME, *(file.path for file in bundle.manifest.files)):
        _write(folder / name, bundle.path(name).read_bytes())


def _copy_units(checkout: Path, folder: Path) -> None:
    for path in sorted((checkout / "systemd").iterdir()):
        if path.is_file():
            _write(folder / path.name, path.read_bytes(), executable=path.suffix == "")


def _installer(origin: Origin, target: Target) -> str:
    """install.sh of this target."""
    text = (origin.checkout / "deploy" / "release" / INSTALLER).read_text(encoding="utf-8")
    packages = " ".join(("python3-venv", *target.distribution_packages))
    words = {"ARCHITECTURE": target.name, "DEBIAN": target.debian, "PYTHON": target.python, "PACKAGES": packages}
    for word, value in words.items():
        text = text.replace(f"@{word}@", value)
    return text


def _about(ingredients: Ingredients, wheels: Sequence[Wheel]) -> str:
    """release.json: what to put in to get the same bytes out."""
    origin, target, bundle = ingredients.origin, ingredients.target, ingredients.bundle
    about = {
        "schema": SCHEMA,
        "name": release_name(origin, target),
        "version": origin.version,
        "architecture": target.name,
        "debian": target.debian,
        "python": target.python,
        "source_date_epoch": origin.epoch,
        "commit": origin.commit,
        "lock": {"file": target.lock, "sha256": sha256_of(origin.checkout / target.lock)},
        "bundle": {"id": bundle.manifest.bundle_id, "manifest_sha256": sha256_of(bundle.path(MANIFEST_NAME))},
        "configuration_sha256": hashlib.sha256(ingredients.configuration.encode()).hexdigest(),
        "wheels": {wheel.path.name: wheel.sha256 for wheel in wheels},
        "needs_glibc": ".".join(map(str, max((it.glibc for it in wheels if it.glibc), default=target.glibc))),
        "distribution_packages": list(target.distribution_packages),
    }
    return json.dumps(about, indent=2) + "\n"


def _sums(folder: Path) -> str:
    """As sha256sum writes and checks it."""
    return "".join(f"{sha256_of(path)}  {path.relative_to(folder).as_posix()}\n" for path in _files(folder))


def _files(folder: Path) -> Iterator[Path]:
    found = (path for path in folder.rglob("*") if path.is_file())
    yield from sorted(found, key=lambda path: path.relative_to(folder).as_posix())


def _settle(folder: Path, epoch: int) -> None:
    """Modes and dates that do not tell who made it, and when; folders last, as a file within changes them."""
    for path in [*_files(folder), *sorted((it for it in folder.rglob("*") if it.is_dir()), reverse=True), folder]:
        path.chmod(mode_of(path))
        os.utime(path, (epoch, epoch))
