"""Two public-domain portraits that well-known packages carry: somebody to enrol, and a stranger."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path

from edge.errors import MissingDependencyError


@dataclass(frozen=True, slots=True)
class Portrait:
    """A picture with one clear face."""

    name: str
    package: str
    parts: tuple[str, ...]

    def path(self) -> Path:
        """Where the installed package keeps it, found without importing the package."""
        spec = importlib.util.find_spec(self.package)
        if spec is None or spec.origin is None:
            raise MissingDependencyError(self.package, extra="demo", purpose=f"the portrait of {self.name}")
        return Path(spec.origin).parent.joinpath(*self.parts)


HOPPER = Portrait("Grace Hopper", "matplotlib", ("mpl-data", "sample_data", "grace_hopper.jpg"))
"""US Navy, 1984; public domain."""
COLLINS = Portrait("Eileen Collins", "skimage", ("data", "astronaut.png"))
"""NASA, 1999; public domain."""
