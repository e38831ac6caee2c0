"""A box at a door, emulated: a Debian of another architecture that begins as a given root and leaves that root as it is."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from convert.benchmark.boards import Board, write_description
from tests.deploy import package_life

USER = "ostiary"
LIBRARY = Path("usr/lib/ostiary")
PYTHON = f"/{LIBRARY}/bin/python3"
STATE = "/var/lib/ostiary"
LIMIT_S = 900.0
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_DEVICES = ("null", "zero", "full", "random", "urandom")


@dataclass(slots=True)
class Box(package_life.Box):
    """Running programs is all that it does: nothing is started by itself. The network is this machine's."""

    cpu: str = ""
    """QEMU's name of the core: its default is one that no board has."""
    layer: Path = field(default_factory=Path)
    """What differs from the root that it began as."""

    @property
    def surroundings(self) -> dict[str, str]:
        """Environment of every program: nothing of the host's."""
        cores = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        home = {"HOME": "/root", "PATH": _PATH, "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}
        return {**home, **cores, **({"QEMU_CPU": self.cpu} if self.cpu else {})}

    def command(self, *command: str, user: str = "root") -> list[str]:
        """What starts a program inside."""
        switch: list[str] = []
        if user != "root":
            switch = ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups", "--no-new-privs"]
        return ["chroot", str(self.root), *switch, *command]

    def run(self, *command: str, code: int | None = 0, user: str = "root") -> str:
        """A program's standard output and error; `code` is what it has to end with, None for anything."""
        done = subprocess.run(
            self.command(*command, user=user), env=self.surroundings, stdin=subprocess.DEVNULL, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, timeout=LIMIT_S, errors="replace",
        )  # fmt: skip
        if code is not None:
            assert done.returncode == code, f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout[-3000:]}"
        return done.stdout

    def put(self, source: Path, place: str) -> str:
        """A copy that everybody may read; returns its path inside."""
        path = self.root / place.removeprefix("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, path)
        path.chmod(0o644)
        return f"/{path.relative_to(self.root)}"


@contextmanager
def box(base: Path, folder: Path, board: Board, *, layer: Path | None = None) -> Iterator[Box]:
    """Mounted in memory for as long as the context lasts; `layer` is that of another box, of which this is then a copy."""
    with ExitStack() as mounts:
        folder.mkdir(parents=True)
        _mount(mounts, "-t", "tmpfs", "-o", "mode=0755,size=3g", "box", folder)
        upper, work, root, described = (folder / name for name in ("layer", "work", "root", "described"))
        for made in (work, root, described):
            made.mkdir()
        if layer is None:
            upper.mkdir()
        else:
            subprocess.run(["cp", "-a", str(layer), str(upper)], check=True)
        options = ",".join(
            f"{name}={_escaped(path)}" for name, path in (("lowerdir", base), ("upperdir", upper), ("workdir", work))
        )
        _mount(mounts, "-t", "overlay", "-o", options, "box", root)
        write_description(described, board)
        if (root / "proc").is_symlink():
            # debootstrap does that in a container, and it leads out of the box.
            (root / "proc").unlink()
            (root / "proc").mkdir()
        _mount(mounts, "-t", "proc", "proc", root / "proc")
        _mount(mounts, "--bind", described / "proc/cpuinfo", root / "proc/cpuinfo")
        _mount(mounts, "--bind", described / "sys", root / "sys")
        _make_devices(mounts, root / "dev")
        yield Box(root, cpu=board.cpu, layer=upper)


def _make_devices(mounts: ExitStack, folder: Path) -> None:
    """The machine's own: making them anew is not allowed everywhere."""
    _mount(mounts, "-t", "tmpfs", "-o", "mode=0755", "dev", folder)
    (folder / "shm").mkdir(mode=0o1777)
    (folder / "shm").chmod(0o1777)
    for name in _DEVICES:
        (folder / name).touch()
        _mount(mounts, "--bind", Path("/dev") / name, folder / name)


def _mount(mounts: ExitStack, *arguments: str | Path) -> None:
    subprocess.run(["mount", *map(str, arguments)], check=True)
    # What a program that still ends holds open goes with it.
    mounts.callback(subprocess.run, ["umount", "--lazy", str(arguments[-1])], check=True)


def _escaped(path: Path) -> str:
    """As overlayfs wants a path within its options."""
    return str(path.resolve()).replace("\\", "\\\\").replace(":", "\\:").replace(",", "\\,")
