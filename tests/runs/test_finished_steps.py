"""Finished steps are kept to the last bit, in any dtype; others' and damaged ones are made anew."""

import pytest
import torch

from acdc.errors import FileError
from acdc.runs.finished_steps import FinishedSteps


def never() -> dict:
    raise AssertionError("it was kept")


def test_what_was_found_is_found_again_by_the_same_search_alone(tmp_path, caplog) -> None:
    found = {
        "a": torch.randn(3, 2, dtype=torch.float64),
        "b": torch.tensor(1 / 3, dtype=torch.float64),
        "c": torch.randn(4).bfloat16(),
    }
    steps = FinishedSteps(tmp_path / "run", "mine")
    assert not steps.are_there
    assert steps("one", lambda: found) is found
    again = FinishedSteps(tmp_path / "run", "mine")
    assert again.are_there
    taken = again("one", never)
    assert all(torch.equal(taken[name], each) and taken[name].dtype == each.dtype for name, each in found.items())
    other = {"a": torch.zeros(1)}
    assert FinishedSteps(tmp_path / "run", "another's")("one", lambda: other) is other
    assert FinishedSteps(tmp_path / "run", "mine")("one", lambda: found) is found
    (path,) = (tmp_path / "run").rglob("*.safetensors")
    path.write_bytes(path.read_bytes()[:-9])
    assert FinishedSteps(tmp_path / "run", "mine")("one", lambda: other) is other
    assert "is damaged" in caplog.text


def test_they_are_removed_with_the_folder_that_they_alone_made(tmp_path) -> None:
    for kept in (False, True):
        steps = FinishedSteps(tmp_path / "run", "mine")
        steps("one", lambda: {"a": torch.zeros(1)})
        (steps.folder / ".two.safetensors.4194305.tmp").write_bytes(b"half")  # no process has such a number
        if kept:
            (tmp_path / "run" / "circuit.json").write_text("{}")
        steps.discard()
        assert (tmp_path / "run").exists() == kept
        assert not (tmp_path / "run" / "unfinished").exists()


def test_a_place_that_can_t_be_written_is_told(tmp_path) -> None:
    (tmp_path / "run").write_text("a file")
    with pytest.raises(FileError, match="can't make"):
        FinishedSteps(tmp_path / "run", "mine")("one", lambda: {"a": torch.zeros(1)})
