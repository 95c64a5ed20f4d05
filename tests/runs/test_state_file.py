"""A state is given back as it was kept, to the last bit, and never another run's or a damaged one."""

import math
from pathlib import Path

import pytest
import torch

from acdc.errors import FileError
from acdc.runs.checkpoint import FileCheckpoint, clear_checkpoint
from acdc.runs.state_file import StateFile, state_path

STATE = {
    "log_alpha": torch.tensor([0.1, -math.inf, 1e-310], dtype=torch.float64),
    "none": torch.zeros(0, dtype=torch.float64),
    "step": torch.tensor(3.0),
}


def same(found: dict[str, torch.Tensor] | None) -> bool:
    return found is not None and found.keys() == STATE.keys() and all(torch.equal(found[n], STATE[n]) for n in STATE)


def test_the_last_state_is_given_back(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.jsonl"
    with FileCheckpoint(path, "f") as checkpoint:
        assert checkpoint.load() is None and checkpoint.recorded == 0
        checkpoint.keep({"log_alpha": torch.zeros(2)})
        checkpoint.keep(STATE)
    with FileCheckpoint(path, "f") as checkpoint:
        assert same(checkpoint.load()) and checkpoint.recorded == 1
        assert not clear_checkpoint_of(path), "it is being written"
    assert not clear_checkpoint(path, finished=False), "something was kept"
    assert clear_checkpoint(path, finished=True) and not any(tmp_path.iterdir())


def clear_checkpoint_of(path: Path) -> bool:
    try:
        return clear_checkpoint(path, finished=True)
    except BlockingIOError:
        return False


def test_a_run_that_is_over_leaves_nothing(tmp_path: Path) -> None:
    with FileCheckpoint(tmp_path / "checkpoint.jsonl", "f") as checkpoint:
        checkpoint.keep(STATE)
        checkpoint.discard()
    assert not any(tmp_path.iterdir())


def test_a_state_whose_chain_is_gone_is_gone(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.jsonl"
    with FileCheckpoint(path, "f") as checkpoint:
        checkpoint.keep(STATE)
    path.unlink()
    with FileCheckpoint(path, "f") as checkpoint:
        assert checkpoint.load() is None


def test_what_is_damaged_or_another_run_s_is_not_taken(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "checkpoint.jsonl"
    StateFile(path, "f").write(STATE)
    assert same(StateFile(path, "f").read())
    assert StateFile(path, "g").read() is None and "another run's" in caplog.text
    whole = state_path(path).read_bytes()
    for at in range(0, len(whole), 7):
        state_path(path).write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        assert StateFile(path, "f").read() is None or whole[at : at + 1].isspace()
    for end in (0, 5, len(whole) - 1):
        state_path(path).write_bytes(whole[:end])
        assert StateFile(path, "f").read() is None


def test_a_state_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="can't write"):
        StateFile(tmp_path / "missing" / "checkpoint.jsonl", "f").write(STATE)
