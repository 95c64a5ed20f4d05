"""Data sets of Hugging Face are read for real, from folders: files, Parquet, and what was saved."""

import json
from pathlib import Path

import pytest

from acdc.errors import ACDCError
from acdc.runs.data_sets import texts_of_dataset

datasets = pytest.importorskip("datasets")
TEXTS = ["When Mary went", "to the store"]


def texts(name: Path, part: str = "train", key: str = "text") -> list[str]:
    return list(texts_of_dataset(str(name), part, key))


@pytest.fixture
def files(tmp_path: Path) -> Path:
    for name, chosen in (("train", TEXTS), ("test", TEXTS[:1])):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in chosen))
    return tmp_path


def test_a_folder_of_files_is_a_data_set_with_its_parts(files: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert texts(files) == TEXTS and texts(files, "test") == TEXTS[:1]
    assert capfd.readouterr().err == ""  # no bars, no warnings
    with pytest.raises(ACDCError, match=r"can't read .* \(valid\): Bad split: valid"):
        texts(files, "valid")
    with pytest.raises(ACDCError, match="row 0 has no text under 'body'; it has text"):
        texts(files, key="body")


def test_saved_data_sets_and_parquet_are_read(tmp_path: Path) -> None:
    rows = datasets.Dataset.from_list([{"text": text} for text in TEXTS])
    rows.to_parquet(tmp_path / "parquet" / "train.parquet")
    rows.save_to_disk(tmp_path / "one")
    datasets.DatasetDict({"train": rows, "test": rows.select([1])}).save_to_disk(tmp_path / "parts")
    datasets.Dataset.from_list([{"text": "x"}], split="train").save_to_disk(tmp_path / "named")
    assert texts(tmp_path / "parquet") == texts(tmp_path / "one") == texts(tmp_path / "parts") == TEXTS
    assert texts(tmp_path / "parts", "test") == TEXTS[1:]
    with pytest.raises(ACDCError, match="holds the split train, not test"):
        texts(tmp_path / "named", "test")


def test_what_can_not_be_read_is_told_in_a_line(files: Path) -> None:
    with (files / "train.jsonl").open("a") as file:
        file.write('{"text": \n')
    with pytest.raises(ACDCError, match=r"datasets can't read .* \(train\): JSON parse error"):
        texts(files)
    with pytest.raises(ACDCError, match=r"datasets can't read .*nothing' \(train\)"):
        texts(files / "nothing")
