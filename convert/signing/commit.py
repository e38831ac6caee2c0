"""Several files of a repository change together, or none does, whatever is cut off when.

New files are put into `.next/` and synced; the file READY there is the moment of change. From then on they are moved to
their places, in an order in which a device that reads meanwhile finds what it looks for: what is spoken of before what
speaks of it, timestamp.json last. Whoever opens the repository next finishes what was cut off.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from edge.bundle.durable import replace_file, sync_folder, sync_tree
from edge.errors import UsageError

NEXT = ".next"
READY = ".ready"
LOCK = ".lock"
METADATA = "metadata"
TARGETS = "targets"
STAGED = "staged"
ORDER = (".targets.json", ".snapshot.json", ".root.json", "/timestamp.json")


@contextmanager
def writing(repository: Path) -> Iterator[None]:
    """One process at a time, and what was cut off before is finished. UsageError where it cannot be written."""
    try:
        descriptor = os.open(repository / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise UsageError(
            f"cannot be written ({error.strerror})", where=str(repository), expected="a repository"
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        finish(repository)
        yield
    except BlockingIOError as error:
        raise UsageError("in use by another process", where=str(repository), expected="one at a time") from error
    finally:
        os.close(descriptor)


def commit(
    repository: Path,
    files: Mapping[str, bytes | Path],
    gone: tuple[str, ...] = (),
    *,
    step: Callable[[str], None] = lambda _: None,
) -> None:
    """Bytes, or copies of other files, under names relative to the repository; `gone` go. `step` is told of each change on disk."""
    draft = repository / NEXT
    shutil.rmtree(draft, ignore_errors=True)
    for name, content in files.items():
        path = draft / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, Path):
            shutil.copyfile(content, path)
        else:
            path.write_bytes(content)
        # For web servers, whatever the umask of who signs.
        path.chmod(0o644)
        step(name)
    sync_tree(draft)
    replace_file(draft / READY, json.dumps({"gone": list(gone)}).encode())
    step(READY)
    finish(repository, step=step)


def finish(repository: Path, *, step: Callable[[str], None] = lambda _: None) -> None:
    """Move what is ready; what never became ready goes."""
    draft = repository / NEXT
    if not (draft / READY).is_file():
        shutil.rmtree(draft, ignore_errors=True)
        return
    gone = json.loads((draft / READY).read_bytes())["gone"]
    paths = [path for path in draft.rglob("*") if path.is_file() and path.name != READY]
    for path in sorted(paths, key=lambda path: (_rank(path.as_posix()), path.as_posix())):
        target = repository / path.relative_to(draft)
        target.parent.mkdir(parents=True, exist_ok=True)
        path.replace(target)
        step(target.name)
    for name in gone:
        (repository / name).unlink(missing_ok=True)
        step(name)
    # Until READY goes, all this can be done again.
    for folder in {(repository / name).parent for name in (*(path.relative_to(draft) for path in paths), *gone)}:
        if folder.is_dir():
            sync_folder(folder)
    (draft / READY).unlink()
    shutil.rmtree(draft)
    sync_folder(repository)


def _rank(name: str) -> int:
    return next((rank for rank, ending in enumerate(ORDER, start=1) if name.endswith(ending)), 0)
