"""A run from arguments to files: what is written, that it is read back, stopped and gone on with."""

import functools
import json
import os
import random
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch
from torch import Tensor

from acdc import PatchableModel, PromptPair, Task, discover, load_run
from acdc.circuits.circuit import Circuit
from acdc.cli import main
from acdc.discovery import METHODS
from acdc.errors import ACDCError, RunError
from acdc.patching.exact.state import CircuitState
from acdc.progress import Progress
from acdc.runs import conclusion
from acdc.runs.catalog import find_run
from tests.tiny import tiny_model


class Copy(Task):
    """The token before the target, in prompts given as ids."""

    name = "copy"
    metric = "logit_diff"

    def pairs(self, tokenizer, n: int, rng: random.Random) -> list[PromptPair]:
        drawn = [rng.sample(range(50), 6) for _ in range(n)]
        return [PromptPair([a, b, c, d], [a, e, f, d], [c], [f]) for a, b, c, d, e, f in drawn]


class Fixed(Copy):
    """The same prompts whatever the seed."""

    def pairs(self, tokenizer, n: int, rng: random.Random) -> list[PromptPair]:
        return super().pairs(tokenizer, n, random.Random(1))


class Few(Fixed):
    """Too few of them to hold any out."""

    def pairs(self, tokenizer, n: int, rng: random.Random) -> list[PromptPair]:
        return super().pairs(tokenizer, 3, rng)


@pytest.fixture(scope="module")
def model() -> PatchableModel:
    return tiny_model("gpt2")


FILES = ["circuit.json", "metrics.json", "edges.csv", "circuit.dot", "circuit.svg", "prompts.jsonl", "report.html"]
FILES += ["run.json"]


def test_a_run_is_saved_whole_and_read_back(model: PatchableModel, tmp_path: Path) -> None:
    result = discover(model, Copy, n=6, tau=0.02, out=tmp_path)
    assert result.path is not None and result.path.parent == tmp_path / "copy" / "gpt2" / "acdc"
    assert sorted(path.name for path in result.path.iterdir()) == sorted(FILES)
    assert sorted(result.files) == sorted(result.path / name for name in FILES)
    again = load_run(result.path)
    assert again.circuit == result.circuit
    assert again.circuit.provenance == result.circuit.provenance
    assert json.loads(json.dumps(again.metrics)) == json.loads(json.dumps(dict(result.metrics)))
    assert again.summary() == result.summary()
    frame = pd.read_csv(result.path / "edges.csv")
    assert set(frame.loc[frame["kept"], "edge"]) == set(result.circuit.edges)
    assert (result.path / "circuit.svg").read_text().startswith(("<svg", "<?xml"))


@pytest.mark.parametrize("method", METHODS)
def test_every_method_makes_a_run_that_is_read_back_and_made_again(
    model: PatchableModel, tmp_path: Path, method: str
) -> None:
    options = {"steps": 20} if method in ("edge-pruning", "subnetwork-probing") else {}
    result = discover(model, Copy, n=6, method=method, out=tmp_path, **options)
    assert result.path is not None and result.path.parent.name == method
    again = load_run(result.path)
    assert again.circuit == result.circuit and again.summary() == result.summary()
    curve = ["curve.svg"] if "curve" in result.record["evidence"] else []
    assert sorted(path.name for path in result.path.iterdir()) == sorted([*FILES, *curve])
    assert sorted(path.name for path in result.files) == sorted([*FILES, *curve])
    frame = pd.read_csv(result.path / "edges.csv")
    assert set(frame.loc[frame["kept"], "edge"]) == set(result.circuit.edges)
    assert result.record["cost"] and all(value >= 0 for value in result.record["cost"].values())
    assert discover(model, Copy, n=6, method=method, out=None, **options).circuit == result.circuit


def test_the_record_says_all_that_made_the_run(model: PatchableModel, tmp_path: Path) -> None:
    result = discover(model, Copy, n=5, seed=3, tau=0.02, ablation="mean-positional", out=tmp_path)
    record = json.loads((result.path / "run.json").read_text())
    arguments = record["arguments"]
    assert (arguments["n"], arguments["seed"], arguments["ablation"]) == (5, 3, "mean-positional")
    assert arguments["options"]["tau"] == 0.02 and arguments["options"]["sweeps"] == 1, "defaults too"
    assert arguments["metric"] == "logit_diff"
    assert len(record["model"]["weights_sha256"]) == len(record["prompts_sha256"]) == 64
    assert record["versions"]["torch"] == torch.__version__
    assert record["parity"]["max_abs_difference"] < 1e-8
    assert record["cost"]["candidates"] > 0


def test_equal_arguments_give_equal_runs_and_others_do_not(model: PatchableModel) -> None:
    one, same, other = (discover(model, Copy, n=6, seed=seed, tau=0.02, out=None) for seed in (1, 1, 2))
    assert one.circuit == same.circuit and one.record["fingerprint"] == same.record["fingerprint"]
    assert one.record["fingerprint"] != other.record["fingerprint"]
    assert one.path is None and one.files == ()


def test_held_out_prompts_are_measured_beside_the_others(model: PatchableModel) -> None:
    result = discover(model, Copy, n=6, tau=0.02, out=None)
    held_out = result.metrics["held_out"]
    assert held_out["n_prompts"] == 6 and held_out["n_seen"] == 0
    assert held_out["logit_diff"] != result.metrics["logit_diff"]
    assert "(6 other prompts)" in result.summary()
    fixed = discover(model, Fixed, n=6, tau=0.02, out=None)
    assert fixed.metrics["held_out"]["n_seen"] == 0, "every fourth prompt is held out of what is always the same"
    few = discover(model, Few, n=6, tau=0.02, out=None)
    assert few.metrics["held_out"]["n_seen"] == few.metrics["n_prompts"] == 3
    assert "3 prompts, 3 of them seen in the search" in few.summary()


def test_a_model_that_cannot_do_the_task_is_told_of(model: PatchableModel) -> None:
    """A random model: what it makes of the answers is chance, so a faithfulness to it is faithful to nothing."""
    result = discover(model, Copy, n=6, tau=0.02, out=None)
    assert result.metrics["warnings"] and "isn't clearly better" in result.metrics["warnings"][0]
    assert result.metrics["warnings"][0] in result.summary() and result.metrics["warnings"][0] in result.warnings
    assert result.metrics["no_meaning"] and "(no meaning: " in result.summary()
    assert {"top-1 accuracy", "p(correct)"} <= {line.strip()[:14].strip() for line in result.summary().splitlines()}
    assert "circuit predicts" in result.predictions()


def test_what_a_search_measured_on_the_way_is_told_in_words(model: PatchableModel) -> None:
    for name, arguments, words in (
        ("acdc", {"tau": 0.5}, "removing every edge raises the loss by "),
        ("eap", {"n_edges": 5}, "edges of the ranking were gone through to reach this size"),
        ("eap", {"faithfulness": 0.5}, " of the metric's change"),
        ("eap-ig-inputs", {"steps": 2}, "scores add up to the exact effect within "),
    ):
        text = discover(model, Copy, method=name, n=4, out=None, **arguments).summary()
        line = next(line for line in text.splitlines() if line.startswith("  search "))
        assert words in line and "_" not in line, (name, line)


def test_the_metrics_are_those_of_the_circuit(model: PatchableModel) -> None:
    everything = discover(model, Copy, n=6, tau=0.0, absolute=True, out=None, prune=False)
    assert everything.metrics["n_edges"] == model.graph.n_edges
    assert everything.metrics["kl"]["circuit"] == pytest.approx(0, abs=1e-12)
    assert everything.metrics["faithfulness"] == pytest.approx(1)
    nothing = discover(model, Copy, n=6, tau=1e9, out=None)
    assert nothing.metrics["n_edges"] == 0
    assert nothing.metrics["faithfulness"] == pytest.approx(0)


def test_progress_tells_stages_and_ends_at_the_total(model: PatchableModel) -> None:
    seen: list[Progress] = []
    discover(model, Copy, n=6, tau=0.02, out=None, progress=seen.append)
    assert {"making prompts", "sweep 1", "measuring the circuit"} <= {progress.stage for progress in seen}
    last = [progress for progress in seen if progress.stage == "sweep 1"][-1]
    assert last.done == last.total == model.graph.n_edges


def stop_after(calls: int) -> "callable":
    left = [calls]

    def note(progress: Progress) -> None:
        left[0] -= progress.stage.startswith("sweep")
        if left[0] < 0:
            raise KeyboardInterrupt

    return note


def test_a_stopped_run_goes_on_where_it_was(
    model: PatchableModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = {"n": 6, "tau": 0.02, "sweeps": 2, "speculation": 2}
    asked, losses = [0], CircuitState.losses

    def counted(self: CircuitState, *args: object) -> Tensor:
        asked[0] += 1
        return losses(self, *args)

    monkeypatch.setattr(CircuitState, "losses", counted)
    whole = discover(model, Copy, out=None, **arguments)
    of_whole, asked[0] = asked[0], 0
    with pytest.raises(KeyboardInterrupt):
        discover(model, Copy, out=tmp_path, progress=stop_after(20), **arguments)
    (unfinished,) = tmp_path.glob("*/*/*/*")
    assert [path.name for path in unfinished.iterdir()] == ["checkpoint.jsonl"]
    with pytest.raises(RunError, match="unfinished"):
        load_run(unfinished)
    before, asked[0] = asked[0], 0
    result = discover(model, Copy, out=tmp_path, **arguments)
    assert result.path == unfinished and result.record["resumed"]
    assert result.circuit == whole.circuit
    assert before + asked[0] == of_whole, "what was measured is not measured again"
    assert result.cost == whole.cost, "what was measured before counts too"
    assert not (unfinished / "checkpoint.jsonl").exists()


def test_other_arguments_leave_a_stopped_run_alone(model: PatchableModel, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        discover(model, Copy, n=6, tau=0.02, out=tmp_path, progress=stop_after(3))
    other = discover(model, Copy, n=6, tau=0.03, out=tmp_path)
    anew = discover(model, Copy, n=6, tau=0.02, out=tmp_path, resume=False)
    assert not other.record["resumed"] and not anew.record["resumed"]
    assert len(list(tmp_path.glob("*/*/*/*/checkpoint.jsonl"))) == 1


KILLED = """
import os, signal, sys
from acdc.cli import main
from acdc.runs.checkpoint import FileCheckpoint

append = FileCheckpoint.append

def killed(checkpoint, values):
    append(checkpoint, values)
    with open(checkpoint.path, "rb") as file:
        if len(file.readlines()) > 30:
            os.kill(os.getpid(), signal.SIGKILL)

FileCheckpoint.append = killed
main(sys.argv[1:])
"""


def test_a_killed_process_s_run_ends_with_the_same_circuit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["discover", "ioi", "--n", "10", "--tau", "0.01", "--option", "speculation=1", "--json", "--out"]
    killed = subprocess.run([sys.executable, "-c", KILLED, *arguments, str(tmp_path / "killed")], capture_output=True)
    assert killed.returncode == -signal.SIGKILL
    assert not list(tmp_path.glob("killed/*/*/*/run.json")), "it was killed in the middle"
    runs = []
    for name in ("killed", "whole"):
        assert main([*arguments, str(tmp_path / name)]) == 0
        runs.append(json.loads(capsys.readouterr().out))
    assert [run["resumed"] for run in runs] == [True, False]
    assert runs[0]["edges"] == runs[1]["edges"]
    circuits = [Circuit.load(Path(run["path"]) / "circuit.json") for run in runs]
    assert circuits[0] == circuits[1], "every score too"


def test_a_run_that_fails_for_the_user_leaves_nothing_behind(model: PatchableModel, tmp_path: Path) -> None:
    class Broken(Copy):
        def pairs(self, tokenizer, n: int, rng: random.Random) -> list[PromptPair]:
            raise KeyError("no words")

    with pytest.raises(ACDCError, match="no words"):
        discover(model, Broken, n=6, out=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_newest_run_below_a_folder_is_found(model: PatchableModel, tmp_path: Path) -> None:
    first = discover(model, Copy, n=4, tau=0.02, out=tmp_path)
    os.rename(first.path, first.path.with_name("20200101T000000Z-old"))
    newest = discover(model, Copy, n=4, tau=0.03, out=tmp_path)
    assert find_run(tmp_path) == newest.path
    with pytest.raises(RunError, match="no finished run"):
        find_run(tmp_path / "copy" / "gpt2" / "acdc" / "20200101T000000Z-old" / "..").joinpath()
        (tmp_path / "empty").mkdir()
        find_run(tmp_path / "empty")


def test_a_live_model_takes_no_loading_arguments(model: PatchableModel) -> None:
    with pytest.raises(RunError, match="dtype can't be given with a model that is loaded already"):
        discover(model, Copy, dtype="float64", out=None)


def test_warnings_of_search_and_metrics_are_recorded_once_and_printed(
    model: PatchableModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    search, measure = METHODS["acdc"].search, conclusion.measure
    warned = functools.wraps(search)(lambda *given, **named: replace(search(*given, **named), warnings=["few edges"]))
    monkeypatch.setitem(METHODS, "acdc", replace(METHODS["acdc"], search=warned))
    monkeypatch.setattr(conclusion, "measure", lambda *given: measure(*given) | {"warnings": ["few edges", "chance"]})
    result = discover(model, Copy, n=4, tau=0.02, out=tmp_path)
    assert result.warnings == ("few edges", "chance")
    assert load_run(result.path).warnings == result.warnings
    assert "warning: few edges" in result.summary() and "warning: chance" in result.summary()
