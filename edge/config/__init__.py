"""`ostiary.yaml` -> validated, frozen settings."""

from edge.config.loader import find_config, load_settings, parse_settings
from edge.config.settings import Settings

__all__ = ["Settings", "find_config", "load_settings", "parse_settings"]
