"""A box with a root of trust, and an owner who signs for it."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from edge.bundle.trust import Offer, Trust
from edge.errors import BundleError
from tests.support.repositories import Owner, tiny_bundle


@dataclass
class Door:
    """Everything of one test, in one folder."""

    folder: Path
    owner: Owner
    trust: Trust

    @property
    def repository(self) -> Path:
        return self.folder / "repository"

    def bundle(self, name: str, content: bytes = b"detector") -> Path:
        return tiny_bundle(self.folder / "bundles" / name, name, content=content)

    def fetch(self, source: Path | str | None = None, name: str | None = None, trust: Trust | None = None) -> Offer:
        """Into a folder of its own."""
        places = self.folder / "into"
        into = places / str(len(list(places.iterdir())))
        into.mkdir()
        return (trust or self.trust).fetch(str(source or self.repository), name, into)

    @property
    def installed(self) -> Path:
        """What was fetched first."""
        return self.folder / "into" / "0"

    def refused(self, source: Path | str | None = None, name: str | None = None) -> str:
        """The first line of the refusal."""
        with pytest.raises(BundleError) as caught:
            self.fetch(source, name)
        assert caught.value.hint or caught.value.expected
        return caught.value.problem


def _door(folder: Path, owner: Owner) -> Door:
    return Door(folder, owner, Trust(folder / "trust", device="front", machine="aarch64"))


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Door:
    """Bundle `door-1` signed, published, fetched."""
    folder, owner = tmp_path_factory.mktemp("door"), Owner()
    (folder / "into").mkdir()
    owner.add(tiny_bundle(folder / "bundles" / "door-1", "door-1"), version=1)
    owner.publish(folder / "repository")
    owner.trust(folder / "trust")
    door = _door(folder, owner)
    door.fetch()
    return door


@pytest.fixture
def door(made_once: Door, tmp_path: Path) -> Door:
    """A copy of it, to be spoiled."""
    folder = Path(shutil.copytree(made_once.folder, tmp_path / "door", symlinks=True))
    return _door(folder, made_once.owner.copy())
