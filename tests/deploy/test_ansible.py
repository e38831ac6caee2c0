"""deploy/ansible: what can be told without a fleet. `python -m tests.deploy.fleet` is the fleet."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from edge.config import load_settings
from tests.deploy.fleet.playing import PLAYBOOKS, ansible_playbook
from tests.support.data import ROOT

ROLE = PLAYBOOKS / "roles" / "ostiary"
TASKS = sorted([*(ROLE / "tasks").glob("*.yml"), *(ROLE / "handlers").glob("*.yml")])
SECRET = "known-to-nobody"  # noqa: S105 - of the test
KEYWORDS = {
    "name", "when", "register", "loop", "vars", "notify", "until", "retries", "delay", "changed_when", "failed_when", "check_mode", "no_log",
    "environment", "block", "rescue", "run_once", "ignore_unreachable", "delegate_to", "become",
}  # fmt: skip


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def tasks_of(data: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Every task, in blocks, too."""
    for task in data:
        yield task
        for part in ("block", "rescue", "always"):
            yield from tasks_of(task.get(part, []))


@pytest.mark.parametrize("path", TASKS, ids=lambda path: path.name)
def test_tasks_use_what_ansible_core_has_and_no_shell(path: Path) -> None:
    for task in tasks_of(read(path)):
        used = set(task) - KEYWORDS
        assert "name" in task, task
        if "block" not in task:
            [module] = used
            assert module.startswith("ansible.builtin."), module
            assert module not in {"ansible.builtin.shell", "ansible.builtin.raw", "ansible.builtin.script"}
            if module == "ansible.builtin.command":
                assert "changed_when" in task, task["name"]


@pytest.mark.parametrize("path", TASKS, ids=lambda path: path.name)
def test_what_asks_the_box_is_asked_in_check_mode_too(path: Path) -> None:
    for task in tasks_of(read(path)):
        if "ansible.builtin.command" in task and task["changed_when"] is False and "journalctl" not in str(task):
            assert task.get("check_mode") is False, task["name"]


def test_every_variable_is_explained_and_every_explanation_has_a_variable() -> None:
    defaults = read(ROLE / "defaults" / "main.yml")
    specs = read(ROLE / "meta" / "argument_specs.yml")["argument_specs"]
    readme = (ROLE / "README.md").read_text(encoding="utf-8")
    for name, spec in specs.items():
        assert set(spec["options"]) == set(defaults), name
        for option, row in spec["options"].items():
            assert row["description"], option
            # A template is not to be filled in before there are facts.
            assert row.get("default", "") == (defaults[option] if "default" in row else ""), option
    assert {name for name in defaults if f"`{name}`" not in readme} == set()
    assert {
        name for name in re.findall(r"`(ostiary_\w+)`", readme) if name not in defaults | {"ostiary_waves": ""}
    } == set()


def test_the_example_inventory_sets_what_there_is() -> None:
    defaults = read(ROLE / "defaults" / "main.yml")
    inventory = read(PLAYBOOKS / "inventory" / "hosts.yml")
    sites = inventory["ostiary"]["children"]
    boxes = {name: row or {} for site in sites.values() for name, row in site["hosts"].items()}
    assert len(sites) >= 2
    assert set(inventory["ostiary_canaries"]["hosts"]) < set(boxes)
    files = sorted((PLAYBOOKS / "inventory" / "group_vars").rglob("*.yml"))
    assert {path.parent.name for path in files} == {"ostiary", *sites}
    for variables in [*boxes.values(), *map(read, files)]:
        assert {name for name in variables if name.startswith("ostiary_")} <= set(defaults)


def test_secrets_are_written_for_root_alone_and_never_shown() -> None:
    [task] = [task for task in tasks_of(read(ROLE / "tasks" / "configure.yml")) if "ostiary_secrets" in str(task)]
    assert task["no_log"] is True
    assert task["ansible.builtin.copy"]["mode"] == "0600"
    secrets = read(ROLE / "vars" / "main.yml")["ostiary_secrets"]
    options = read(ROLE / "meta" / "argument_specs.yml")["argument_specs"]["main"]["options"]
    public = {"ostiary_command_keys", "ostiary_sync_keys"}
    hidden = {name for name, row in options.items() if row.get("no_log")}
    assert {re.sub(r"\W", "", value) for value in secrets.values()} == hidden | public


def wants_ansible() -> str:
    program = ansible_playbook()
    if program is None:
        pytest.skip("no ansible-playbook: pip install ansible-core")
    return program


def play(folder: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    program = wants_ansible()
    home = folder / "home"
    home.mkdir(exist_ok=True)
    environment = {
        **os.environ, "HOME": str(home), "ANSIBLE_CONFIG": str(PLAYBOOKS / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1", "ANSIBLE_PIPELINING": "1", "LC_ALL": "C.UTF-8",
        "PATH": f"{Path(program).parent}:{os.environ['PATH']}",
    }  # fmt: skip
    return subprocess.run(
        [program, *map(str, arguments)], capture_output=True, text=True, check=False, env=environment, cwd=folder
    )


@pytest.mark.once
def test_ansible_takes_the_playbooks(tmp_path: Path) -> None:
    done = play(tmp_path, *(PLAYBOOKS / name for name in ("site.yml", "update.yml", "rollback.yml")), "--syntax-check")
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr, done.stderr


CONFIGURE = """
- hosts: all
  gather_facts: false
  tasks:
    - ansible.builtin.import_role: {name: ostiary, tasks_from: configure.yml}
"""
BOXES: dict[str, dict[str, Any]] = {
    "plain.site.example": {},
    "front": {
        "ostiary_settings_fleet": {"camera": {"uri": "picamera2:", "rate_fps": 15}, "metrics": {"enabled": True}},
        "ostiary_settings_site": {"mqtt": {"host": "broker.site.example", "username": "{{ ostiary_device }}"}, "camera": {"rate_fps": 10}},
        "ostiary_settings_box": {"camera": {"rotate_deg": 180}, "policy": {"groups": {"staff": {"schedule": "mon-fri 08:00-18:00"}}}},
        "ostiary_mqtt_password": SECRET, "ostiary_sync_secrets": f"staff {SECRET}\n",
        "ostiary_broker_ca": str(ROOT / "LICENSE"), "ostiary_trust_root": str(ROOT / "LICENSE"),
    },
    "wrong": {"ostiary_settings_box": {"camera": {"rate": 5}}, "ostiary_mqtt_password": SECRET},
}  # fmt: skip


@pytest.mark.once
@pytest.mark.slow
def test_settings_are_put_together_checked_by_the_real_program_and_written_once(tmp_path: Path) -> None:
    wants_ansible()
    if os.geteuid() != 0:
        pytest.skip("only root can give files to root")
    inventory = tmp_path / "inventory.json"
    hosts = {
        name: {**row, "ansible_connection": "local", "ansible_python_interpreter": sys.executable}
        for name, row in BOXES.items()
    }
    places = {
        "ostiary_etc": f"{tmp_path}/{{{{ inventory_hostname }}}}/etc",
        "ostiary_state": f"{tmp_path}/{{{{ inventory_hostname }}}}/var",
    }
    inventory.write_text(json.dumps({"all": {"hosts": hosts}}), encoding="utf-8")
    playbook = tmp_path / "configure.yml"
    playbook.write_text(CONFIGURE, encoding="utf-8")
    for name in BOXES:
        (tmp_path / name).mkdir()
    program = tmp_path / "ostiary"
    program.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m edge "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    extra = json.dumps({**places, "ostiary_program": str(program), "ostiary_service": "none-of-this-machine"})
    command = (playbook, "-i", inventory, "-e", extra)
    first, second = play(tmp_path, *command), play(tmp_path, *command, "--limit", "front")
    assert SECRET not in first.stdout + first.stderr
    _wrong_is_refused(tmp_path / "wrong" / "etc", first.stdout)
    for name in ("plain.site.example", "front"):
        assert re.search(rf"^{name} .*failed=0 ", first.stdout, re.MULTILINE), first.stdout + first.stderr
    assert re.search(r"^front .*changed=0 .*failed=0 ", second.stdout, re.MULTILINE), second.stdout
    _settings_are_as_asked(tmp_path)


def _wrong_is_refused(etc: Path, said: str) -> None:
    assert re.search(r"^wrong .*failed=1 ", said, re.MULTILINE), said
    assert "camera.rate" in said
    assert not (etc / "ostiary.yaml").exists()


def _settings_are_as_asked(folder: Path) -> None:
    plain = load_settings(folder / "plain.site.example" / "etc" / "ostiary.yaml")
    assert (plain.device.name, plain.updates.trust, plain.mqtt.tls.enabled) == ("plain", None, False)
    etc, var = (folder / "front" / name for name in ("etc", "var"))
    front = load_settings(etc / "ostiary.yaml")
    assert (front.device.name, front.mqtt.host, front.mqtt.username) == ("front", "broker.site.example", "front")
    assert (front.camera.uri, front.camera.rate_fps, front.camera.rotate_deg) == ("picamera2:", 10, 180)
    assert (front.bundles, front.updates.trust) == (var / "bundles", etc / "trust")
    assert (front.mqtt.tls.enabled, front.mqtt.tls.ca_file) == (True, etc / "ca.crt")
    assert (etc / "mqtt-password").read_text(encoding="utf-8") == f"{SECRET}\n"
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in etc.iterdir() if path.is_file()}
    assert modes == {"ostiary.yaml": 0o640, "ca.crt": 0o644, "mqtt-password": 0o600, "sync-secrets": 0o600}
