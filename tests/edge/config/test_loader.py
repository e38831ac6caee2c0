from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from edge.config import Settings, find_config, load_settings, parse_settings
from edge.config.loader import MAX_BYTES
from edge.errors import ConfigError
from tests.edge.config.cases import FAULTY, FINE


def problem_of(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        parse_settings(text, where="ostiary.yaml")
    assert caught.value.exit_code == 2
    assert caught.value.where == "ostiary.yaml"
    return caught.value.problem


@pytest.mark.parametrize("text", ["", "\n", "# nothing\n", "---\n", "null", "{}", "device:\ncamera:\n", "\ufeff"])
def test_nothing_means_the_defaults(text: str) -> None:
    assert parse_settings(text) == Settings()


@pytest.mark.parametrize(("text", "path", "value"), FINE)
def test_a_value_arrives(text: str, path: str, value: object) -> None:
    found: Any = parse_settings(text)
    for name in path.split("."):
        found = getattr(found, name)
    assert found == value


@pytest.mark.parametrize(("text", "path"), FAULTY)
def test_a_fault_names_its_key(text: str, path: str) -> None:
    lines = problem_of(text).splitlines()
    assert lines[0] == "1 fault"
    assert len(lines) == 2
    assert f"{path}: " in lines[1]
    assert "; expected " in lines[1]


def test_every_fault_with_its_line_and_key_path() -> None:
    text = (
        "device:\n  name: a/b\ncamera:\n  rotate_deg: 45\n  region: [0, 0, 2, 1]\n"
        "mqtt:\n  prot: 1883\n  tls:\n    enabled: maybe\ntrack:\n  max_tracks: 0\n  max_tracks: 5\n"
    )
    assert problem_of(text).splitlines() == [
        "6 faults",
        "  line 11: track.max_tracks: written again in line 12; expected each key once",
        "  line 2: device.name: text 'a/b'; expected text like 'front-door'",
        "  line 4: camera.rotate_deg: whole number 45; expected one of 0, 90, 180, 270",
        "  line 5: camera.region[2]: whole number 2; expected a number from 0 to 1",
        "  line 7: mqtt.prot: unknown key; expected 'port'?",
        "  line 9: mqtt.tls.enabled: text 'maybe'; expected true or false",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: [", "not YAML: while parsing"),
        ("a: b: c", "not YAML: mapping values are not allowed here"),
        ("\tdevice: {}", "not YAML"),
        ("a: &x 1\nb: *x", "line 2: alias *x"),
        ("a: &a [*a]", "line 1: alias *a"),
        ("--- {}\n--- {}", "not YAML: expected a single document"),
        ("!!python/object:os.system {}", "not YAML: could not determine a constructor"),
        ("a: \x00", "not YAML: unacceptable character"),
        ("device: !!bool maybe", "not usable YAML (KeyError)"),
        ("device: !!timestamp x", "not usable YAML (AttributeError)"),
        ("device: !!int x", "not usable YAML (ValueError)"),
        ("device: !!int ''", "not usable YAML (IndexError)"),
        ("device: 2001-99-99", "not usable YAML (ValueError)"),
        ("device:\n " + "[" * 5000 + "]" * 5000, "line 2: nested more than 20 deep"),
        ("device: " + "{a: " * 5000, "line 1: nested more than 20 deep"),
        ("? [a]\n: b", "not YAML: while constructing a mapping"),
        ("[1, 2]", "1 fault\n  line 1: (top level): list [1, 2]; expected a mapping of keys to values"),
        ("just text", "1 fault\n  line 1: (top level): text 'just text'; expected a mapping of keys to values"),
        ("detect.width_px: 320", "1 fault\n  line 1: detect.width_px: unknown key; expected one of device, camera,"),
    ],
)
def test_what_cannot_be_read_at_all(text: str, expected: str) -> None:
    assert problem_of(text).startswith(expected)


def test_a_number_too_long_to_write_out_is_a_fault() -> None:
    assert "mqtt.port: whole number too long to show" in problem_of("mqtt: {port: 0x" + "F" * 5000 + "}")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"device: {name: \xff\xfe}", "not UTF-8 text (byte 15)"),
        ("device: {name: porch}".encode("utf-16"), "not UTF-8 text (byte 0)"),
        (b"#" * (MAX_BYTES + 1), f"more than {MAX_BYTES} bytes"),
        (b"device: {nme: x}", "1 fault"),
    ],
)
def test_a_bad_file_is_named(tmp_path: Path, content: bytes, expected: str) -> None:
    path = tmp_path / "ostiary.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        load_settings(path)
    assert caught.value.where == str(path)
    assert caught.value.problem.startswith(expected)


def test_a_file_that_never_ends_is_not_read_to_its_end() -> None:
    with pytest.raises(ConfigError, match="more than"):
        load_settings(Path("/dev/zero"))


@pytest.mark.parametrize("name", ["missing.yaml", "."])
def test_what_cannot_be_opened(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=r"cannot be read \(.+\)") as caught:
        load_settings(tmp_path / name)
    assert "docs/ostiary.example.yaml" in caught.value.hint


def test_the_named_file_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    monkeypatch.delenv("OSTIARY_CONFIG", raising=False)
    users = tmp_path / "xdg" / "ostiary" / "ostiary.yaml"
    users.parent.mkdir(parents=True)
    users.touch()
    assert find_config() == users
    (tmp_path / "ostiary.yaml").touch()
    assert find_config() == Path("ostiary.yaml")
    # A named file is used even where it is missing: falling back in silence would run another configuration.
    monkeypatch.setenv("OSTIARY_CONFIG", str(tmp_path / "named.yaml"))
    assert find_config() == tmp_path / "named.yaml"


@given(st.text(alphabet=st.sampled_from("device:camera{}[]&*!|>'\"%@`-?,#\n\t 0x1.e\\~<=\u00e9\x07"), max_size=40))
@example("device: !!set {a, b}")
@example("device: {<<: {name: a}}")
@example("=: 1")
@example("device: !!omap [1]")
def test_any_text_gives_settings_or_a_config_error(text: str) -> None:
    with contextlib.suppress(ConfigError):
        assert isinstance(parse_settings(text), Settings)


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6) | st.dates()
SECTIONS = st.sampled_from(["device", "camera", "detect", "track", "decide", "mqtt", "publish", "outbox", "bundle"])
KEYS = st.sampled_from(["name", "uri", "region", "zone", "width_px", "tls", "port", "min_frames", "file", "confidence"])
VALUES = SCALARS | st.lists(SCALARS, max_size=5) | st.dictionaries(KEYS, SCALARS, max_size=2)


@given(st.dictionaries(SECTIONS, SCALARS | st.dictionaries(KEYS, VALUES, max_size=4), max_size=4))
def test_any_structure_gives_settings_or_a_config_error(data: dict[str, Any]) -> None:
    with contextlib.suppress(ConfigError):
        assert isinstance(parse_settings(yaml.safe_dump(data)), Settings)
