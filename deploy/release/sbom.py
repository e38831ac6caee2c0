"""The bill of materials: CycloneDX 1.6, as JSON (https://cyclonedx.org/docs/1.6/json/).

What is in it: the wheels, the bundle's files, and what the distribution provides; and who needs whom, by the wheels' own metadata.
What is not: the libraries inside wheels. Some wheels bring a bill of their own for those; it lies in `sboms/` and is referred to.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from deploy.release.dates import iso_date
from deploy.release.licences import UNKNOWN, Licence
from deploy.release.origin import Origin
from deploy.release.target import Provided, Target
from deploy.release.wheel import Wheel, metadata
from edge.bundle import Bundle

FILE_NAME = "sbom.cdx.json"
PROJECT = "ostiary"
_DEBIAN_VERSIONS = {"bookworm": "debian-12", "trixie": "debian-13"}
_NAMESPACE = uuid.UUID("7c1f9f0e-52c6-5b0d-9d4c-0f3c1f6f2a11")
"""Of serial numbers: any UUID would do, if it stays."""
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Materials:
    """What a release is made of."""

    origin: Origin
    target: Target
    wheels: Sequence[Wheel]
    """With the project's own."""
    licences: Mapping[str, Licence]
    """Of each wheel by its name."""
    bundle: Bundle
    bills: Mapping[str, Sequence[str]]
    """Paths in the release of what wheels bring as bills of their own, by name."""


def bill_of_materials(materials: Materials) -> str:
    """The text of sbom.cdx.json: the same for the same materials."""
    body: Json = {
        "metadata": _about(materials),
        "components": [
            *(_wheel(wheel, materials) for wheel in materials.wheels if wheel.name != PROJECT),
            *_bundle_files(materials.bundle),
            *(_provided(it, materials.target) for it in materials.target.provided),
        ],
        "dependencies": list(_dependencies(materials)),
    }
    # The specification wants a serial number for each bill; one that follows from the content is the same every time.
    serial = uuid.uuid5(_NAMESPACE, hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest())
    head = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{serial}",
        "version": 1,
    }
    return json.dumps({**head, **body}, indent=2, ensure_ascii=False) + "\n"


def _about(materials: Materials) -> Json:
    own = next(wheel for wheel in materials.wheels if wheel.name == PROJECT)
    tool = {"type": "application", "name": "ostiary-convert", "version": materials.origin.version}
    return {
        "timestamp": iso_date(materials.origin.epoch),
        "lifecycles": [{"phase": "build"}],
        "tools": {"components": [tool]},
        "component": {
            **_wheel(own, materials),
            "type": "application",
            "description": materials.origin.project["description"],
        },
        "properties": [
            {"name": "ostiary:debian", "value": materials.target.debian},
            {"name": "ostiary:architecture", "value": materials.target.name},
        ],
    }


def _wheel(wheel: Wheel, materials: Materials) -> Json:
    bills = materials.bills.get(wheel.name, ())
    references = {"externalReferences": [{"type": "bom", "url": path} for path in bills]} if bills else {}
    return {
        "type": "library",
        "bom-ref": _reference(wheel),
        "name": wheel.name,
        "version": wheel.version,
        "hashes": [{"alg": "SHA-256", "content": wheel.sha256}],
        "licenses": _licences(materials.licences[wheel.name].expression),
        "purl": _reference(wheel),
        **references,
        "properties": [{"name": "ostiary:file", "value": f"wheels/{wheel.path.name}"}],
    }


def _reference(wheel: Wheel) -> str:
    return f"pkg:pypi/{wheel.name}@{wheel.version}"


def _licences(text: str) -> list[Json]:
    """An SPDX expression, or somebody's own words."""
    if text in {"", UNKNOWN}:
        return []
    operators = any(word in text.split() for word in ("AND", "OR", "WITH"))
    if operators:
        return [{"expression": text}]
    return [{"license": {"id": text}}]


def _bundle_files(bundle: Bundle) -> Iterator[Json]:
    for file in bundle.manifest.files:
        named = {"licenses": [{"license": {"name": file.licence}}]} if file.licence else {}
        yield {
            "type": "file" if file.role == "document" else "machine-learning-model",
            "bom-ref": f"bundle:{bundle.manifest.bundle_id}/{file.path}",
            "name": f"{bundle.manifest.bundle_id}/{file.path}",
            "version": bundle.manifest.bundle_id,
            **({"description": file.source} if file.source else {}),
            "hashes": [{"alg": "SHA-256", "content": file.sha256}],
            **named,
            "properties": [
                {"name": "ostiary:file", "value": f"bundle/{file.path}"},
                {"name": "ostiary:role", "value": file.role},
            ],
        }


def _provided(it: Provided, target: Target) -> Json:
    """Its exact version is the distribution's affair; the one given is that of the first release."""
    return {
        "type": "library",
        "bom-ref": f"debian:{it.package}",
        "name": it.package,
        "version": it.version,
        "purl": f"pkg:deb/debian/{it.package}@{it.version}?arch={target.name}&distro={_DEBIAN_VERSIONS[target.debian]}",
        "properties": [{"name": "ostiary:provides", "value": it.project}],
    }


def _dependencies(materials: Materials) -> Iterator[Json]:
    references = {wheel.name: _reference(wheel) for wheel in materials.wheels}
    references |= {it.project: f"debian:{it.package}" for it in materials.target.provided}
    models = [f"bundle:{materials.bundle.manifest.bundle_id}/{file.path}" for file in materials.bundle.manifest.files]
    for wheel in materials.wheels:
        is_own = wheel.name == PROJECT
        # Whatever is there is there for the project: extras, too.
        wanted = set(references) - {PROJECT} if is_own else _wanted(wheel, materials.target)
        needs = sorted(references[name] for name in wanted if name in references)
        yield {"ref": references[wheel.name], "dependsOn": [*needs, *(models if is_own else ())]}


def _wanted(wheel: Wheel, target: Target) -> set[str]:
    """Names of projects that a wheel asks for on the target, extras left out."""
    names: set[str] = set()
    for text in metadata(wheel.path).get_all("Requires-Dist", []):
        try:
            wanted = Requirement(str(text))
        except InvalidRequirement:
            continue
        if wanted.marker is None or wanted.marker.evaluate(target.environment):
            names.add(canonicalize_name(wanted.name))
    return names
