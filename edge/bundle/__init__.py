"""A bundle: a folder with `manifest.json` and the artifacts it names; what it declares, reading it, and those installed on a box."""

from edge.bundle.folder import (
    MANIFEST_NAME,
    MAX_ARTIFACT_BYTES,
    MAX_MANIFEST_BYTES,
    Bundle,
    default_bundle_folder,
    load_bundle,
    sha256_of,
)

__all__ = [
    "MANIFEST_NAME",
    "MAX_ARTIFACT_BYTES",
    "MAX_MANIFEST_BYTES",
    "Bundle",
    "default_bundle_folder",
    "load_bundle",
    "sha256_of",
]
