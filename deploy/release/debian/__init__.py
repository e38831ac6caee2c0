"""A release as a Debian package; the templates lie in deploy/debian."""

from deploy.release.debian.package import build_package

__all__ = ["build_package"]
