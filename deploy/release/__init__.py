"""Releases: everything that a box needs, for one architecture and one Debian, in one folder, the same bytes every time."""
