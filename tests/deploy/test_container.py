"""The image's description and the example of compose, held against what they name. What was built and run: docs/container.md."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.release.target import target_named
from edge.cli.parser import make_parser
from edge.credentials import MQTT_PASSWORD
from tests.deploy.tiny_release import make_release
from tests.support.data import ROOT

pytestmark = pytest.mark.once
FOLDER = ROOT / "deploy" / "container"
KNOWN = {
    "ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "FROM", "HEALTHCHECK", "LABEL", "RUN", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR",
}  # fmt: skip
"""No ADD: it downloads."""


def instructions() -> list[list[tuple[str, str]]]:
    """Stages of instructions and their arguments; before the first FROM stands a stage of arguments."""
    text = "".join(
        line
        for line in (FOLDER / "Containerfile").read_text().splitlines(keepends=True)
        if not line.lstrip().startswith("#")
    )
    stages: list[list[tuple[str, str]]] = [[]]
    for line in re.sub(r"\\\n\s*", " ", text).splitlines():
        word, _, rest = line.partition(" ")
        if word == "FROM":
            stages.append([])
        if word:
            stages[-1].append((word, rest))
    return stages


def values(stage: list[tuple[str, str]], word: str) -> list[str]:
    return [rest for found, rest in stage if found == word]


@pytest.fixture(scope="module")
def compose() -> Any:
    return yaml.safe_load((FOLDER / "compose.yaml").read_text())


def test_it_has_two_stages_of_one_base() -> None:
    arguments, builder, image = instructions()
    assert [name.partition("=")[0] for name in values(arguments, "ARG")] == ["BASE"]
    assert (values(builder, "FROM"), values(image, "FROM")) == (["${BASE} AS builder"], ["${BASE}"])
    assert {word for stage in instructions() for word, _ in stage} <= KNOWN
    assert "pip" not in " ".join(values(image, "RUN"))


def test_all_that_is_copied_is_in_a_release(tmp_path: Path) -> None:
    release = make_release(tmp_path / "release", target_named("arm64", "bookworm"))
    copied = [rest.split()[0] for stage in instructions() for rest in values(stage, "COPY") if "--from" not in rest]
    assert len(copied) >= 4
    for name in copied:
        assert (release / name).exists(), name


def test_it_runs_as_the_service_does() -> None:
    image = instructions()[-1]
    [user] = values(image, "USER")
    assert user.partition(":")[0].isdigit()
    assert int(user.partition(":")[0]) > 0
    settings = dict(pair.split("=", 1) for rest in values(image, "ENV") for pair in rest.split())
    unit = (ROOT / "systemd/ostiary.service").read_text()
    assert f"--config {settings['OSTIARY_CONFIG']}\n" in unit
    assert f"StateDirectory={settings['STATE_DIRECTORY'].removeprefix('/var/lib/')}\n" in unit
    assert values(image, "VOLUME") == [settings["STATE_DIRECTORY"]]


@pytest.mark.parametrize("word", ["ENTRYPOINT CMD", "HEALTHCHECK"])
def test_its_commands_are_commands(word: str) -> None:
    image = instructions()[-1]
    if word == "HEALTHCHECK":
        [text] = values(image, word)
        command = json.loads(text[text.index("[") :])
    else:
        command = [part for one in word.split() for part in json.loads(values(image, one)[0])]
    assert command[0] == "/usr/bin/ostiary"
    args = make_parser().parse_args(command[1:])
    assert args.run is not None


def test_what_is_looked_at_for_health_is_made() -> None:
    _, builder, image = instructions()
    [check] = values(image, "HEALTHCHECK")
    folder = json.loads(check[check.index("[") :])[-1]
    assert folder == "/usr/lib/ostiary/health"
    [made] = values(builder, "RUN")
    assert "mkdir health" in made
    assert "imwrite('health/grey.png'" in made


def test_the_example_of_compose_gives_away_nothing(compose: Any) -> None:
    service = compose["services"]["ostiary"]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert not {"privileged", "network_mode", "cap_add", "user", "pid"} & service.keys()
    assert [one.partition(":")[0] for one in service["devices"]] == ["/dev/video0"]


def test_the_example_names_what_there_is(compose: Any) -> None:
    image = instructions()[-1]
    service = compose["services"]["ostiary"]
    mounted = {one.split(":")[1]: one.split(":")[0] for one in service["volumes"]}
    assert mounted == {"/etc/ostiary/ostiary.yaml": "./ostiary.yaml", values(image, "VOLUME")[0]: "state"}
    # Under this name edge.credentials looks for it in $CREDENTIALS_DIRECTORY, where compose puts secrets.
    assert service["secrets"] == [MQTT_PASSWORD]
    assert any("CREDENTIALS_DIRECTORY=/run/secrets" in rest for rest in values(image, "ENV"))
    assert set(compose["secrets"]) == set(service["secrets"])
    named = {
        one.split(":")[0] for each in compose["services"].values() for one in each["volumes"] if one[0] not in "./"
    }
    assert named == set(compose["volumes"])
    assert set(service["depends_on"]) < set(compose["services"])
