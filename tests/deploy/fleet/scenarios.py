"""What is proved of the playbooks, in the order in which a fleet lives through it. Each goes on from where the one before ended."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.deploy.fleet.package import revision
from tests.deploy.fleet.playing import Fleet, Played

SECRET = "kept-from-everybody"  # noqa: S105 - of the test


@dataclass(slots=True)
class Proof:
    """A fleet, and what its inventory says now."""

    fleet: Fleet
    keep: Path | None
    asked: dict[str, Any] = field(default_factory=dict)

    def play(self, playbook: str, *options: str, **variables: Any) -> Played:
        """With what the inventory says now; no secret may show."""
        played = self.fleet.play(playbook, *options, **{**self.asked, **variables})
        if self.keep is not None:
            self.keep.mkdir(parents=True, exist_ok=True)
            number = len(list(self.keep.iterdir())) + 1
            (self.keep / f"{number:02}-{playbook}.log").write_text(played.said, encoding="utf-8")
        assert SECRET not in played.said, "a secret is in what Ansible says"
        return played

    def ask(self, *, version: str | None = None, bundle: str | None = None) -> None:
        """Change the inventory."""
        if version is not None:
            self.asked["ostiary_version"] = version
        if bundle is not None:
            self.asked["ostiary_bundle"] = bundle

    def state(self, name: str) -> tuple[str, str | None, str]:
        """Version, bundle, and whether the service runs."""
        box = self.fleet.boxes[name]
        version = box.run("dpkg-query", "--show", "--showformat", "${Version}", "ostiary").stdout
        standing = json.loads(box.run("ostiaryctl", "bundle", "list", "--json").stdout.splitlines()[-1])
        assert standing["state"] != "trial", f"{name} is on trial"
        return (
            version.removesuffix(f"-{revision()}"),
            standing["active"],
            box.run("systemctl", "is-active", "ostiary").stdout.strip(),
        )

    def states(self) -> dict[str, tuple[str, str | None, str]]:
        """Of all boxes."""
        return {name: self.state(name) for name in self.fleet.boxes}

    def expect(self, played: Played, *, is_good: bool) -> None:
        """Whether it says so by its exit code."""
        assert (played.code == 0) is is_good, f"exit code {played.code}\n{played.said[-4000:]}"

    def all_are(self, version: str, bundle: str | None) -> None:
        """Every box runs that."""
        states = self.states()
        assert set(states.values()) == {(version, bundle, "active")}, states


def dry_run(proof: Proof) -> str:
    """--check on new boxes says what would be done, and does nothing."""
    played = proof.play("site.yml", "--check", "--diff")
    proof.expect(played, is_good=True)
    for name, box in proof.fleet.boxes.items():
        assert box.run("test", "-e", "/etc/ostiary").returncode != 0, f"{name} has been changed"
    return f"{played.total('changed')} changes told, none made"


def install(proof: Proof) -> str:
    """site.yml on new boxes."""
    played = proof.play("site.yml")
    proof.expect(played, is_good=True)
    proof.all_are("0.1.0", None)
    for box in proof.fleet.boxes.values():
        assert box.run("systemctl", "is-enabled", "ostiary").stdout.strip() == "enabled"
        modes = box.run(
            "stat", "--format", "%a %U %G", "/etc/ostiary/mqtt-password", "/etc/ostiary/ostiary.yaml"
        ).stdout
        assert modes.splitlines() == ["600 root root", "640 root ostiary"]
    return f"{len(proof.fleet.boxes)} boxes in {played.seconds:.0f} s"


def again(proof: Proof) -> str:
    """Nothing is left to do."""
    return _nothing_changes(proof, "site.yml")


def wrong_settings(proof: Proof) -> str:
    """A key that is none reaches no box."""
    before = proof.fleet.boxes["door-1"].run("cat", "/etc/ostiary/ostiary.yaml").stdout
    played = proof.play("site.yml", ostiary_settings_site={"camera": {"rate": 5}})
    proof.expect(played, is_good=False)
    assert "camera.rate" in played.said, played.said[-3000:]
    assert proof.fleet.boxes["door-1"].run("cat", "/etc/ostiary/ostiary.yaml").stdout == before
    proof.all_are("0.1.0", None)
    return "refused by the box's own program, ostiary.yaml as before"


def update(proof: Proof) -> str:
    """Package and bundle, the canary first."""
    proof.ask(version="0.2.0", bundle="faces-2")
    played = proof.play("update.yml")
    proof.expect(played, is_good=True)
    proof.all_are("0.2.0", "faces-2")
    waves = [line for line in played.said.splitlines() if line.startswith("PLAY [") and "RECAP" not in line]
    assert len(waves) == len(proof.fleet.boxes), waves
    return f"{len(proof.fleet.boxes)} boxes in {len(waves)} waves, {played.seconds:.0f} s"


def update_again(proof: Proof) -> str:
    """Nothing is left to do."""
    return _nothing_changes(proof, "update.yml")


def bad_bundle(proof: Proof) -> str:
    """The canary's own self-test refuses it; nobody else hears of it."""
    proof.ask(bundle="faces-spoilt")
    played = proof.play("update.yml")
    proof.expect(played, is_good=False)
    proof.all_are("0.2.0", "faces-2")
    assert set(played.recap) == {"door-1"}, played.recap
    assert "door-1: Switch to the bundle: " in played.said
    assert "door-1: back to faces-2, ostiary 0.2.0" in played.said
    assert _has(proof, "faces-spoilt") == ["door-1"]
    return "canary as before, two boxes never touched"


def dies_on_trial(proof: Proof) -> str:
    """A box of the second wave dies before its bundle has proved itself, and goes back by itself; its wave ends the update."""
    second = proof.fleet.boxes["door-2"]
    second.drop_in("ostiary.service", "[Service]\nRuntimeMaxSec=2\n")
    proof.ask(bundle="faces-3")
    # Otherwise the trial may end before the box does.
    settings = proof.fleet.variables["ostiary_settings_fleet"]
    patient = {**settings, "updates": {**settings["updates"], "trial_s": 8}}
    played = proof.play("update.yml", ostiary_settings_fleet=patient)
    second.run("rm", "-r", "/run/systemd/system/ostiary.service.d")
    second.run("systemctl", "daemon-reload")
    second.run("systemctl", "restart", "ostiary")
    proof.expect(played, is_good=False)
    states = proof.states()
    assert states["door-1"] == ("0.2.0", "faces-3", "active"), states
    assert {states[name] for name in ("door-2", "door-3")} == {("0.2.0", "faces-2", "active")}, states
    assert "bundle faces-3 is not confirmed: the box runs faces-2, rolled_back" in " ".join(played.said.split()), (
        played.said[-3000:]
    )
    assert _has(proof, "faces-3") == ["door-1", "door-2"]
    assert "trial_s: 8" not in second.run("cat", "/etc/ostiary/ostiary.yaml").stdout, "its settings did not go back"
    return "its wave went back, the next never began; the canary keeps it"


def roll_back(proof: Proof) -> str:
    """rollback.yml takes it from those that have it."""
    played = proof.play("rollback.yml")
    proof.expect(played, is_good=True)
    proof.all_are("0.2.0", "faces-2")
    assert [name for name, row in played.recap.items() if row["changed"]] == ["door-1"], played.recap
    _nothing_changes(proof, "rollback.yml")
    return f"one box of three in {played.seconds:.0f} s; a second run changes nothing"


def broken_package(proof: Proof) -> str:
    """A package whose program does not start: the canary gets the one before again."""
    proof.ask(bundle="faces-2", version="0.3.0")
    played = proof.play("update.yml")
    proof.expect(played, is_good=False)
    proof.all_are("0.2.0", "faces-2")
    assert set(played.recap) == {"door-1"}, played.recap
    assert "a fault of this release" in played.said
    proof.ask(version="0.2.0")
    return "canary has 0.2.0 again, two boxes never touched"


def package_back(proof: Proof) -> str:
    """rollback.yml with the package: each box knows what it had."""
    played = proof.play("rollback.yml", ostiary_rollback="package")
    proof.expect(played, is_good=True)
    states = proof.states()
    # What the canary had before is the broken one that it came back from: it is not taken again.
    assert {state[0] for name, state in states.items() if name != "door-1"} == {"0.1.0"}, states
    proof.ask(version="0.2.0")
    proof.expect(proof.play("site.yml"), is_good=True)
    proof.all_are("0.2.0", "faces-2")
    return f"0.1.0 again in {played.seconds:.0f} s, then 0.2.0"


def goes_off(proof: Proof) -> str:
    """A box loses its power in the middle of its wave: the other one of the wave goes back."""
    proof.ask(bundle="faces-3")
    proof.fleet.log.unlink()
    off = threading.Thread(target=_power_off, args=(proof, "door-3", "Switch to the bundle"))
    off.start()
    played = proof.play("update.yml", ostiary_waves=["100%"])
    off.join()
    proof.expect(played, is_good=False)
    said = " ".join(played.said.split())
    assert "door-3: NOT BACK: it cannot be reached any more" in said, played.said[-3000:]
    assert "door-2: back to faces-2" in said, played.said[-3000:]
    assert [proof.state(name)[1] for name in ("door-1", "door-2")] == ["faces-3", "faces-2"]
    return "its wave went back as far as it could be reached, and is told so"


def is_off(proof: Proof) -> str:
    """A box that is off before its wave begins: nobody of the wave is touched, and it says how to go on without."""
    played = proof.play("update.yml", ostiary_waves=["100%"])
    proof.expect(played, is_good=False)
    said = " ".join(played.said.split())
    assert "nothing was touched: door-3 cannot be reached" in said, played.said[-3000:]
    assert "--limit 'all:!door-3'" in said, played.said[-3000:]
    assert proof.state("door-2")[1] == "faces-2"
    without = proof.play("update.yml", "--limit", "all:!door-3", ostiary_waves=["100%"])
    proof.expect(without, is_good=True)
    assert proof.state("door-2")[1] == "faces-3"
    return "its wave was not begun; without it the wave is good"


def _power_off(proof: Proof, name: str, task: str) -> None:
    """As soon as the playbook comes to that task for that box."""
    log = proof.fleet.log
    deadline = time.monotonic() + 600
    while time.monotonic() < deadline:
        said = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
        waves = said.split("\nPLAY [")
        if f"[{name}]" in waves[-1] and f": {task}]" in waves[-1]:
            proof.fleet.boxes[name].stop()
            return
        time.sleep(0.05)


def _nothing_changes(proof: Proof, playbook: str) -> str:
    played = proof.play(playbook)
    proof.expect(played, is_good=True)
    assert played.total("changed") == 0, played.recap
    return f"changed=0 on {len(played.recap)} boxes, {played.seconds:.0f} s"


def _has(proof: Proof, bundle: str) -> list[str]:
    """Boxes on which it is installed."""
    return [
        name for name, box in proof.fleet.boxes.items() if box.run("test", "-d", f"/var/lib/ostiary/bundles/{bundle}").returncode == 0
    ]  # fmt: skip


SCENARIOS: dict[str, Callable[[Proof], str]] = {
    "dry-run": dry_run, "install": install, "again": again, "wrong-settings": wrong_settings, "update": update, "update-again": update_again,
    "bad-bundle": bad_bundle, "dies-on-trial": dies_on_trial, "roll-back": roll_back, "broken-package": broken_package,
    "package-back": package_back, "goes-off": goes_off, "is-off": is_off,
}  # fmt: skip
