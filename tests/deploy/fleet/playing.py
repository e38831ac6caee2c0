"""Runs playbooks of deploy/ansible against boxes, as an operator would, and reads what they say."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.deploy.fleet.boxes import HERE, Machine
from tests.support.data import ROOT

PLAYBOOKS = ROOT / "deploy" / "ansible"
_RECAP = re.compile(r"^(\S+)\s+: (ok=.*)$", re.MULTILINE)


def ansible_playbook() -> str | None:
    """The program: the one of $OSTIARY_ANSIBLE, a folder of programs, else beside this Python, else of the path."""
    folder = os.environ.get("OSTIARY_ANSIBLE")
    return shutil.which("ansible-playbook", path=folder or f"{Path(sys.executable).parent}:{os.environ['PATH']}")


@dataclass(frozen=True, slots=True)
class Played:
    """What became of a run."""

    code: int
    said: str
    seconds: float

    @property
    def recap(self) -> dict[str, dict[str, int]]:
        """Box -> ok, changed, unreachable, failed, skipped, rescued, ignored."""
        rows = {name: dict(pair.split("=") for pair in text.split()) for name, text in _RECAP.findall(self.said)}
        return {name: {key: int(value) for key, value in row.items()} for name, row in rows.items()}

    def total(self, what: str) -> int:
        """Over all boxes."""
        return sum(row[what] for row in self.recap.values())


@dataclass(frozen=True, slots=True)
class Fleet:
    """Boxes, and the inventory that names them."""

    folder: Path
    boxes: Mapping[str, Machine]
    canaries: tuple[str, ...]
    variables: Mapping[str, Any]

    @property
    def log(self) -> Path:
        """What the playbook that runs has said until now."""
        return self.folder / "playing.log"

    def inventory(self) -> Path:
        """Written anew: what the boxes are now."""
        hosts = {
            name: {"ansible_connection": "box", "box_pid": box.pid, "ansible_become": False}
            for name, box in self.boxes.items()
        }
        data = {
            "ostiary": {"hosts": hosts, "vars": dict(self.variables)},
            "ostiary_canaries": {"hosts": {name: {} for name in self.canaries}},
        }
        path = self.folder / "inventory.json"
        path.write_text(json.dumps(data, indent=1))
        return path

    def play(self, playbook: str, *options: str, **variables: Any) -> Played:
        """To its end, whatever that is."""
        program = ansible_playbook()
        assert program is not None
        command = [
            program,
            str(PLAYBOOKS / playbook),
            "-i",
            str(self.inventory()),
            *options,
            "-e",
            json.dumps(variables),
        ]
        started = time.monotonic()
        with self.log.open("wb") as output:
            code = subprocess.call(
                command, stdout=output, stderr=output, env=self._environment(), cwd=self.folder, timeout=900
            )
        return Played(code, self.log.read_text(encoding="utf-8"), time.monotonic() - started)

    def _environment(self) -> dict[str, str]:
        home = self.folder / "home"
        home.mkdir(exist_ok=True)
        return {
            **os.environ, "HOME": str(home), "ANSIBLE_CONFIG": str(PLAYBOOKS / "ansible.cfg"), "ANSIBLE_CONNECTION_PLUGINS": str(HERE / "connection"),
            "ANSIBLE_NOCOLOR": "1", "LC_ALL": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1",
            "PATH": f"{Path(ansible_playbook() or '').parent}:{os.environ['PATH']}",
        }  # fmt: skip
