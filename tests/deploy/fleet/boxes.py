"""Boxes for Ansible: a whole root each, in memory, over the machine's own or over another Debian's."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from tests.support.data import ROOT
from tests.systemd import box as one_box

HERE = Path(__file__).parent


class Machine(one_box.Box):
    """A box on which nothing is installed yet. What is installed on it is gone when it stops."""

    boot = HERE / "boot.sh"

    def __init__(self, folder: Path, root: Path = Path("/")) -> None:
        super().__init__(folder)
        self._root = root

    def _furnish(self) -> None:
        units = self.folder / "units"
        units.mkdir(parents=True)
        os.environ["BOX_ROOT"] = str(self._root)
        for name in ("multi-user.target", *one_box._EMPTY):
            (units / name).write_text(one_box._STAGE.format(name))
        (units / "box.target").write_text(one_box._STAGE.format("box") + "Wants=systemd-journald.service\n")
        shutil.copytree(ROOT / "edge", self.folder / "app" / "edge", ignore=shutil.ignore_patterns("__pycache__"))

    @property
    def pid(self) -> int:
        """Of its process 1, as the machine sees it."""
        return self._pid

    def run(self, *command: object, **options: Any) -> subprocess.CompletedProcess[str]:
        """A program inside, as root; whatever it ends with."""
        return subprocess.run(
            [*inside(self._pid), *map(str, command)], capture_output=True, text=True, check=False, **options
        )


def inside(pid: int) -> list[str]:
    """What a command begins with to run in the box of that process 1. Kept equal in connection/box.py."""
    return ["nsenter", f"--target={pid}", "--mount", "--pid", "--ipc", "--uts", "--cgroup", "--wdns=/"]


@contextmanager
def machines(folder: Path, *names: str, root: Path = Path("/")) -> Iterator[dict[str, Machine]]:
    """Running for as long as the context lasts, by their names."""
    with ExitStack() as stack:
        made = {}
        for name in names:
            made[name] = Machine(folder / name, root)
            stack.callback(made[name].stop)
            made[name].start()
        yield made
