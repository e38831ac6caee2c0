from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge.bundle import load_bundle
from edge.bundle.manifest import Confidence, OperatingPoint
from edge.cli.check import described
from tests.edge.cli.conftest import Command, finished
from tests.support.mosquitto import HOST, free_port, mosquitto

LOOKED_AT = [
    "configuration",
    "runtimes",
    "bundle",
    "gallery",
    "camera",
    "broker",
    "commands",
    "groups",
    "secrets",
    "files",
    "clock",
]


def written(home: Path, *, port: int, camera: Path) -> None:
    text = f"mqtt: {{host: {HOST}, port: {port}}}\ncamera: {{uri: '{camera}'}}\n"
    (home / "ostiary.yaml").write_text(text, encoding="utf-8")


def by_name(rows: list[Any]) -> dict[str, Any]:
    assert [row["what"] for row in rows] == LOOKED_AT
    for row in rows:
        assert row.keys() == {"what", "ok", "exit_code", "warning", "says"}
        assert row["ok"] is (row["exit_code"] == 0)
    return {row["what"]: row for row in rows}


def test_all_well(ostiary: Command, home: Path, tmp_path: Path, hopper_file: Path) -> None:
    with mosquitto(tmp_path / "broker") as broker:
        written(home, port=broker.port, camera=hopper_file)
        result = ostiary("check", "--json")
        text = ostiary("check")
    assert (result.code, text.code) == (0, 0)
    rows = by_name(result.rows)
    assert "512x600" in rows["camera"]["says"]
    assert f"{HOST}: connected with MQTT 5" in rows["broker"]["says"]
    assert rows["configuration"]["says"] == "ostiary.yaml"
    assert "nobody is enrolled" in rows["gallery"]["says"]
    assert f"fmr-1e-4 {described(load_bundle().operating_point('fmr-1e-4'))}" in rows["bundle"]["says"]
    assert text.out.splitlines()[-1] == "all well"
    assert list(home.rglob("*.sqlite")) == []


@pytest.mark.parametrize("what", ["configuration", "broker"])
def test_only_one_thing_is_looked_at(ostiary: Command, home: Path, what: str) -> None:
    written(home, port=free_port(), camera=home / "nothing.png")
    result = ostiary("check", "--json", "--only", what)
    assert [row["what"] for row in result.rows] == list(dict.fromkeys(["configuration", what]))
    assert result.code == {"camera": 3, "broker": 3}.get(what, 0)


def test_a_configuration_is_read_before_one_thing_is_looked_at(ostiary: Command, home: Path) -> None:
    (home / "ostiary.yaml").write_text("mqtt: {hots: x}\n", encoding="utf-8")
    result = ostiary("check", "--json", "--only", "clock")
    assert result.code == 2
    [row] = result.rows
    assert "hots" in row["says"]


def test_an_operating_point_says_how_sure_it_is() -> None:
    point = OperatingPoint(0.4954, 1e-4, 0.4542, 3_300_513, 26_397, "x")
    assert described(point) == "at similarity 0.495, where 45.4% of genuine comparisons fail"
    sure = replace(point, confidence_95=Confidence((0.4812, 0.5101), (6e-5, 2e-4), (0.41, 0.498), 862))
    assert described(sure) == (
        "at similarity 0.495 (95 % within 0.481 to 0.510), where 45.4% of genuine comparisons fail (41.0% to 49.8%)"
    )


def test_a_broker_that_is_away_ends_with_3_and_everything_is_told(
    ostiary: Command, home: Path, hopper_file: Path
) -> None:
    written(home, port=free_port(), camera=hopper_file)
    result = ostiary("check", "--json")
    assert result.code == 3
    rows = by_name(result.rows)
    assert [name for name, row in rows.items() if not row["ok"]] == ["broker"]
    assert "nothing listens there" in rows["broker"]["says"]
    text = ostiary("check")
    assert text.code == 3
    assert text.out.splitlines()[-1] == "not all is well: see above"


def test_every_fault_is_found_in_one_go(home: Path, hopper_file: Path) -> None:
    written(home, port=free_port(), camera=Path("/dev/video99"))
    result = finished("check", "--bundle", "absent", "--gallery", hopper_file, cwd=home)
    # The exit code is that of the first fault.
    assert result.code == 4
    assert result.err == ""
    lines = [line for line in result.out.splitlines() if not line.startswith(" ")]
    assert [line.split()[:2] for line in lines[:6]] == [
        ["ok", "configuration"], ["ok", "runtimes"], ["FAULT", "bundle"], ["FAULT", "gallery"],
        ["away", "camera"], ["away", "broker"],
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "says"),
    [("mqtt: {prot: 1883}", "mqtt.prot: unknown key; expected 'port'?"), ("a: [", "not YAML")],
)
def test_a_bad_configuration_is_the_only_finding(ostiary: Command, home: Path, text: str, says: str) -> None:
    (home / "ostiary.yaml").write_text(text, encoding="utf-8")
    result = ostiary("check", "--json")
    assert result.code == 2
    [row] = result.rows
    assert (row["what"], row["exit_code"]) == ("configuration", 2)
    assert says in row["says"]


def test_a_covered_lens_is_told(ostiary: Command, home: Path) -> None:
    assert cv2.imwrite(str(home / "dark.png"), np.zeros((120, 160, 3), np.uint8))
    written(home, port=free_port(), camera=home / "dark.png")
    assert "nearly black" in by_name(ostiary("check", "--json").rows)["camera"]["says"]


def test_without_mqtt_no_broker_is_looked_for(ostiary: Command, home: Path, hopper_file: Path) -> None:
    (home / "ostiary.yaml").write_text(
        f"mqtt: {{enabled: false}}\ncamera: {{uri: '{hopper_file}'}}\n", encoding="utf-8"
    )
    result = ostiary("check", "--json")
    assert result.code == 0
    assert "mqtt.enabled is false" in by_name(result.rows)["broker"]["says"]
