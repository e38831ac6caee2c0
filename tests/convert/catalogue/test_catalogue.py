from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from convert.catalogue import names, read_recipe, recipe_named
from convert.catalogue.sources import find_sources, models_folder, verify_sources
from edge.errors import EXIT_REJECTED, ModelError, UsageError
from tests.support.data import TEST_DATA

RECIPE = {
    "title": "a net",
    "role": "other",
    "source": "somewhere",
    "licence": "MIT",
    "files": [{"name": "net.onnx", "sha256": "0" * 64, "bytes": 3}],
    "parts": {"model": {"files": ["net.onnx"], "format": "onnx"}},
}


def written(tmp_path: Path, **changes: object) -> Path:
    path = tmp_path / "net.yaml"
    path.write_text(yaml.safe_dump({**RECIPE, **changes}))
    return path


@pytest.mark.parametrize("name", names())
def test_every_recipe_is_sound_and_says_where_it_comes_from(name: str) -> None:
    recipe = recipe_named(name)
    assert recipe.title
    assert recipe.licence
    assert recipe.obtain or all(file.url.startswith("https://") for file in recipe.files)
    assert recipe.obtain or all(file.sha256 and file.bytes for file in recipe.files)


@pytest.mark.parametrize("folder", sorted(path.name for path in (TEST_DATA / "models").glob("*/")))
def test_every_folder_of_the_test_data_has_a_recipe_whose_digests_fit(folder: str) -> None:
    recipe = recipe_named(folder)
    verify_sources(recipe, TEST_DATA / "models" / folder)


def test_all_faults_of_a_recipe_are_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        read_recipe(written(tmp_path, role="cook", licens="MIT"))
    text = str(caught.value)
    assert "role" in text
    assert "licens" in text
    assert "licence" in text


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"role": "embedder"}, "role embedder without the section embedder"),
        ({"parts": {}}, "parts is empty"),
        ({"parts": {"model": {"files": ["other.onnx"], "format": "onnx"}}}, "other.onnx"),
        ({"files": [{"name": "../net.onnx"}]}, "files[0].name"),
    ],
)
def test_what_does_not_fit_together_is_refused(tmp_path: Path, changes: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError, match="fault") as caught:
        read_recipe(written(tmp_path, **changes))
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "a: [",
        "a: &x 1\nb: *x",
        "!!python/object/apply:os.system [echo]",
        "\x00",
        "- 1",
        "[" * 5000,
        "a: &a [x, x]\nb: [*a, *a]",
    ],
)
def test_hostile_recipes_are_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "net.yaml"
    path.write_text(text)
    with pytest.raises(UsageError):
        read_recipe(path)


def test_an_unknown_name_lists_the_catalogue() -> None:
    with pytest.raises(UsageError, match="mobilefacenet-mxnet"):
        recipe_named("mobilefacenet")


def test_sources_are_looked_for_beside_and_where_fetch_puts_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = read_recipe(written(tmp_path))
    monkeypatch.setenv("OSTIARY_MODELS", str(tmp_path / "cache"))
    with pytest.raises(UsageError) as caught:
        find_sources("net", recipe, None)
    assert str(tmp_path / "cache" / "net") in str(caught.value)
    assert "fetch net" in str(caught.value)
    (models_folder() / "net").mkdir(parents=True)
    (models_folder() / "net" / "net.onnx").write_bytes(b"abc")
    assert find_sources("net", recipe, None) == tmp_path / "cache" / "net"
    beside = tmp_path / "models" / "net"
    beside.mkdir(parents=True)
    (beside / "net.onnx").write_bytes(b"abc")
    assert find_sources("net", recipe, None, beside=tmp_path / "models" / "another") == beside


@pytest.mark.parametrize(("content", "said"), [(b"abcd", "4 bytes"), (b"abc", "SHA-256 ba7816bf")])
def test_another_file_than_the_recipes_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    recipe = read_recipe(written(tmp_path))
    (tmp_path / "net.onnx").write_bytes(content)
    with pytest.raises(ModelError, match=said) as caught:
        verify_sources(recipe, tmp_path)
    assert caught.value.exit_code == EXIT_REJECTED
    verify_sources(recipe, tmp_path, any_digest=True)
