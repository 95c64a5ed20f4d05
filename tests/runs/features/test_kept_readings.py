"""Readings are found again by what the dictionary is; files that aren't readings are passed over."""

from dataclasses import replace
from pathlib import Path

import pytest

from acdc.features.reading import save_reading
from acdc.runs.features.kept_readings import readings_of
from acdc.runs.features.reading import ENDING
from tests.features.reading.planted import planted


def test_the_reading_of_a_dictionary_is_found_by_its_weights(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    made = planted()
    renamed = replace(made.dictionary, name="another name")
    other = replace(made.dictionary, encoder=2 * made.dictionary.encoder)
    assert readings_of([renamed], tmp_path) == [None]
    folder = tmp_path / "features" / "planted"
    folder.mkdir(parents=True)
    save_reading(made.reading, folder / f"a{ENDING}")
    (folder / f"b{ENDING}").write_bytes(b"no reading")
    found, nothing = readings_of([renamed, other], tmp_path)
    assert found is not None and found.about == made.reading.about and nothing is None
    assert "is no reading of features" in caplog.text
