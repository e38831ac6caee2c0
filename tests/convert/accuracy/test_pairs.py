from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from convert.accuracy.pairs import Pair, read_all_pairs, read_pairs, read_people
from edge.errors import EXIT_USAGE, UsageError
from tests.support.data import test_data

GOOD = "2\t1\nAda\t1\t4\nAda\t1\tBob\t2\n\nCyd\t3\t10\nCyd\t3\tDan\t1\n"


def write(folder: Path, text: str) -> Path:
    path = folder / "pairs.txt"
    path.write_text(text, encoding="utf-8")
    return path


def test_folds_hold_pairs_of_one_person_then_of_two(tmp_path: Path) -> None:
    assert read_pairs(write(tmp_path, GOOD)) == [
        Pair("Ada/Ada_0001.jpg", "Ada/Ada_0004.jpg", same=True, fold=0),
        Pair("Ada/Ada_0001.jpg", "Bob/Bob_0002.jpg", same=False, fold=0),
        Pair("Cyd/Cyd_0003.jpg", "Cyd/Cyd_0010.jpg", same=True, fold=1),
        Pair("Cyd/Cyd_0003.jpg", "Dan/Dan_0001.jpg", same=False, fold=1),
    ]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", "empty"),
        ("\n \n", "empty"),
        (GOOD.split("\n", 1)[1], "header 'Ada 1 4'"),
        ("300\n", "header '300'"),
        ("0\t1\n", "header '0 1'"),
        ("2\t-1\n", "header '2 -1'"),
        (GOOD.rsplit("\n", 2)[0], "3 pairs; expected 4"),
        (GOOD + "Eve\t1\t2\n", "5 pairs; expected 4"),
        (GOOD.replace("Cyd\t3\t10", "Cyd\t3\tDan\t10"), "pair 3: 'Cyd 3 Dan 10'; expected a pair of one person"),
        (GOOD.replace("Ada\t1\tBob\t2", "Ada\t1\t2"), "pair 2: 'Ada 1 2'; expected a pair of two people"),
        (GOOD.replace("Ada\t1\t4", "Ada\t1"), "pair 1: 'Ada 1'"),
        (GOOD.replace("Ada\t1\t4", "Ada\tone\t4"), "pair 1: 'Ada one 4'"),
        (GOOD.replace("Ada\t1\t4", "Ada\t0\t4"), "pair 1: 'Ada 0 4'"),
        (GOOD.replace("Ada\t1\t4", "Ada\t1\t99999"), "pair 1: 'Ada 1 99999'"),
        (GOOD.replace("Ada\t1\t4", "Ada\t1\t٤"), "pair 1: 'Ada 1 ٤'"),
        (GOOD.replace("Ada\t1\t4", "../Ada\t1\t4"), "pair 1: '../Ada 1 4'"),
    ],
)
def test_faults_are_named_with_their_place(text: str, found: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        read_pairs(write(tmp_path, text))
    assert found in str(caught.value)
    assert caught.value.exit_code == EXIT_USAGE


def test_a_file_that_is_missing_or_no_text(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        read_pairs(tmp_path / "absent.txt")
    (tmp_path / "pairs.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="not UTF-8"):
        read_pairs(tmp_path / "pairs.txt")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(text=st.text(alphabet="Ab1\t\n 0²-", max_size=60))
def test_any_text_is_read_or_refused(text: str, tmp_path: Path) -> None:
    try:
        pairs = read_pairs(write(tmp_path, text))
    except UsageError:
        return
    assert pairs


def test_people(tmp_path: Path) -> None:
    assert read_people(write(tmp_path, "Ada\t4\n\n Bob \n")) == {"Ada", "Bob"}
    with pytest.raises(UsageError, match="empty"):
        read_people(write(tmp_path, "\n"))


def test_the_real_files() -> None:
    pairs = read_pairs(test_data("data", "lfw", "pairs-evaluate.txt"))
    people = read_people(test_data("data", "lfw", "identities-train.txt"))
    assert len(pairs) == 1200
    assert sum(pair.same for pair in pairs) == 600
    assert {pair.fold for pair in pairs} == {0, 1}
    assert not people & {name.split("/")[0] for pair in pairs for name in (pair.first, pair.second)}


def test_folds_of_several_files_are_numbered_on(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_text("2\t1\n" + "Ada\t1\t2\nAda\t1\tBea\t1\n" * 2)
    found = read_all_pairs([tmp_path / "a", tmp_path / "b"])
    assert [pair.fold for pair in found] == [0, 0, 1, 1, 2, 2, 3, 3]
