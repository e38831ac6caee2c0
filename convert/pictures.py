"""Pictures in a folder, a tar file or a list: labelled as Labeled Faces in the Wild has them (NAME/NAME_0001.jpg), or just pictures."""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import Protocol

from edge.datatypes import Image
from edge.errors import PictureError, UsageError
from edge.pictures import PICTURE_SUFFIXES, decode_picture, read_picture

_LAYOUT = "pictures named NAME/NAME_0001.jpg, in a folder or a .tar file"
_ANY = "a folder or a .tar file with pictures, or a text file with a path a line"
_MOST_LIST_BYTES = 50_000_000


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


def open_any_pictures(path: Path) -> PictureStore:
    """Pictures of any name and at any depth: a folder, a tar file, or a text file with one path a line.

    Paths in a list are relative to the list. UsageError when there is no picture.
    """
    if not path.exists():
        raise UsageError("no such file or folder", where=str(path), expected=_ANY)
    if path.is_dir():
        store: PictureStore = PictureFolder(path, pattern="**/*")
    else:
        store = PictureTar(path, labelled=False) if tarfile.is_tarfile(path) else PictureList(path)
    if not store.names:
        raise UsageError("holds no pictures", where=str(path), expected=_ANY)
    return store


class PictureFolder:
    """Pictures below `path`; those one folder down when labelled."""

    def __init__(self, path: Path, pattern: str = "*/*") -> None:
        self._path = path
        self.label = path.name
        found = [item for item in path.glob(pattern) if item.suffix.lower() in PICTURE_SUFFIXES]
        self.names = sorted(str(item.relative_to(path)) for item in found)

    def read(self, name: str) -> Image:
        """BGR uint8 picture."""
        return read_picture(self._path / name)


class PictureList:
    """Pictures named in a text file."""

    def __init__(self, path: Path) -> None:
        self._folder = path.parent
        self.label = path.name
        try:
            if path.stat().st_size > _MOST_LIST_BYTES:
                raise UsageError(f"{path.stat().st_size} bytes", where=str(path), expected=_ANY)
            lines = path.read_text(encoding="utf-8").splitlines()
        except OSError as error:
            raise UsageError(f"cannot be read ({error.strerror})", where=str(path), expected=_ANY) from error
        except UnicodeDecodeError as error:
            raise UsageError("neither a tar file nor UTF-8 text", where=str(path), expected=_ANY) from error
        self.names = [line.strip() for line in lines if Path(line.strip()).suffix.lower() in PICTURE_SUFFIXES]

    def read(self, name: str) -> Image:
        """BGR uint8 picture."""
        return read_picture(self._folder / name)


class PictureTar:
    """Pictures in a tar file, at any depth; nothing is unpacked to disk. Labelled ones are named NAME/NAME_0001.jpg."""

    def __init__(self, path: Path, *, labelled: bool = True) -> None:
        self._path = path
        self.label = path.name
        try:
            with tarfile.open(path) as tar:
                members = [member for member in tar if member.isfile()]
        except (tarfile.TarError, OSError, EOFError) as error:
            raise UsageError(f"not a whole tar file ({error})", where=str(path), expected=_LAYOUT) from error
        parts = {tuple(member.name.split("/")[-2:] if labelled else [member.name]): member for member in members}
        self._members = {
            "/".join(key): member
            for key, member in parts.items()
            if len(key) == (2 if labelled else 1) and Path(key[-1]).suffix.lower() in PICTURE_SUFFIXES
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
