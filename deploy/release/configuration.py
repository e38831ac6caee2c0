"""The configuration that a release brings."""

from __future__ import annotations

from pathlib import Path

from edge.config.loader import load_settings

DEFAULT = "deploy/debian/ostiary.yaml"
"""The package's: short, so that an upgrade hardly ever changes it and asks nobody about it. Every key is in the example beside it."""


def configuration_text(path: Path) -> str:
    """A configuration, checked: ConfigError (exit code 2) names every fault in it."""
    load_settings(path)
    return path.read_text(encoding="utf-8")
