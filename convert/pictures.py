"""Labelled pictures in the layout of Labeled Faces in the Wild: NAME/NAME_0001.jpg, in a folder or a tar file."""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import Protocol

from edge.datatypes import Image
from edge.errors import PictureError, UsageError
from edge.pictures import PICTURE_SUFFIXES, decode_picture, read_picture

_LAYOUT = "pictures named NAME/NAME_0001.jpg, in a folder or a .tar file"


class PictureStore(Protocol):
    """Pictures by name."""

    @property
    def label(self) -> str:
        """What a report calls it: the name of the file or folder."""

    @property
    def names(self) -> list[str]:
        """NAME/NAME_0001.jpg of every picture, sorted."""

    def read(self, name: str) -> Image:
        """BGR uint8. PictureError when it is missing or damaged."""


def person_of(name: str) -> str:
    """NAME of NAME/NAME_0001.jpg."""
    return name.split("/", 1)[0]


def open_pictures(path: Path) -> PictureStore:
    """A folder or a tar file. UsageError when it is neither, or holds no such picture."""
    if not path.exists():
        raise UsageError("no such file or folder", where=str(path), expected=_LAYOUT)
    store: PictureStore = PictureFolder(path) if path.is_dir() else PictureTar(path)
    if not store.names:
        raise UsageError("holds no labelled pictures", where=str(path), expected=_LAYOUT)
    return store


class PictureFolder:
    """Pictures one folder below `path`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.label = path.name
        found = [item for item in path.glob("*/*") if item.suffix.lower() in PICTURE_SUFFIXES]
        self.names = sorted(f"{item.parent.name}/{item.name}" for item in found)

    def read(self, name: str) -> Image:
        """BGR uint8 picture."""
        return read_picture(self._path / name)


class PictureTar:
    """Pictures in a tar file, at any depth; nothing is unpacked to disk."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.label = path.name
        try:
            with tarfile.open(path) as tar:
                members = [member for member in tar if member.isfile()]
        except (tarfile.TarError, OSError, EOFError) as error:
            raise UsageError(f"not a whole tar file ({error})", where=str(path), expected=_LAYOUT) from error
        parts = {tuple(member.name.split("/")[-2:]): member for member in members}
        self._members = {
            "/".join(key): member
            for key, member in parts.items()
            if len(key) == 2 and Path(key[1]).suffix.lower() in PICTURE_SUFFIXES
        }
        self.names = sorted(self._members)

    def read(self, name: str) -> Image:
        """BGR uint8 picture."""
        where = f"{self._path}:{name}"
        if name not in self._members:
            raise PictureError("no such picture", where=where, expected="a picture in the tar file")
        try:
            # Opening reads one header; an open file would have to be closed by whoever holds the store.
            with tarfile.open(self._path) as tar:
                handle = tar.extractfile(self._members[name])
                data = handle.read() if handle is not None else b""
        except (tarfile.TarError, OSError, EOFError) as error:
            raise PictureError(f"cannot be read ({error})", where=where, hint="Copy the tar file again.") from error
        return decode_picture(data, where)
