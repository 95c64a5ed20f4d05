"""Names are found by their names and other tools' ones; what modules declare is found without a list."""

import pytest

from acdc.errors import UnknownNameError
from acdc.metrics import METRICS
from acdc.registry import Registry, declared


def test_a_name_or_an_alias_finds_its_entry_and_no_other_does() -> None:
    found = Registry("colour", {"red": 1, "blue": 2}, aliases={"rouge": "red"})
    assert (found.find("red"), found.find("rouge"), list(found)) == (1, 1, ["red", "blue"])
    assert "rouge" not in found, "an alias is no name"
    with pytest.raises(UnknownNameError, match=r"unknown colour 'bleu': did you mean 'blue'\? \(known: red, blue\)"):
        found.find("bleu")


def test_entries_stand_under_the_names_that_they_say() -> None:
    assert all(METRICS.find(name).name == name for name in METRICS)


def test_what_modules_declare_is_found_by_its_name(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "zoo_of_tests" / "deep").mkdir(parents=True)
    for place, text in {"__init__": "", "b": "THING = 2", "a": "THING = 1", "c": "", "deep/__init__": ""}.items():
        (tmp_path / "zoo_of_tests" / f"{place}.py").write_text(text)
    (tmp_path / "zoo_of_tests" / "deep" / "d.py").write_text("THING = 3")
    monkeypatch.syspath_prepend(tmp_path)
    assert declared("zoo_of_tests", "THING") == [1, 2, 3]
