"""A folder as one tar archive, the same bytes every time: sorted, of nobody, of one moment.

Not compressed: 99 % of a release are wheels, which are compressed already. gzip saved 0.8 % of 79 MB, and would make the
bytes hang on a version of zlib.
"""

from __future__ import annotations

import tarfile
from pathlib import Path


def write_tar(folder: Path, path: Path, epoch: int) -> Path:
    """Pack `folder`, under its own name, into `path`."""
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
        for entry in [folder, *sorted(folder.rglob("*"), key=lambda it: it.relative_to(folder).as_posix())]:
            name = entry.relative_to(folder.parent).as_posix()
            member = tarfile.TarInfo(name)
            member.mtime, member.mode = epoch, mode_of(entry)
            if entry.is_dir():
                member.type = tarfile.DIRTYPE
                archive.addfile(member)
                continue
            member.size = entry.stat().st_size
            with entry.open("rb") as handle:
                archive.addfile(member, handle)
    return path


def mode_of(entry: Path) -> int:
    """0755 for folders and programs, 0644 for the rest, whatever the umask of whoever builds."""
    return 0o755 if entry.is_dir() or entry.stat().st_mode & 0o100 else 0o644
