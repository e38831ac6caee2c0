"""The playbooks of deploy/ansible against three boxes with a real systemd: install, update in waves, what goes wrong, and back.

    python -m tests.deploy.fleet [--deb FILE] [--root FOLDER] [--keep FOLDER] [SCENARIO...]

Needs root, and ansible-core (which requirements/newest.txt has; OSTIARY_ANSIBLE names the folder of another one's programs). Takes about ten minutes on an idle machine. What the playbooks say is left in --keep.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.deploy.fleet.boxes import machines
from tests.deploy.fleet.bundles import renamed, signed, spoilt
from tests.deploy.fleet.package import stand_in
from tests.deploy.fleet.playing import Fleet, ansible_playbook
from tests.deploy.fleet.scenarios import SCENARIOS, SECRET, Proof
from tests.support.mjpeg_server import MjpegServer
from tests.support.mosquitto import HOST, mosquitto

BOXES = ("door-1", "door-2", "door-3")


def main() -> int:
    """0 when everything was as it should be."""
    parser = argparse.ArgumentParser(prog="python -m tests.deploy.fleet", description=__doc__)
    parser.add_argument("--deb", type=Path, help="package of a release, installed first (default: a stand-in)")
    parser.add_argument("--root", type=Path, default=Path("/"), help="a Debian that the boxes are made of")
    parser.add_argument("--keep", type=Path, help="folder for what the playbooks say")
    parser.add_argument(
        "scenarios", nargs="*", metavar="SCENARIO", help=f"of {', '.join(SCENARIOS)}; they build on each other"
    )
    args = parser.parse_args()
    if ansible_playbook() is None:
        parser.error("there is no ansible-playbook: pip install ansible-core")
    with tempfile.TemporaryDirectory() as scratch:
        prepared = prepare(Path(scratch), args.deb)
        with (
            MjpegServer(fps=4, width=320, height=240) as camera,
            mosquitto(prepared / "broker") as broker,
            machines(prepared / "boxes", *BOXES, root=args.root) as boxes,
        ):
            fleet = Fleet(prepared, boxes, ("door-1",), variables(prepared, camera.uri, broker.port))
            proof = Proof(fleet, args.keep)
            return 0 if all(run(name, proof) for name in args.scenarios or SCENARIOS) else 1


def prepare(folder: Path, deb: Path | None) -> Path:
    """Packages and bundles."""
    releases = folder / "releases"
    releases.mkdir()
    if deb is None:
        stand_in(releases, "0.1.0")
    else:
        shutil.copy(deb, releases)
    stand_in(releases, "0.2.0")
    stand_in(releases, "0.3.0", is_broken=True)
    signed(folder, renamed(folder, "faces-2"), renamed(folder, "faces-3"), spoilt(folder, "faces-spoilt"))
    return folder


def variables(folder: Path, camera: str, port: int) -> dict[str, object]:
    """What the inventory says first."""
    settings = {
        "camera": {"uri": camera}, "mqtt": {"host": HOST, "port": port, "username": "{{ ostiary_device }}"}, "publish": {"health_interval_s": 5},
        "updates": {"trial_s": 4, "trial_frames": 5, "budget_ms": 10_000},
    }  # fmt: skip
    return {
        "ostiary_version": "0.1.0", "ostiary_releases": str(folder / "releases"), "ostiary_mqtt_password": SECRET,
        "ostiary_settings_fleet": settings,
        "ostiary_trust_root": str(folder / "repository" / "metadata" / "1.root.json"), "ostiary_bundle_source": str(folder / "repository"),
        "ostiary_gate_listen": ["mosquitto_sub", "-h", HOST, "-p", str(port)], "ostiary_gate_poll_s": 1, "ostiary_gate_trial_s": 90,
    }  # fmt: skip


def run(name: str, proof: Proof) -> bool:
    """Whether it went as it should; says so."""
    scenario: Callable[[Proof], str] = SCENARIOS[name]
    started = time.monotonic()
    try:
        says = scenario(proof)
    except AssertionError as error:
        print(f"FAULT  {name}: {error}", flush=True)  # noqa: T201 - a script
        return False
    print(f"ok     {name} ({time.monotonic() - started:.0f} s): {says}", flush=True)  # noqa: T201 - a script
    return True


if __name__ == "__main__":
    sys.exit(main())
