"""Runs as the service, in its sandbox, and tries what it must not be able to do; `probe.py FILE` writes the outcome as JSON.

`probe.py FILE hang` says that it is ready, and then nothing more.
"""

from __future__ import annotations

import ctypes
import errno
import json
import mmap
import os
import resource
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edge.health import ServiceManager, rss_bytes, temperature_c
from edge.timebase import boot_id, clock_synced

LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNS, CLONE_NEWUSER, MS_BIND, SCHED_FIFO, CLOCK_REALTIME = 0x20000, 0x10000000, 4096, 1, 0
PERSONALITY_READ_IMPLIES_EXEC = 0x0400000
KEXEC_PTRACE_TRACEME = 0
AF_VSOCK, NETLINK_KOBJECT_UEVENT = 40, 15


def _call(name: str, *arguments: Any) -> None:
    ctypes.set_errno(0)
    if getattr(LIBC, name)(*arguments) == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _executable_page(first: int, then: int | None = None) -> None:
    LIBC.mmap.restype = ctypes.c_void_p
    LIBC.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
    LIBC.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    place = LIBC.mmap(None, mmap.PAGESIZE, first, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1, 0)
    if place in (None, ctypes.c_void_p(-1).value):
        raise OSError(ctypes.get_errno(), "mmap")
    if then is not None:
        _call("mprotect", place, mmap.PAGESIZE, then)


def _run_from(folder: str) -> None:
    program = Path(folder) / "program"
    program.write_text("#!/bin/sh\nexit 0\n")
    program.chmod(0o700)
    os.execv(program, [str(program)])  # noqa: S606


def _chmod_setuid() -> None:
    path = Path("/tmp/setuid")  # noqa: S108 - the service's own
    path.write_text("")
    path.chmod(0o4755)


def _datagram(family: int, kind: int, protocol: int = 0) -> Callable[[], None]:
    return lambda: socket.socket(family, kind, protocol).close()


STATE = os.environ.get("STATE_DIRECTORY", "").split(":")
READ_WRITE = mmap.PROT_READ | mmap.PROT_WRITE

FORBIDDEN: dict[str, Callable[[], object]] = {
    "write /usr": lambda: Path("/usr/made").write_text(""),
    "write /usr/lib/ostiary": lambda: Path("/usr/lib/ostiary/made").write_text(""),
    "write /etc/ostiary": lambda: Path("/etc/ostiary/made").write_text(""),
    "write /var/lib": lambda: Path("/var/lib/made").write_text(""),
    "write /sys": lambda: Path("/sys/power/state").write_text(""),
    "write /proc/sys": lambda: Path("/proc/sys/kernel/hostname").write_text("x"),
    "write a control group": lambda: Path("/sys/fs/cgroup/made").mkdir(),
    "list /home": lambda: list(Path("/home").iterdir()),
    "list /root": lambda: list(Path("/root").iterdir()),
    "read a secret on disk": lambda: Path("/etc/ostiary/mqtt-password").read_text(),
    "see process 1": lambda: Path("/proc/1/cmdline").read_bytes(),
    "read the kernel's log": lambda: Path("/proc/kmsg").open("rb").close(),
    "open another device": lambda: Path("/dev/fuse").open("rb").close(),
    "mount": lambda: _call("mount", b"/tmp", b"/tmp", None, MS_BIND, None),
    "chroot": lambda: os.chroot("/tmp"),  # noqa: S108
    "new mount namespace": lambda: _call("unshare", CLONE_NEWNS),
    "new user namespace": lambda: _call("unshare", CLONE_NEWUSER),
    "packet socket": _datagram(socket.AF_PACKET, socket.SOCK_RAW),
    "raw socket": _datagram(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP),
    "vsock": _datagram(AF_VSOCK, socket.SOCK_STREAM),
    "writable and executable memory": lambda: _executable_page(READ_WRITE | mmap.PROT_EXEC),
    "memory made executable": lambda: _executable_page(READ_WRITE, mmap.PROT_READ | mmap.PROT_EXEC),
    "become root": lambda: os.setuid(0),
    "set-user-id file": _chmod_setuid,
    "run a file of its state": lambda: _run_from(STATE[0]),
    "run a file of the shared state": lambda: _run_from(STATE[-1]),
    "run a file of /tmp": lambda: _run_from("/tmp"),  # noqa: S108
    "run a file of /dev/shm": lambda: _run_from("/dev/shm"),  # noqa: S108
    "real-time scheduling": lambda: os.sched_setscheduler(0, SCHED_FIFO, os.sched_param(1)),
    "set the clock": lambda: time.clock_settime(CLOCK_REALTIME, time.time()),
    "rename the box": lambda: socket.sethostname("other"),
    "another personality": lambda: _call("personality", PERSONALITY_READ_IMPLIES_EXEC),
    "trace": lambda: _call("ptrace", KEXEC_PTRACE_TRACEME, 0, None, None),
    "load a module": lambda: _call("syscall", 313, -1, b"", 0),
}


def _status(field: str) -> str:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(line.split(":", 1)[1].strip() for line in lines if line.startswith(f"{field}:"))


def _uevents() -> bool:
    with socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, NETLINK_KOBJECT_UEVENT) as heard:
        heard.bind((0, 2))
    return True


def _credential(name: str) -> str:
    return (Path(os.environ["CREDENTIALS_DIRECTORY"]) / name).read_text()


ALLOWED: dict[str, Callable[[], object]] = {
    "own state": lambda: [Path(folder, "made").write_text("x") for folder in STATE],
    "mode of own files": lambda: oct(Path(STATE[0], "made").stat().st_mode & 0o777),
    "others' files in /tmp": lambda: os.listdir("/tmp"),  # noqa: S108, PTH208 - names alone
    "a file of the group video": lambda: Path("/dev/camera-group").read_text(),
    "credential": lambda: _credential("mqtt-password"),
    "absent credential": lambda: _credential("template-key"),
    "camera hotplug": _uevents,
    "names": lambda: bool(socket.getaddrinfo("localhost", 1883)),
    "processors": lambda: bool(Path("/proc/cpuinfo").read_text()),
    "boot id": boot_id,
    "clock": clock_synced,
    "memory": lambda: rss_bytes() > 1_000_000,
    "temperature": temperature_c,
    "user": lambda: os.geteuid() != 0,
    "capabilities": lambda: [int(_status(name), 16) for name in ("CapEff", "CapPrm", "CapBnd", "CapAmb")],
    "no new privileges": lambda: _status("NoNewPrivs"),
    "seccomp": lambda: _status("Seccomp"),
    "core dumps": lambda: resource.getrlimit(resource.RLIMIT_CORE),
}  # fmt: skip


def _tried(action: Callable[[], object]) -> Any:
    """What it gives, or how the kernel refuses; in a child, as some of it would end us."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.set_inheritable(writer, False)  # noqa: FBT003
        try:
            said: Any = {"gives": action()}
        except OSError as error:
            said = {"refused": errno.errorcode.get(error.errno or 0, str(error))}
        os.write(writer, json.dumps(said).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as answers:
        answer = answers.read()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return {"killed": signal.Signals(os.WTERMSIG(status)).name}
    # Nothing said, and no signal: it became another program.
    return json.loads(answer) if answer else {"gives": "another program"}


def main() -> None:
    """Ready at once, as the daemon is."""
    ServiceManager().ready("probing")
    if "hang" in sys.argv:
        time.sleep(600)
    found = {name: _tried(action) for name, action in {**FORBIDDEN, **ALLOWED}.items()}
    Path(sys.argv[1]).write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main()
