"""Connection plugin of the tests: a command runs in the namespaces of a box, whose process 1 is `box_pid`."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any, ClassVar

from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.connection import ConnectionBase

DOCUMENTATION = """
name: box
short_description: run in the namespaces of a box
description: as root, by nsenter.
options:
  box_pid:
    description: process 1 of the box
    type: int
    required: true
    vars: [{name: box_pid}]
"""


class Connection(ConnectionBase):  # type: ignore[misc]
    """Nothing is kept open: the box is there or it is not."""

    transport: ClassVar[str] = "box"
    has_pipelining: ClassVar[bool] = True

    def _connect(self) -> Connection:
        pid = self.get_option("box_pid")
        if not Path(f"/proc/{pid}/ns/mnt").exists():
            raise AnsibleConnectionFailure(f"the box is off: no process {pid}")
        self._connected = True
        return self

    def _run(self, command: list[str], **how: Any) -> subprocess.CompletedProcess[bytes]:
        self._connect()
        pid = self.get_option("box_pid")
        flags = ["--mount", "--pid", "--ipc", "--uts", "--cgroup", "--wdns=/"]
        return subprocess.run(["nsenter", f"--target={pid}", *flags, *command], capture_output=True, check=False, **how)

    def exec_command(
        self,
        cmd: str,
        in_data: bytes | None = None,
        sudoable: bool = True,  # noqa: FBT001, FBT002 - as ansible calls it
    ) -> tuple[int, bytes, bytes]:
        """A line of the box's shell."""
        super().exec_command(cmd, in_data=in_data, sudoable=sudoable)
        done = self._run(["/bin/sh", "-c", cmd], input=in_data or b"")
        return done.returncode, done.stdout, done.stderr

    def put_file(self, in_path: str, out_path: str) -> None:
        """Onto the box."""
        with Path(in_path).open("rb") as data:
            done = self._run(["/bin/sh", "-c", 'cat > "$0"', out_path], stdin=data)
        if done.returncode != 0:
            raise AnsibleConnectionFailure(done.stderr.decode(errors="replace"))

    def fetch_file(self, in_path: str, out_path: str) -> None:
        """From the box."""
        Path(out_path).write_bytes(self._run(["cat", in_path]).stdout)

    def close(self) -> None:
        """Nothing is open."""
        self._connected = False
