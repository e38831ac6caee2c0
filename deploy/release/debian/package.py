"""The Debian package of a release, built with dpkg-deb: the same bytes from the same release."""

from __future__ import annotations

import gzip
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path, PurePosixPath

from deploy.release.debian.depends import depends, needed_packages
from deploy.release.debian.environment import Environment, make_environment
from deploy.release.debian.manpage import manpage
from deploy.release.debian.rights import copyright_of
from deploy.release.target import Target
from edge.cli.parser import make_parser
from edge.errors import OstiaryError, UsageError

CHECKOUT = Path(__file__).parents[3]
TEMPLATES = CHECKOUT / "deploy" / "debian"
HOME = PurePosixPath("/usr/lib/ostiary")
CONFFILE = "/etc/ostiary/ostiary.yaml"
SCRIPTS = ("preinst", "postinst", "prerm", "postrm")
_REVISIONS = {"bookworm": "1~deb12u1", "trixie": "1~deb13u1"}
_UNITS = {
    "ostiary.service": "usr/lib/systemd/system/ostiary.service",
    "ostiary@.service": "usr/lib/systemd/system/ostiary@.service",
    "ostiary.sysusers": "usr/lib/sysusers.d/ostiary.conf",
    "ostiary.tmpfiles": "usr/lib/tmpfiles.d/ostiary.conf",
    "ostiaryctl": "usr/bin/ostiaryctl",
}
_DOC = "usr/share/doc/ostiary"


@dataclass(frozen=True, slots=True)
class Package:
    """What is being built."""

    release: Path
    """The release's folder."""
    target: Target
    root: Path
    """Folder that becomes the box's /."""
    upstream: str
    """The version of Ostiary as Python writes it."""
    epoch: int
    """Seconds since 1970 that all files are dated with."""

    @property
    def version(self) -> str:
        """0.1.0-1~deb12u1: a box that goes to the next Debian takes the next one's package for newer."""
        return f"{debian_version(self.upstream)}-{_REVISIONS[self.target.debian]}"

    @property
    def environment(self) -> Environment:
        """Its Python environment."""
        return Environment(self.root / HOME.relative_to("/"), HOME, self.target)


def debian_version(version: str) -> str:
    """A pre-release sorts before its release: 1.0rc1 is 1.0~rc1 (deb-version(7))."""
    return re.sub(r"\.?(a|b|rc|dev)(\d+)", r"~\1\2", version)


def build_package(release_folder: Path, target: Target, out: Path) -> Path:
    """Build `out`/ostiary_VERSION_ARCHITECTURE.deb from a release's folder; returns its path.

    $SOURCE_DATE_EPOCH dates the files (https://reproducible-builds.org/specs/source-date-epoch/). UsageError for a folder that is no
    release; RejectedError for wheels that are damaged, of another machine, or in each other's way.
    """
    if shutil.which("dpkg-deb") is None:
        raise UsageError("dpkg-deb is not installed, and packages are built with it", hint="apt install dpkg")
    out.mkdir(parents=True, exist_ok=True)
    # Beside the result, where there is room: unpacked it is three times as large.
    with tempfile.TemporaryDirectory(dir=out, prefix=".package-") as scratch:
        root = Path(scratch) / "root"
        root.mkdir(mode=0o755)
        package = Package(release_folder, target, root, _upstream(release_folder), _epoch())
        _fill(package)
        _describe(package)
        return _pack(package, out)


def _upstream(release: Path) -> str:
    found = sorted((release / "wheels").glob("ostiary-*.whl"))
    if len(found) != 1:
        hint = "Make it with `ostiary-convert release`."
        raise UsageError(f"{len(found)} wheels of ostiary", where=str(release / "wheels"), expected="one", hint=hint)
    return found[0].name.split("-")[1]


def _epoch() -> int:
    text = os.environ.get("SOURCE_DATE_EPOCH", "")
    if not text.isdecimal():
        hint = "export SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)"
        raise UsageError(f"SOURCE_DATE_EPOCH is {text!r}", expected="seconds since 1970", hint=hint)
    return int(text)


def _fill(package: Package) -> None:
    """Everything but what dpkg keeps for itself."""
    make_environment(package.environment, (package.release / "wheels").glob("*.whl"))
    _link(package.root / "usr/bin/ostiary", "../lib/ostiary/bin/ostiary")
    for name, place in _UNITS.items():
        mode = 0o755 if name == "ostiaryctl" else 0o644
        _put(package.root / place, (package.release / "systemd" / name).read_bytes(), mode)
    _put(package.root / CONFFILE[1:], (package.release / "config/ostiary.yaml").read_bytes(), 0o640)
    _put_documents(package)
    _put_completions(package)


def _put_documents(package: Package) -> None:
    folder = package.root / _DOC
    head = (TEMPLATES / "copyright").read_text(encoding="utf-8")
    wheels, apache = (package.release / "wheels").glob("*.whl"), (CHECKOUT / "LICENSE").read_bytes()
    _put(folder / "copyright", copyright_of(package.environment, wheels, head, apache).encode())
    _put(folder / "README.Debian", (TEMPLATES / "README.Debian").read_bytes())
    _put(folder / "changelog.Debian.gz", _zipped(_filled("changelog", package)))
    _put(folder / "changelog.gz", _zipped((CHECKOUT / "CHANGELOG.md").read_text(encoding="utf-8")))
    _put(folder / "examples/ostiary.yaml", (package.release / "config/ostiary.example.yaml").read_bytes())
    # The bill of materials, and the wheels' own that it names.
    for path in [package.release / "sbom.cdx.json", *sorted((package.release / "sboms").rglob("*.json"))]:
        _put(folder / path.relative_to(package.release), path.read_bytes())
    pages = {
        "ostiary": manpage(make_parser(), package.upstream, package.epoch),
        "ostiaryctl": _filled("ostiaryctl.1", package),
    }
    for name, text in pages.items():
        _put(package.root / f"usr/share/man/man1/{name}.1.gz", _zipped(text))
    _put(package.root / "usr/share/lintian/overrides/ostiary", (TEMPLATES / "lintian-overrides").read_bytes())


def _put_completions(package: Package) -> None:
    """Made by the packaged code itself, so that it knows its own commands; it needs nothing but pure Python for that."""
    if not (package.environment.packages / "shtab").is_dir():
        return
    places = {"bash": "bash-completion/completions/ostiary", "zsh": "zsh/vendor-completions/_ostiary"}
    surroundings = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(package.environment.packages.resolve()),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONHASHSEED": "0",
        "LC_ALL": "C.UTF-8",
    }
    for shell, place in places.items():
        done = subprocess.run(  # noqa: S603 - our own code
            [sys.executable, "-m", "edge", "completion", shell],
            cwd="/",
            env=surroundings,
            capture_output=True,
            check=False,
        )
        if done.returncode != 0:
            said = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
            raise OstiaryError(f"shell completion could not be made: {''.join(said)}", where="wheels/")
        _put(package.root / "usr/share" / place, done.stdout)


def _describe(package: Package) -> None:
    """The folder DEBIAN."""
    files = [path for path in sorted(package.root.rglob("*")) if path.is_file() and not path.is_symlink()]
    sums = {path.relative_to(package.root): hashlib.md5(path.read_bytes(), usedforsecurity=False) for path in files}
    conffile = Path(CONFFILE[1:])
    lines = [f"{digest.hexdigest()}  {path}\n" for path, digest in sums.items() if path != conffile]
    size_kib = sum(-(-path.stat().st_size // 1024) for path in files) + sum(1 for _ in package.root.rglob("*/"))
    control = package.root / "DEBIAN"
    _put(control / "control", _filled("control", package, SIZE=str(size_kib)).encode())
    _put(control / "md5sums", "".join(lines).encode())
    _put(control / "conffiles", f"{CONFFILE}\n".encode())
    for name in SCRIPTS:
        _put(control / name, (TEMPLATES / name).read_bytes(), 0o755)


def _pack(package: Package, out: Path) -> Path:
    for path in [package.root, *package.root.rglob("*")]:
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o755)
        os.utime(path, (package.epoch, package.epoch), follow_symlinks=False)
    deb = out / f"ostiary_{package.version}_{package.target.name}.deb"
    # Its blocks do not depend on how many threads compress them; the limit is for the host's memory.
    command = ["dpkg-deb", "--root-owner-group", "-Zxz", "--threads-max=2", "--build", str(package.root), str(deb)]
    surroundings = {**os.environ, "SOURCE_DATE_EPOCH": str(package.epoch), "LC_ALL": "C.UTF-8"}
    done = subprocess.run(command, env=surroundings, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode != 0:
        raise OstiaryError(f"dpkg-deb failed: {done.stderr.strip()}", where=str(deb))
    return deb


def _filled(template: str, package: Package, **values: str) -> str:
    day = datetime.fromtimestamp(package.epoch, UTC)
    # A camera of the Raspberry Pi's; Debian itself has no such package, and leaves the wish unfulfilled.
    wishes = ["ca-certificates", "tzdata"] + ([] if package.target.name == "amd64" else ["python3-picamera2"])
    known = {
        "VERSION": package.version, "UPSTREAM": package.upstream, "ARCHITECTURE": package.target.name, "DEBIAN": package.target.debian,
        "DATE": format_datetime(day), "DAY": day.date().isoformat(), "RECOMMENDS": ", ".join(wishes), **values,
    }  # fmt: skip
    text = (TEMPLATES / template).read_text(encoding="utf-8")
    if "@DEPENDS@" in text:
        known["DEPENDS"] = depends(package.target, needed_packages(package.environment.folder, package.target))
    return re.sub(r"@([A-Z]+)@", lambda found: known[found[1]], text)


def _zipped(text: str) -> bytes:
    return gzip.compress(text.encode("utf-8"), 9, mtime=0)


def _put(path: Path, data: bytes, mode: int = 0o644) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    path.chmod(mode)


def _link(path: Path, to: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(to)
