from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.config.settings import Mqtt
from edge.discovery import retire
from tests.edge.cli.conftest import Command
from tests.support.mosquitto import HOST, Mosquitto, free_port, mosquitto, subscriber, wait_for

CONFIG = "homeassistant/device/ostiary-front/config"


class Terminal(io.StringIO):
    """Somebody who types."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retire, "QUIET_S", 0.2)


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    """Everybody may read, and nobody may write below `ostiary`."""
    folder = tmp_path_factory.mktemp("broker")
    rules = folder / "acl"
    rules.write_text("topic read #\ntopic write homeassistant/#\ntopic write free/#\n", encoding="utf-8")
    with mosquitto(folder, "allow_anonymous true", f"acl_file {rules}") as running:
        yield running


def left_behind(broker: Mosquitto, *topics: str) -> None:
    with subscriber(broker.port, "#", is_checking=False) as listening:
        for topic in topics:
            listening.client.publish(topic, b"offline", 1, retain=True)
        wait_for(lambda: {one.topic for one in listening.heard} >= set(topics), "what was left behind")


@pytest.mark.parametrize("option", ["--device", "--camera"])
@pytest.mark.parametrize("name", ["#", "+", "a/b", "", "-x", "a" * 64, "a\n"])
def test_a_name_that_is_none(ostiary: Command, option: str, name: str) -> None:
    result = ostiary("retire", f"{option}={name}", "--yes")
    assert (result.code, result.out) == (2, "")
    assert "is no name" in result.err


def test_a_broker_that_is_away(ostiary: Command) -> None:
    result = ostiary("retire", "--host", HOST, "--port", free_port(), "--yes")
    assert (result.code, result.out) == (3, "")
    assert "nothing listens there" in result.err


def test_a_broker_that_refuses_is_told_with_the_topic(ostiary: Command, broker: Mosquitto) -> None:
    result = ostiary("retire", "--device", "front", "--host", HOST, "--port", broker.port, "--yes")
    assert (result.code, result.out) == (3, "")
    assert "does not clear ostiary/front/status and 3 more" in result.err


@pytest.mark.parametrize("answer", ["n\n", "\n", "y\n"])
def test_it_asks_first(
    ostiary: Command, home: Path, broker: Mosquitto, monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    config = f"mqtt: {{host: {HOST}, port: {broker.port}, base_topic: free}}\n"
    (home / "ostiary.yaml").write_text(config, encoding="utf-8")
    left_behind(broker, CONFIG, "free/front/status", "free/front/camera/of-old/status", "free/frontier/status")
    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    result = ostiary("retire", "--device", "front")
    assert result.code == 0, result.err
    assert "Clear 3 retained messages of front?" in result.out
    assert f"  {CONFIG}\n" in result.out
    assert ("front: cleared 3 retained messages" in result.out) is (answer == "y\n")
    assert ("nothing was changed" in result.out) is (answer != "y\n")
    left = retire.retained_of(Mqtt(host=HOST, port=broker.port), retire.Target("free", "front", None, "homeassistant"))
    assert len(left) == (0 if answer == "y\n" else 3)
