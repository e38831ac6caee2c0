"""What deploy/ asks of Prometheus has to exist."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from edge.capture.counters import NAMES
from edge.commands.refusal import IGNORED, REFUSED_AT_THE_DOOR, REFUSED_AT_WORK
from edge.config.settings import Metrics as MetricsSettings
from edge.health import Health
from edge.metrics import PICTURES, Metrics
from edge.publish.sender import COUNTERS
from tests.edge.test_metrics import FULL, scrape, settings_at, subjects
from tests.support.data import ROOT
from tests.support.mosquitto import free_port

PROMETHEUS, DASHBOARD = ROOT / "deploy" / "prometheus", ROOT / "deploy" / "grafana" / "ostiary.json"
CODES = {*IGNORED, *REFUSED_AT_THE_DOOR, *REFUSED_AT_WORK}
OF_PROMETHEUS = {"instance", "job", "le"}


def rules() -> list[dict[str, Any]]:
    loaded = yaml.safe_load((PROMETHEUS / "ostiary.rules.yml").read_text(encoding="utf-8"))
    return [rule for group in loaded["groups"] for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    return found


def expressions() -> list[str]:
    return [rule["expr"] for rule in rules()] + [target["expr"] for panel in panels() for target in panel["targets"]]


@pytest.fixture(scope="module")
def known() -> dict[str, set[str]]:
    """Name of every series that a daemon tells, with its labels."""
    health = Health()
    health.counters.update(
        dict.fromkeys((*COUNTERS, "frames_failed", "gallery_unreadable", *(f"commands_{code}" for code in CODES)), 1)
    )
    camera = {"online": True, "picture": "ok", **dict.fromkeys(NAMES, 1)}
    metrics = Metrics(settings_at(free_port()), subjects({**FULL, "camera": camera}, health=health))
    names: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(scrape(metrics)):
        for sample in family.samples:
            names.setdefault(sample.name, set()).update(sample.labels)
    metrics.close()
    # A box without a thermal zone has none of this.
    names.setdefault("ostiary_temperature_celsius", set())
    return names


def used(expression: str) -> set[str]:
    return set(re.findall(r"\b(?:ostiary|process)_[a-z0-9_]+", expression.replace('job="ostiary"', "")))


@pytest.mark.parametrize("expression", expressions())
def test_what_is_asked_for_is_told(known: dict[str, set[str]], expression: str) -> None:
    names = used(expression)
    assert names or expression.startswith("up{")
    assert names <= known.keys()
    labels = {
        name for text in re.findall(r"(?:by|on|group_left) \(([^)]*)\)", expression) for name in re.split(r",\s*", text)
    }
    labels |= {name for text in re.findall(r"\{([^}]*)\}", expression) for name in re.findall(r"([a-z_]+)[=!]", text)}
    assert labels <= OF_PROMETHEUS.union(*(known[name] for name in names))


def test_values_of_labels_exist() -> None:
    text = "\n".join(expressions())
    reasons = {value for found in re.findall(r'reason=~"([^"]*)"', text) for value in found.split("|")}
    states = set(re.findall(r'state!?="([^"]*)"', text))
    assert reasons
    assert reasons <= CODES
    assert states <= set(PICTURES)


def test_the_port_is_the_one_by_default() -> None:
    loaded = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text(encoding="utf-8"))
    [job] = loaded["scrape_configs"]
    default = MetricsSettings()
    assert job["job_name"] == "ostiary"
    assert job["static_configs"] == [{"targets": [f"{default.host}:{default.port}"]}]
    assert loaded["rule_files"] == ["ostiary.rules.yml"]


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
@pytest.mark.parametrize(("what", "name"), [("config", "prometheus.yml"), ("rules", "ostiary.rules.yml")])
def test_prometheus_takes_it(what: str, name: str) -> None:
    done = subprocess.run(
        ["promtool", "check", what, str(PROMETHEUS / name)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_every_rule_says_what_to_do() -> None:
    found = rules()
    assert len({rule["alert"] for rule in found}) == len(found)
    for rule in found:
        assert rule["labels"]["severity"] in {"critical", "warning"}
        assert rule["annotations"].keys() == {"summary", "description"}


def test_panels_do_not_overlap_and_say_where_their_data_is() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in panels():
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken
        assert max(x for x, _ in cells) < 24
        taken |= cells
        assert panel["datasource"]["uid"] == "${datasource}"
        assert panel["targets"]
    assert len({panel["id"] for panel in panels()}) == len(panels())


def test_the_folder_holds_what_is_tested() -> None:
    assert {path.name for path in PROMETHEUS.iterdir()} == {"prometheus.yml", "ostiary.rules.yml"}
    assert [path.name for path in Path(DASHBOARD.parent).iterdir()] == ["ostiary.json"]
