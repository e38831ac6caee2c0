"""What can be said of the units without starting them."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from edge.credentials import COMMAND_KEYS, MQTT_PASSWORD, SYNC_KEYS, SYNC_SECRETS, TEMPLATE_KEY
from edge.errors import EXIT_REJECTED, EXIT_UNAVAILABLE, EXIT_USAGE
from tests.systemd.box import UNITS

NAMES = ("ostiary.service", "ostiary@.service")
MOST_EXPOSED = 1.5
OF_ONE_CAMERA = {"Description", "ExecStart", "LoadCredential", "StateDirectory", "NoExecPaths"}

wants_analyze = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")


def lines_of(name: str) -> list[tuple[str, str]]:
    """Keys and values in their order, without sections."""
    text = (UNITS / name).read_text(encoding="utf-8")
    return [
        (key, value)
        for key, _, value in (line.partition("=") for line in text.splitlines() if "=" in line and line[0] != "#")
    ]


def values_of(name: str, key: str) -> list[str]:
    return [value for found, value in lines_of(name) if found == key]


def runnable(folder: Path, name: str) -> Path:
    """The unit with a program that is there."""
    text = (UNITS / name).read_text(encoding="utf-8").replace("/usr/lib/ostiary/bin/ostiary run", "/bin/true run")
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


@wants_analyze
@pytest.mark.parametrize("name", NAMES)
def test_the_exposure_is_low(name: str) -> None:
    command = ["systemd-analyze", "security", "--offline=true", "--no-pager", str(UNITS / name)]
    said = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", said)
    assert found is not None, said
    assert 0.5 < float(found[1]) <= MOST_EXPOSED


@wants_analyze
@pytest.mark.parametrize("name", NAMES)
def test_systemd_has_nothing_to_say_of_it(tmp_path: Path, name: str) -> None:
    path = runnable(tmp_path, name)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(path)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@wants_analyze
def test_systemd_would_have_something_to_say(tmp_path: Path) -> None:
    path = runnable(tmp_path, NAMES[0])
    path.write_text(path.read_text(encoding="utf-8").replace("ProtectHome=", "ProtectHouse="), encoding="utf-8")
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(path)], capture_output=True, text=True, check=False
    )
    assert "ProtectHouse" in done.stderr


def test_several_cameras_are_guarded_as_one_is() -> None:
    one, several = (lines_of(name) for name in NAMES)
    assert [key for key, _ in one] == [key for key, _ in several]
    differing = {left[0] for left, right in zip(one, several, strict=True) if left != right}
    assert differing == OF_ONE_CAMERA
    assert all("%i" in value for left, right in zip(one, several, strict=True) if left != right for value in [right[1]])


@pytest.mark.parametrize("name", NAMES)
def test_every_credential_may_be_missing(name: str) -> None:
    loaded = {value.partition(":")[0] for value in values_of(name, "LoadCredential")}
    assert loaded == {MQTT_PASSWORD, TEMPLATE_KEY, COMMAND_KEYS, SYNC_KEYS, SYNC_SECRETS}
    assert values_of(name, "SetCredential") == [
        f"{one.partition(':')[0]}:\\n" for one in values_of(name, "LoadCredential")
    ]


@pytest.mark.parametrize("name", NAMES)
def test_what_stays_wrong_is_not_started_again(name: str) -> None:
    [codes] = values_of(name, "RestartPreventExitStatus")
    assert {int(code) for code in codes.split()} == {EXIT_USAGE, EXIT_REJECTED}
    assert EXIT_UNAVAILABLE not in {int(code) for code in codes.split()}
    assert values_of(name, "Restart") == ["on-failure"]


@pytest.mark.parametrize("name", NAMES)
def test_what_stays_away_is_tried_for_ever(name: str) -> None:
    """A start limit that a hanging camera reaches would leave the door without eyes."""
    [limit], [burst] = values_of(name, "StartLimitIntervalSec"), values_of(name, "StartLimitBurst")
    [watchdog], [pause] = values_of(name, "WatchdogSec"), values_of(name, "RestartSec")
    assert limit == "10min"
    assert int(burst) * (int(watchdog) + int(pause)) > 10 * 60
