"""Several processes do what one does, to the last bit, and end together."""

from pathlib import Path

import pytest
import torch

from acdc.patching import prompt_blocks
from acdc.patching.prompt_blocks import block_size
from acdc.ranks import ALONE, Ranks, own_device
from tests.ranks.starting import run_together
from tests.ranks.work import resumed, shared_work, smallest_blocks
from tests.tiny import tiny_model


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LEAST_WORK", "TOKENS"):
        monkeypatch.setattr(prompt_blocks, name, getattr(prompt_blocks, name))  # is set back after the test
    smallest_blocks()


@pytest.mark.parametrize("n", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_several_processes_give_the_bits_of_one(n: int, tmp_path: Path, small_blocks: None) -> None:
    """And go on from its checkpoint, which they complete."""
    checkpoint = tmp_path / "checkpoint.jsonl"
    expected = shared_work(ALONE) | {"exact": resumed(ALONE, checkpoint)}
    whole = checkpoint.read_bytes()
    checkpoint.write_bytes(b"".join(whole.splitlines(keepends=True)[:4]))
    done = run_together(n, "tests.ranks.work", str(tmp_path))
    assert [process.returncode for process in done] == [0] * n, done
    assert checkpoint.read_bytes() == whole
    for rank in range(n):
        found = torch.load(tmp_path / f"{rank}.pt")
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            there, here = (torch.as_tensor(x, dtype=torch.float64) for x in (found[name], value))
            assert torch.equal(there.nan_to_num(), here.nan_to_num()), f"{name} of process {rank}"


def test_a_mistake_is_raised_by_all_and_a_bug_ends_all() -> None:
    first, second, third = run_together(3, "tests.ranks.failing", "bug")
    assert first.stdout.splitlines() == ["0: 5 can't be squared", "0: ProcessEnded: process 1: ValueError: a bug"]
    assert second.stdout.splitlines() == ["1: 5 can't be squared", "1: ValueError: a bug"]
    assert third.stdout.splitlines() == ["2: 5 can't be squared", "2: ProcessEnded: process 1: ValueError: a bug"]
    assert [each.returncode for each in (first, second, third)] == [3, 3, 3]


def test_a_killed_process_ends_the_others() -> None:
    first, second = run_together(2, "tests.ranks.failing", "killed")
    assert "ProcessEnded: another process of this run ended without a word" in first.stdout
    assert (first.returncode, second.returncode) == (3, -9)


def test_a_process_that_is_stopped_stops_all() -> None:
    first, second = run_together(2, "tests.ranks.failing", "stopped")
    assert "0: KeyboardInterrupt" in first.stdout
    assert "1: KeyboardInterrupt" in second.stdout


def test_one_process_works_as_if_there_were_no_ranks() -> None:
    assert list(ALONE.spread([3, 1, 2], str)) == ["3", "1", "2"]
    assert ALONE.by_first(lambda: 7) == 7
    assert Ranks().is_first


def test_blocks_are_a_power_of_2_and_of_a_small_model_s_prompts_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = tiny_model("gpt2").graph
    assert block_size("gradient", graph, 50, 20, on_cpu=True) == 50
    monkeypatch.setattr(prompt_blocks, "LEAST_WORK", 1)
    sizes = {n: block_size("gradient", graph, n, 20, on_cpu=True) for n in (1, 3, 7, 13, 20, 100)}
    assert sizes == {1: 1, 3: 3, 7: 4, 13: 4, 20: 5, 100: 7}
    assert block_size("gradient", graph, 100, 20, on_cpu=False) == 100


def test_each_process_takes_its_own_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    assert own_device("cuda") == "cuda"
    for name, value in {
        "RANK": "1",
        "LOCAL_RANK": "1",
        "WORLD_SIZE": "2",
        "MASTER_ADDR": "",
        "MASTER_PORT": "",
    }.items():
        monkeypatch.setenv(name, value)
    assert [own_device(device) for device in ("cuda", "cuda:0", "cpu")] == ["cuda:1", "cuda:1", "cpu"]
