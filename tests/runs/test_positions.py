"""`--positions`: by which spans a run splits edges, what it records of them, and that they are taken up again."""

import json
from pathlib import Path

import pytest

from acdc import PromptPair, discover, evaluate
from acdc.circuits.circuit import Circuit
from acdc.cli import main
from acdc.errors import TaskError, UnknownNameError
from acdc.runs.compare import measure_all, read_all
from acdc.runs.reload import reload

INDUCTION = ["a0.h2->a1.h1<k>@B", "a1.h1->logits@end", "input->a0.h2<v>@A", "input->a1.h1<q>@end", "input->a1.h1<v>@B"]
FAST = {"n": 4, "tau": 0.01}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def split(runs: Path) -> Path:
    return discover("induction-compiled", "induction", positions="spans", out=runs, **FAST).path  # type: ignore[return-value]


def test_a_run_splits_edges_and_records_how(split: Path) -> None:
    circuit, record = Circuit.load(split / "circuit.json"), json.loads((split / "run.json").read_text())
    assert sorted(circuit.edges) == INDUCTION
    assert circuit.graph.spans == ("prefix", "rest", "A", "B", "end")
    assert record["arguments"]["positions"] == circuit.provenance["positions"] == "spans"
    assert json.loads((split / "metrics.json").read_text())["held_out"]["faithfulness"] == pytest.approx(1, abs=0.01)


def test_it_is_another_run_than_that_of_whole_edges_whose_record_is_as_before(runs: Path, split: Path) -> None:
    whole = discover("induction-compiled", "induction", out=runs, **FAST)
    assert whole.record["fingerprint"] != json.loads((split / "run.json").read_text())["fingerprint"]
    assert "positions" not in whole.record["arguments"] and whole.circuit.graph.spans == ()
    assert whole.record["prompts_sha256"] != json.loads((split / "run.json").read_text())["prompts_sha256"]


def test_its_prompts_are_split_again_when_it_is_evaluated(split: Path) -> None:
    reloaded = reload(split)
    assert reloaded.arguments.positions == "spans"
    problem, warning = reloaded.discovery_problem()
    assert warning is None and problem.graph.spans == reloaded.circuit.graph.spans
    assert problem.batch.fingerprint == reloaded.prompts_sha256
    assert reloaded.problem(held_out=True).graph == problem.graph
    found = evaluate(split, only=["faithfulness"], n=4, save=False)
    assert found.report["parts"]["faithfulness"]["n_prompts"] == 4


def test_each_position_of_prompts_of_one_length() -> None:
    options = {"repeated": 4}
    found = discover("induction-compiled", "induction", positions="each", task_options=options, out=None, **FAST)
    assert sorted(found.circuit.edges) == [
        "a0.h2->a1.h1<k>@4",
        "a1.h1->logits@13",
        "input->a0.h2<v>@3",
        "input->a1.h1<q>@13",
        "input->a1.h1<v>@4",
    ]


def test_what_cannot_be_split_is_told_before_the_search() -> None:
    with pytest.raises(TaskError, match="positions 'each' needs prompts of one length"):
        discover("induction-compiled", "induction", positions="each", out=None, **FAST)
    with pytest.raises(UnknownNameError, match="did you mean 'spans'"):
        discover("induction-compiled", "induction", positions="span", out=None, **FAST)
    pairs = [PromptPair([i, i + 1, 3], [i, i + 20, 3], [4], [5]) for i in range(3, 8)]
    with pytest.raises(TaskError, match="names no spans to split by"):
        discover("induction-compiled", pairs, positions="spans", out=None, **FAST)


def test_circuits_of_both_kinds_are_measured_on_the_same_prompts(runs: Path, split: Path) -> None:
    whole = discover("induction-compiled", "induction", out=runs, **FAST).path
    found = measure_all(read_all([str(split), str(whole)]), str(split))
    assert [each["n_edges"] for each in found.values()] == [5, 5]
    assert [each["n_edges_of_model"] for each in found.values()] == [506, 110]


def test_the_program_takes_positions(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["discover", "induction", "--model", "induction-compiled", "--tau", "0.01", "--n", "4"]
    assert main([*command, "--positions", "spans", "--out", str(runs)]) == 0
    assert "positions spans" in capsys.readouterr().out
    assert main([*command, "--positions", "each", "--out", str(runs)]) == 2
    assert "needs prompts of one length" in capsys.readouterr().err
