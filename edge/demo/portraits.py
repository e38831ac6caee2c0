"""Two public-domain portraits that well-known packages carry: somebody to enrol, and a stranger."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path

from edge.datatypes import Image
from edge.errors import MissingDependencyError
from edge.pictures import read_picture


@dataclass(frozen=True, slots=True)
class Portrait:
    """A picture with one clear face."""

    name: str
    package: str
    parts: tuple[str, ...]
    bust: tuple[int, int, int, int]
    """Head and shoulders: x1, y1, x2, y2 in pixels."""

    def path(self) -> Path:
        """Where the installed package keeps it, found without importing the package."""
        spec = importlib.util.find_spec(self.package)
        if spec is None or spec.origin is None:
            raise MissingDependencyError(self.package, extra="demo", purpose=f"the portrait of {self.name}")
        return Path(spec.origin).parent.joinpath(*self.parts)

    def picture(self) -> Image:
        """Head and shoulders, BGR uint8."""
        x1, y1, x2, y2 = self.bust
        return read_picture(self.path())[y1:y2, x1:x2]


HOPPER = Portrait("Grace Hopper", "matplotlib", ("mpl-data", "sample_data", "grace_hopper.jpg"), (0, 0, 512, 600))
"""US Navy, 1984; public domain."""
COLLINS = Portrait("Eileen Collins", "skimage", ("data", "astronaut.png"), (84, 0, 364, 330))
"""NASA, 1999; public domain."""
