"""Whose bundles this box takes: The Update Framework's client, its trusted metadata on disk, and the refusals in words of our own.

Specification: https://theupdateframework.github.io/specification/v1.0.33/ ("TUF" below); docs/updates.md has what it means here.
"""

from edge.bundle.trust.offer import Offer
from edge.bundle.trust.trust import Trust, trust_of

__all__ = ["Offer", "Trust", "trust_of"]
