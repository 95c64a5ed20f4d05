"""`evaluate` and `acdc evaluate`: the parts together, from a saved run to files, on held-out prompts."""

import json
import random
from pathlib import Path

import pandas as pd
import pytest
import torch

from acdc import Circuit, PatchableModel, RunError, discover, evaluate
from acdc.circuits.formats import write_circuit
from acdc.cli import main
from acdc.errors import ACDCError, UnknownNameError
from acdc.evaluation import PARTS
from acdc.runs.reload import reload
from acdc.runs.result import RunResult
from tests.evaluation.ground import naive_loss
from tests.runs.evaluated import ASKED_FOR, FEW, Random, numbers
from tests.tiny import tiny_model


class Fixed(Random):
    """The same pairs whatever the seed, held-out or not."""

    name = "fixed"

    def pairs(self, tokenizer, n, rng):
        return super().pairs(tokenizer, n, random.Random(1))

    def held_out_pairs(self, tokenizer, n, rng):
        return self.pairs(tokenizer, n, rng)


def test_all_parts_of_a_saved_run(run: RunResult, model: PatchableModel, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()}
    found = evaluate(run.path, model=model, task=Random, stability=2, out=tmp_path / "e", **FEW)
    assert list(found.report["parts"]) == ASKED_FOR
    assert not [part for part in found.report["parts"].values() if "left_out" in part]
    assert found.circuit == run.circuit
    assert {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()} == before, "the run is as it was"
    names = {path.name for path in found.files}
    assert names >= {"evaluation.json", "edges.csv", "curve.csv", "curve.svg", "specification.csv", "specification.svg"}
    assert all(path.is_file() for path in found.files)
    assert not list((tmp_path / "e").rglob("*.tmp"))
    for part in found.report["parts"].values():
        assert part["n_prompts"] and part["seconds"] >= 0
    edges = pd.read_csv(tmp_path / "e" / "edges.csv")
    assert set(edges.loc[edges["kept"], "edge"]) == set(run.circuit.edges)
    assert set(edges.columns) >= {"score", "effect_discovery", "effect", "p_needed", "verdict", "inclusion"}
    text = found.summary()
    assert "6 held-out prompts" in text and "certificate" in text and "Jaccard" in text

    drawn = ["faithfulness", "independence", "sufficiency", "minimality", "completeness"]
    again, first = evaluate(run, model=model, task=Random, only=drawn, save=False, **FEW), numbers(found.report)
    assert numbers(again.report) == {name: first[name] for name in drawn}, "the same seed gives the same"
    assert again.path is None


def test_prompts_are_held_out_by_default(run: RunResult, model: PatchableModel) -> None:
    settings = {"model": model, "task": Random, "only": ["certificate", "faithfulness"], "save": False}
    held, own = evaluate(run, **settings, n=6), evaluate(run, **settings, prompts="discovery")
    sha = held.report["prompts_sha256"]
    assert sha["discovery"] == run.record["prompts_sha256"] != sha["evaluation"]
    assert own.report["prompts_sha256"]["evaluation"] == run.record["prompts_sha256"]
    own_value = own.part("faithfulness")["intervals"]["faithfulness"]["kl"]["value"]
    assert own_value == pytest.approx(run.metrics["faithfulness"], abs=1e-9)
    assert held.part("faithfulness")["intervals"]["faithfulness"]["kl"]["value"] != pytest.approx(own_value, abs=1e-9)
    assert held.part("certificate") | {"seconds": 0} == own.part("certificate") | {"seconds": 0}


def test_prompts_that_the_search_saw_are_not_called_held_out(model: PatchableModel) -> None:
    run = discover(model, Fixed, n=6, tau=0.02, out=None)
    found = evaluate(run, model=model, task=Fixed, only=["faithfulness", "specification"], save=False, n=6)
    assert (found.report["prompts"]["n"], found.report["prompts"]["n_seen"]) == (6, 6)
    assert "evaluated on 6 prompts, 6 of them seen in the search" in found.summary()
    assert "held-out" not in found.summary()
    sets = {row["prompts"] for row in found.part("specification")["rows"]}
    assert sets == {"discovery", found.report["prompts"]["text"]}
    foreign = Circuit(run.circuit.graph, run.circuit.mask)
    unknown = evaluate(foreign, model=model, task=Fixed, only=["faithfulness"], save=False, n=6)
    assert unknown.report["prompts"]["n_seen"] is None and "is not known" in unknown.summary()


def test_a_random_model_s_evaluation_says_that_its_ratios_mean_nothing(run: RunResult, model: PatchableModel) -> None:
    found = evaluate(run, model=model, task=Random, only=["faithfulness"], save=False, n=8)
    part, text = found.part("faithfulness"), found.summary()
    assert part["intervals"]["faithfulness"]["logit_diff"]["no_meaning"] and "(no meaning: " in text
    assert any("isn't clearly better" in warning for warning in part["warnings"])
    assert "model predicts" in text and "top-1 accuracy" in text and "fewer than 50" in text
    assert len(part["predictions"][0]["top"]["model"]) == 5


def test_the_certificate_is_that_of_the_run(run: RunResult, model: PatchableModel) -> None:
    found = evaluate(run, model=model, task=Random, only=["certificate"], save=False).part("certificate")
    assert found["tau"] == 0.02 and found["n_edges"] == run.circuit.n_edges
    problem = reload(run, model=model, task=Random).problem()
    weakest = run.circuit.mask
    weakest[run.circuit.graph.parse_edge(found["weakest"])] = False
    rise = naive_loss(problem, weakest) - naive_loss(problem, run.circuit.mask)
    assert found["least_effect"] == pytest.approx(rise, abs=1e-9)
    other = evaluate(run, model=model, task=Random, metric="nll", only=["certificate"], save=False)
    assert other.part("certificate")["tau"] is None, "a tau of another metric says nothing"


def test_a_circuit_without_scores_has_no_curve_and_an_empty_one_is_judged_too(
    run: RunResult, model: PatchableModel
) -> None:
    empty = Circuit(model.graph, torch.zeros_like(model.graph.edges_mask))
    skip = ["specification", "completeness"]
    found = evaluate(empty, model=model, task=Random, metric="kl", save=False, skip=skip, **FEW)
    assert "no scores" in found.report["parts"]["curve"]["left_out"]
    assert found.part("faithfulness")["intervals"]["faithfulness"]["kl"]["value"] == pytest.approx(0, abs=1e-9)
    assert found.part("certificate")["weakest"] is None and "0 of " in found.summary()
    full = Circuit(model.graph, model.graph.edges_mask)
    whole = evaluate(full, model=model, task=Random, save=False, only=["faithfulness", "minimality"], **FEW)
    assert "nearly every edge" in whole.report["parts"]["minimality"]["left_out"]
    assert whole.part("faithfulness")["intervals"]["faithfulness"]["kl"]["value"] == pytest.approx(1, abs=1e-9)


def test_a_circuit_file_says_itself_what_it_was_found_with(
    run: RunResult, model: PatchableModel, tmp_path: Path
) -> None:
    path = run.circuit.save(tmp_path / "mine.json")
    found = evaluate(path, model=model, task=Random, only=["certificate"], n=6)
    assert found.path == tmp_path / "evaluation-mine"
    assert found.part("certificate")["tau"] == 0.02
    assert found.report["arguments"]["options"]["tau"] == 0.02


def test_another_model_is_refused_unless_forced(run: RunResult) -> None:
    other = tiny_model("gpt2", seed=1)
    with pytest.raises(RunError, match="weights of 'gpt2' differs"):
        evaluate(run, model=other, task=Random, save=False)
    forced = evaluate(run, model=other, task=Random, save=False, force=True, only=["faithfulness"], n=4)
    assert "weights" in forced.report["warnings"][0] and "warning" in forced.summary()
    with pytest.raises(ACDCError, match="doesn't fit"):
        evaluate(run, model=tiny_model("llama"), task=Random, save=False)


def test_other_prompts_than_the_run_s_are_told_of(run: RunResult, model: PatchableModel) -> None:
    found = evaluate(run, model=model, task=Random(length=8), save=False, only=["faithfulness"], n=4)
    assert "gives other prompts now" in found.report["warnings"][0]


def test_code_of_a_model_runs_only_if_it_is_allowed_again(run: RunResult, tmp_path: Path) -> None:
    provenance = {**run.circuit.provenance, "trust_remote_code": True, "model": "somebody/else"}
    circuit = Circuit(run.circuit.graph, run.circuit.mask, provenance=provenance)
    with pytest.raises(RunError, match="only if you allow it"):
        evaluate(circuit, task=Random, save=False)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"only": ["faithfullness"]}, UnknownNameError, "did you mean 'faithfulness'"),
        ({"skip": list(PARTS)}, RunError, "nothing is left"),
        ({"prompts": "heldout"}, UnknownNameError, "did you mean 'held-out'"),
        ({"correction": "none"}, UnknownNameError, "unknown correction"),
        ({"n": 1}, RunError, "n must be a whole number of at least 2"),
        ({"seed": -1}, RunError, "seed must be"),
        ({"stability": -1}, RunError, "stability must be"),
        ({"stability": 10**9}, RunError, "at most 1,000"),
        ({"tau": -1.0}, RunError, "tau must be a number of at least 0"),
        ({"tau": float("nan")}, RunError, "tau must be a finite number"),
        ({"seed": 2**63}, RunError, "at most 4,294,967,295"),
        ({"only": ["stability"]}, RunError, "needs the number of repetitions"),
        ({"level": 1.0}, RunError, "level must be a number of more than 0 and less than 1"),
        ({"epsilon": 0.6}, RunError, "epsilon must be a number of more than 0 and less than 0.5"),
        ({"ablation": "zeros"}, UnknownNameError, "did you mean 'zero'"),
    ],
)
def test_mistakes_are_told(run: RunResult, model: PatchableModel, options: dict, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        evaluate(run, model=model, task=Random, save=False, **options)


def test_a_foreign_circuit_needs_a_task_and_a_model(model: PatchableModel) -> None:
    circuit = Circuit.from_edges(model.graph, ["input->logits"])
    with pytest.raises(RunError, match="which task"):
        evaluate(circuit, model=model, save=False)
    with pytest.raises(RunError, match="which model"):
        evaluate(circuit, task=Random, save=False)


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """The compiled model's circuit is known, and needed edge by edge."""
    assert (
        main(["discover", "induction", "--model", "induction-compiled", "--n", "8", "--out", str(tmp_path), "-q"]) == 0
    )
    few = ["--n", "8", "--random", "3", "--skip", "specification"]
    assert main(["evaluate", str(tmp_path), *few, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    folder = Path(report["path"])
    assert folder.name == "evaluation" and (folder.parent / "run.json").is_file()
    assert "specification" not in report["parts"] and "curve" in report["parts"]
    assert report["settings"]["n"] == 8 and report["arguments"]["model"] == "induction-compiled"
    assert main(["evaluate", str(tmp_path), *few]) == 0
    text = capsys.readouterr().out
    assert "induction on induction-compiled: evaluated on 8 held-out prompts" in text
    assert main(["evaluate", str(tmp_path), "--only", "nonsense"]) == 2
    assert "unknown part of an evaluation" in capsys.readouterr().err
    assert main(["evaluate", str(tmp_path / "nowhere")]) == 2


def test_scores_of_the_opposite_sign_are_told_and_turned(model: PatchableModel, tmp_path: Path) -> None:
    run = discover(model, Random, method="exact", n=6, out=None)
    theirs = run.circuit.flip_scores().save(tmp_path / "theirs.json")
    options = {"model": model, "task": Random, "metric": "kl", "only": ["curve"], "save": False, **FEW}
    right, wrong = (evaluate(each, **options) for each in (run.circuit, theirs))
    assert "warning" not in right.part("curve") and "warning" in wrong.part("curve")
    assert "the reversed ranking does better" in wrong.summary() and "--flip-scores" in wrong.summary()
    turned = evaluate(theirs, flip_scores=True, **options)
    assert turned.part("curve")["areas"] == right.part("curve")["areas"] and "warning" not in turned.part("curve")
    assert wrong.part("curve")["reversed_cpr"]["kl"] == right.part("curve")["areas"]["mib"]["kl"]["cpr"]
    with pytest.raises(ACDCError, match="no scores"):
        evaluate(Circuit(run.circuit.graph, run.circuit.mask), flip_scores=True, **options)


@pytest.mark.parametrize("suffix", [".pt", ".graphml", ".acdc.txt"])
def test_circuits_in_every_format_are_evaluated(
    suffix: str, run: RunResult, model: PatchableModel, tmp_path: Path
) -> None:
    file = write_circuit(run.circuit, tmp_path / f"theirs{suffix}", lossy=True)
    if suffix.endswith(".txt"):
        file.write_text("\n".join(file.read_text().splitlines()[1:]))  # without our header, as ACDC's own list is
    found = evaluate(file, model=model, task=Random, metric="kl", only=["faithfulness"], save=False, n=6)
    assert torch.equal(found.circuit.mask, run.circuit.mask)
    own = evaluate(run, model=model, task=Random, only=["faithfulness"], save=False, n=6)
    assert found.part("faithfulness")["intervals"] == own.part("faithfulness")["intervals"]


def test_a_list_of_edges_needs_a_model(tmp_path: Path) -> None:
    (tmp_path / "edges.txt").write_text("A0.1->MLP 0\n")
    with pytest.raises(ACDCError, match=r"edges\.txt doesn't say the model's shape; name its model"):
        evaluate(tmp_path / "edges.txt", task=Random, save=False)
