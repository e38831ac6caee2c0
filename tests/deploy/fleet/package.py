"""A package to try waves with: the real units and the real program, run from the checkout instead of being brought along."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from tests.support.data import ROOT

ARCHITECTURE = "amd64"
_LAUNCHER = """#!/bin/sh
export PYTHONPATH=/opt/box/app:/opt/box/site PYTHONDONTWRITEBYTECODE=1 LD_LIBRARY_PATH={libraries}
exec /opt/box/python/bin/{python} -m edge "$@"
"""
_BROKEN = "#!/bin/sh\necho 'a fault of this release' >&2\nexit 1\n"
_CONTROL = """Package: ostiary
Version: {version}
Architecture: {architecture}
Maintainer: The Ostiary authors <ostiary@packages.invalid>
Description: stand-in for the package of a release
"""


def revision() -> str:
    """As the packages of a release end on this Debian."""
    major = next(line for line in Path("/etc/os-release").read_text().splitlines() if line.startswith("VERSION_ID="))
    return f"1~deb{major.split('=')[1].strip(chr(34))}u1"


def architecture() -> str:
    """Of this machine's packages."""
    return subprocess.run(["dpkg", "--print-architecture"], capture_output=True, text=True, check=True).stdout.strip()


def stand_in(folder: Path, version: str, *, is_broken: bool = False) -> Path:
    """The file, named as those of a release are. A broken one does not even start."""
    full = f"{version}-{revision()}"
    root = folder / f"root-{version}"
    _fill(root, is_broken=is_broken)
    control = root / "DEBIAN"
    control.mkdir()
    (control / "control").write_text(_CONTROL.format(version=full, architecture=architecture()))
    (control / "conffiles").write_text("/etc/ostiary/ostiary.yaml\n")
    for name in ("postinst", "prerm", "postrm"):
        # Nothing is there to be compiled.
        text = (ROOT / "deploy" / "debian" / name).read_text().replace("    compile\n", "")
        (control / name).write_text(text)
        (control / name).chmod(0o755)
    made = folder / f"ostiary_{full}_{architecture()}.deb"
    command = ["dpkg-deb", "--root-owner-group", "-Znone", "--build", str(root), str(made)]
    subprocess.run(command, capture_output=True, check=True)
    shutil.rmtree(root)
    return made


def _fill(root: Path, *, is_broken: bool) -> None:
    python = Path(os.path.realpath(getattr(sys, "_base_executable", sys.executable))).name
    libraries = "/opt/box/python/lib" if sysconfig.get_config_var("Py_ENABLE_SHARED") else ""
    launcher = _BROKEN if is_broken else _LAUNCHER.format(python=python, libraries=libraries)
    texts = {
        "usr/lib/ostiary/bin/ostiary": launcher,
        "etc/ostiary/ostiary.yaml": "device: {}\n",
        **{f"usr/lib/systemd/system/{name}": _unit(name) for name in ("ostiary.service", "ostiary@.service")},
        "usr/lib/sysusers.d/ostiary.conf": _unit("ostiary.sysusers"),
        "usr/lib/tmpfiles.d/ostiary.conf": _unit("ostiary.tmpfiles"),
        "usr/bin/ostiaryctl": _unit("ostiaryctl"),
    }
    for place, text in texts.items():
        path = root / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755 if "/bin/" in f"/{place}" else 0o644)


def _unit(name: str) -> str:
    return (ROOT / "systemd" / name).read_text()
