"""A sweep's cells before they run: all mistakes are told at once, and a command says exactly what its cell says."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from acdc import discover
from acdc.cli.app import app
from acdc.discovery import check_options, get_method
from acdc.errors import ACDCError
from acdc.runs.sweeps.cells import PlannedCell, check_devices, plan
from acdc.runs.sweeps.grid import read_grid

SMALL = {"model": "induction-compiled", "n": 3}


class Asked(Exception):
    """The command has come to what it asks for."""


def planned(tables: dict[str, Any], out: Path) -> list[PlannedCell]:
    return plan(read_grid(tables), out)


@pytest.mark.fast
def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    tables = {
        "grid": {"task": ["ioi", "inducton"], "method": ["eap"], "seed": [0, 1]},
        "cell": [{"task": "ioi", "options": {"taus": 1}}, {"task": "ioi", "method": "eap", "metric": "kl"}],
    }
    with pytest.raises(ACDCError) as told:
        planned(tables, tmp_path)
    message = str(told.value)
    assert "unknown task 'inducton': did you mean 'induction'?" in message and message.count("inducton'") == 1
    assert "unknown option of method 'acdc' 'taus': did you mean 'tau'?" in message
    assert "metric 'kl' is flat" in message and "(in ioi eap seed 0)" in message
    assert not list(tmp_path.iterdir())


@pytest.mark.fast
@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ({"n": 0}, "n must be"),
        ({"seed": -1}, "seed must be"),
        ({"ablation": "corupt"}, "did you mean 'corrupt'?"),
        ({"dtype": "half"}, "did you mean 'float16'?"),
        ({"model": "./none"}, "there is no model folder './none'"),
        ({"model": "acdc-smal"}, "did you mean the bundled 'acdc-small'?"),
        ({"options": {"tau": "x"}}, "tau"),
        ({"task_options": {"corruption": "1"}}, "a command line can't say '1': it would be 1"),
        ({"options": {"tau": " 5%"}}, "begins or ends with a space"),
        ({"device": "cpu", "device_map": "auto", "dtype": "float3"}, "dtype"),
    ],
)
def test_a_cell_is_checked_as_a_run_is(
    cell: dict[str, Any], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ACDCError, match=re.escape(message)):
        planned({"cell": [{"task": "ioi", **cell}]}, tmp_path)


@pytest.mark.fast
def test_a_device_is_looked_for_only_where_cells_run(tmp_path: Path) -> None:
    cells = planned({"cell": [{"task": "ioi", "device": "nowhere"}]}, tmp_path)
    with pytest.raises(ACDCError, match="device 'nowhere' can't be used here"):
        check_devices(cells)


@pytest.mark.fast
def test_the_command_asks_for_what_the_cell_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What reaches `discover` from the command is what the cell holds."""
    cell = {
        "task": "ioi",
        "model": "acdc-small",
        "method": "hap",
        "metric": "nll",
        "ablation": "zero",
        "n": 7,
        "seed": 5,
        "bos": False,
        "memory": "2 GB",
        "dtype": "float64",
        "revision": "main",
        "trust_remote_code": True,
        "task_options": {"corruption": "abc"},
        "options": {"tau": "5%", "absolute": True, "scorer": "eap", "sweeps": 1, "faithfulness": 1e-05},
    }
    (made,) = planned({"cell": [cell]}, tmp_path)
    asked: dict[str, Any] = {}

    def note(model: str, task: str, **rest: Any) -> None:
        asked.update(rest, model=model, task=task)
        raise Asked

    monkeypatch.setattr("acdc.runs.discover.discover", note)
    with pytest.raises(Asked):
        app(shlex.split(made.command)[1:], standalone_mode=False)
    for name, value in cell.items():
        if name != "options":
            assert asked[name] == value, name
    assert asked["out"] == tmp_path
    method = get_method("hap")
    words = {name: asked[name] for name in method.options if name in asked and name != "memory"}
    assert check_options(method, words) == check_options(method, cell["options"])


@pytest.mark.fast
def test_defaults_need_no_words(tmp_path: Path) -> None:
    (made,) = planned({"cell": [{"task": "ioi", "method": "acdc", "n": 50, "bos": True}]}, tmp_path / "a b")
    assert made.command == f"acdc discover ioi --bos --out '{tmp_path / 'a b'}'"


@pytest.mark.fast
def test_equal_cells_are_one(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    cells = [{"task": "ioi"}, {"task": "ioi", "options": {"sweeps": 1}}, {"task": "ioi", "model": "acdc-small"}]
    assert len(planned({"cell": cells}, tmp_path)) == 1
    assert "2 cells of the grid are another one's run" in caplog.text


def test_a_finished_run_is_known_by_all_its_arguments(tmp_path: Path) -> None:
    result = discover("induction-compiled", "induction", n=3, seed=2, tau=0.02, out=tmp_path)
    own = {**SMALL, "task": "induction", "seed": 2, "options": {"tau": 0.02}}
    others = [{"seed": 3}, {"n": 4}, {"ablation": "zero"}, {"dtype": "float64"}, {"options": {"tau": 0.03}}]
    cells = planned({"cell": [own, *({**own, **other} for other in others)]}, tmp_path)
    assert [cell.run for cell in cells] == [result.path, *[None] * len(others)]


def test_a_task_with_fewer_prompts_than_asked_for_is_known_too(tmp_path: Path) -> None:
    task = tmp_path / "few.py"
    task.write_text(
        "from acdc import PromptPair, Task\n"
        "class Few(Task):\n"
        "    name = 'few'\n"
        "    default_model = 'acdc-small'\n"
        "    def pairs(self, tokenizer, n, rng):\n"
        "        return [PromptPair(' to', ' from', [10], [11])][:n]\n"
    )
    options = {"n_edges": 20}
    result = discover("acdc-small", f"{task}:Few", method="random", n=9, out=tmp_path, **options)
    (cell,) = planned({"cell": [{"task": f"{task}:Few", "method": "random", "n": 9, "options": options}]}, tmp_path)
    assert result.record["arguments"]["n"] == 1 and cell.run == result.path


def test_a_damaged_run_is_not_there(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    result = discover("induction-compiled", "induction", n=3, out=tmp_path)
    assert result.path is not None
    (result.path / "run.json").write_text("{")
    (cell,) = planned({"cell": [{"task": "induction", **SMALL}]}, tmp_path)
    assert cell.run is None and "is damaged" in caplog.text
