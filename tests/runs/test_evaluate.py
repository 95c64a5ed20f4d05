"""`evaluate` and `acdc evaluate`: the parts together, from a saved run to files, on held-out prompts."""

import json
import random
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch

from acdc import Circuit, PatchableModel, PromptPair, RunError, Task, discover, evaluate
from acdc.circuits.formats import write_circuit
from acdc.cli import main
from acdc.errors import ACDCError, FileError, UnknownNameError
from acdc.evaluation import PARTS, work
from acdc.evaluation.report import load_report
from acdc.patching.exact.state import CircuitState
from acdc.patching.masked import MaskedForward
from acdc.progress import Progress
from acdc.runs import evaluation_folder, evaluation_forecast
from acdc.runs.evaluation_folder import EvaluationFolder
from acdc.runs.evaluation_forecast import forecast
from acdc.runs.reload import reload
from acdc.runs.result import RunResult
from tests.evaluation.ground import naive_loss
from tests.tiny import VOCAB, tiny_model

FEW = {"n": 6, "n_random": 4}


class Random(Task):
    """Random pairs of one length."""

    name = "random"
    default_model = "gpt2"
    metric = "kl"

    def __init__(self, length: int = 7) -> None:
        self.length = length

    def pairs(self, tokenizer, n, rng):
        def pair() -> PromptPair:
            clean, corrupt = (rng.choices(range(VOCAB), k=self.length) for _ in range(2))
            correct, wrong = rng.sample(range(VOCAB), 2)
            return PromptPair(clean, corrupt, [correct], [wrong])

        return [pair() for _ in range(n)]


class Fixed(Random):
    """The same pairs whatever the seed, held-out or not."""

    name = "fixed"

    def pairs(self, tokenizer, n, rng):
        return super().pairs(tokenizer, n, random.Random(1))

    def held_out_pairs(self, tokenizer, n, rng):
        return self.pairs(tokenizer, n, rng)


@pytest.fixture(scope="module")
def model() -> PatchableModel:
    return tiny_model("gpt2")


@pytest.fixture(scope="module")
def run(model: PatchableModel, tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    return discover(model, Random, n=6, tau=0.02, out=tmp_path_factory.mktemp("runs"), prune=False)


def numbers(report: dict) -> dict:
    """A report without what differs from run to run."""
    return {name: {k: v for k, v in part.items() if k != "seconds"} for name, part in report["parts"].items()}


def test_all_parts_of_a_saved_run(run: RunResult, model: PatchableModel, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()}
    found = evaluate(run.path, model=model, task=Random, stability=2, out=tmp_path / "e", **FEW)
    assert list(found.report["parts"]) == list(PARTS)
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


def test_finished_parts_are_taken_over_and_others_are_not(
    run: RunResult, model: PatchableModel, tmp_path: Path
) -> None:
    settings = {"model": model, "task": Random, "out": tmp_path, **FEW}
    evaluate(run, **settings, only=["faithfulness"])
    report = json.loads((tmp_path / "evaluation.json").read_text())
    report["parts"]["faithfulness"]["seconds"] = 12345
    (tmp_path / "evaluation.json").write_text(json.dumps(report))
    both = evaluate(run, **settings, only=["equivalence", "faithfulness"])
    assert both.report["parts"]["faithfulness"]["seconds"] == 12345 and "equivalence" in both.report["parts"]
    fresh = evaluate(run, **settings, only=["faithfulness"], resume=False)
    assert fresh.report["parts"]["faithfulness"]["seconds"] != 12345 and list(fresh.report["parts"]) == ["faithfulness"]
    other = evaluate(run, **(settings | {"seed": 1}), only=["equivalence"])
    assert list(other.report["parts"]) == ["equivalence"], "another seed is another evaluation"


def test_an_evaluation_with_other_settings_is_kept_and_found_again(
    run: RunResult, model: PatchableModel, tmp_path: Path
) -> None:
    settings = {"model": model, "task": Random, "out": tmp_path, **FEW}
    first = evaluate(run, **settings, only=["faithfulness", "curve"])
    evaluate(run, **(settings | {"n": 5}), only=["faithfulness"])
    assert not list(tmp_path.glob("curve.*")), "no figure of other prompts beside the report"
    (kept,) = (tmp_path / "earlier").iterdir()
    assert load_report(kept / "evaluation.json") == json.loads(json.dumps(first.report))
    assert {path.name for path in kept.iterdir()} == {path.name for path in first.files}
    again = evaluate(run, **settings, only=["equivalence"])
    assert list(again.report["parts"]) == ["faithfulness", "equivalence", "curve"]
    assert again.report["parts"]["curve"] == first.report["parts"]["curve"], "taken over, with its seconds"
    assert (tmp_path / "curve.csv").exists()


def test_circuits_found_again_are_kept(run: RunResult, model: PatchableModel, tmp_path: Path) -> None:
    settings = {"model": model, "task": Random, "out": tmp_path, "only": ["stability"], **FEW}
    first = evaluate(run, **settings, stability=2).part("stability")
    saved = sorted((tmp_path / "stability").glob("*.json"))
    assert [path.name for path in saved] == ["seed-1.json", "seed-2.json"]
    before = [path.stat().st_mtime_ns for path in saved]
    more = evaluate(run, **settings, stability=3).part("stability")
    assert [path.stat().st_mtime_ns for path in saved] == before
    assert more["sizes"][:2] == first["sizes"] and more["k"] == 3
    alone = discover(model, Random, n=6, seed=1, tau=0.02, out=None, prune=False)
    assert torch.equal(Circuit.load(saved[0]).mask, alone.circuit.mask), "as a discovery of that seed"


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


def test_a_forecast_says_at_most_how_many_passes_each_part_takes(run: RunResult, model: PatchableModel) -> None:
    settings = {"model": model, "task": Random, "stability": 1, **FEW}
    found = {part.name: part for part in forecast(run, **settings)}
    assert list(found) == list(PARTS) and found["stability"].forward_passes is None
    assert found["equivalence"].forward_passes == 0, "made for faithfulness already"
    report = evaluate(run, **settings, save=False, skip=["equivalence", "independence", "stability"]).report
    for name, part in report["parts"].items():
        assert 0.5 * found[name].forward_passes <= part["forward_passes"] <= found[name].forward_passes, name
    for name in ("sufficiency", "completeness"):
        assert report["parts"][name]["forward_passes"] == found[name].forward_passes
    bare = forecast(Circuit(run.circuit.graph, run.circuit.mask), metric="kl", **(settings | {"only": ["curve"]}))
    assert bare[0].left_out and "no scores" in bare[0].left_out


def test_the_default_leaves_out_what_it_can_not_afford_and_says_so(
    run: RunResult, model: PatchableModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Progress] = []
    settings = {"model": model, "task": Random, **FEW}
    monkeypatch.setattr(evaluation_forecast, "SECONDS", 0.0)
    planned = {part.name: part for part in forecast(run, **settings)}
    found = evaluate(run, **settings, save=False, progress=told.append)
    left_out = {name for name, part in found.report["parts"].items() if "left_out" in part}
    assert {"minimality"} <= left_out < set(planned) and found.part("faithfulness")
    text = found.report["parts"]["minimality"]["left_out"]
    assert f"at most {planned['minimality'].forward_passes} forward passes" in text
    assert "--only minimality or --thorough" in text and text in found.summary()
    notes = [each for each in told if each.note]
    assert notes[0].stage == f"{len(planned) - len(left_out)} parts" and "forward passes" in notes[0].note
    assert [each.stage for each in notes[1:]] == [name for name in planned if name not in left_out]
    assert not [part for part in forecast(run, **settings, thorough=True) if part.left_out]
    assert not [part for part in forecast(run, **settings, only=["minimality"]) if part.left_out]


def test_a_large_model_s_evaluation_is_shortened_unless_it_is_thorough(
    run: RunResult, model: PatchableModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"model": model, "task": Random, "only": ["curve"], "out": tmp_path, "n": 6}
    small = evaluate(run, **settings)
    monkeypatch.setattr(work, "LARGE", 10)
    short, whole = (evaluate(run, **settings, thorough=thorough) for thorough in (False, True))
    assert small.report["settings"]["thorough"] and not short.report["settings"]["thorough"]
    assert whole.report["fingerprint"] == small.report["fingerprint"] != short.report["fingerprint"]
    assert short.part("curve")["areas"]["mib"] == whole.part("curve")["areas"]["mib"], "MIB's numbers are the same"
    assert short.part("curve")["forward_passes"] < whole.part("curve")["forward_passes"]
    assert "--thorough adds others" in short.summary() and "--thorough" not in whole.summary()
    few = evaluate(run, model=model, task=Random, only=["equivalence"], save=False)
    assert few.report["settings"]["n"] == 6, "as many as the run had"
    assert few.part("equivalence")["differs"] or "can't show that they are equivalent" in few.summary()


class Stop(Exception):
    """Whatever ends a process in the middle of its work."""


LONG = ["certificate", "sufficiency", "minimality", "completeness", "curve", "specification"]


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A mark for each masked forward and each propagation that is made."""
    made: list[str] = []
    forward, losses = MaskedForward.logits, CircuitState.losses

    def counted(*given, **settings):
        made.append("forward")
        return forward(*given, **settings)

    def asked(self, *given, **settings):
        made.append("losses")
        return losses(self, *given, **settings)

    monkeypatch.setattr(MaskedForward, "logits", counted)
    monkeypatch.setattr(CircuitState, "losses", asked)
    return made


def test_no_circuit_is_run_twice_for_two_parts(
    run: RunResult, model: PatchableModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole model, the empty circuit, the circuit and its complement are asked about by all of these."""
    forward, masks = MaskedForward.logits, list[bytes]()

    def seen(self, mask):
        masks.append(mask.numpy().tobytes())
        return forward(self, mask)

    monkeypatch.setattr(MaskedForward, "logits", seen)
    settings = {"model": model, "task": Random, "save": False, **FEW}
    parts = ["faithfulness", "equivalence", "sufficiency", "completeness", "curve"]
    together = evaluate(run, **settings, only=parts)
    assert len(masks) == len(set(masks)) > 20
    alone = {name: evaluate(run, **settings, only=[name]) for name in parts}
    assert numbers(together.report) == {name: numbers(alone[name].report)[name] for name in parts}


@pytest.mark.parametrize("part", LONG)
def test_a_part_that_was_stopped_goes_on_where_it_was(
    run: RunResult, model: PatchableModel, tmp_path: Path, passes: list[str], part: str
) -> None:
    settings = {"model": model, "task": Random, "only": [part], **FEW}
    told: list[Progress] = []
    whole = evaluate(run, **settings, save=False, progress=told.append)
    all_passes, steps = len(passes), [each for each in told if each.total]
    assert all(each.label == f"part 1 of 1: {part}" for each in steps) and steps[-1].done == steps[-1].total
    assert [each.done for each in steps] == sorted(each.done for each in steps)
    assert len({each.total for each in steps}) == 1, "one total for the whole part"

    stop_at = max(1, len(steps) // 2)
    left = [stop_at]

    def stop(progress: Progress) -> None:
        left[0] -= progress.total > 0
        if not left[0]:
            raise Stop

    with pytest.raises(Stop):
        evaluate(run, **settings, out=tmp_path, progress=stop)
    assert list((tmp_path / "unfinished").glob(f"{part}-*.jsonl"))
    passes.clear()
    resumed = evaluate(run, **settings, out=tmp_path)
    assert numbers(resumed.report) == numbers(whole.report), "the same numbers, to the last bit"
    assert len(passes) < all_passes
    assert not (tmp_path / "unfinished").exists()


def test_what_was_measured_for_other_settings_is_not_taken(
    run: RunResult, model: PatchableModel, tmp_path: Path
) -> None:
    def stop(progress: Progress) -> None:
        if progress.done > 3:
            raise Stop

    settings = {"model": model, "task": Random, "only": ["sufficiency"], "out": tmp_path, **FEW}
    with pytest.raises(Stop):
        evaluate(run, **settings, progress=stop)
    other = evaluate(run, **settings, seed=3)
    fresh = evaluate(run, **(settings | {"out": None}), seed=3, save=False)
    assert numbers(other.report) == numbers(fresh.report)
    assert list((tmp_path / "unfinished").iterdir()), "what the first one measured is still there"
    with pytest.raises(Stop):
        evaluate(run, **settings, progress=stop, resume=False)


def test_two_evaluations_of_one_run_at_once_keep_all_parts(
    run: RunResult, model: PatchableModel, tmp_path: Path
) -> None:
    """The second begins and ends while the first measures."""
    settings = {"model": model, "task": Random, "out": tmp_path, **FEW}
    begun: list[str] = []

    def meanwhile(progress: Progress) -> None:
        if progress.stage == "sufficiency" and not begun:
            begun.append("second")
            evaluate(run, **settings, only=["independence", "completeness"])

    first = evaluate(run, **settings, only=["sufficiency", "equivalence"], progress=meanwhile)
    on_disk = json.loads((tmp_path / "evaluation.json").read_text())
    assert set(on_disk["parts"]) == {"sufficiency", "equivalence", "independence", "completeness"}
    assert first.report["parts"].keys() == on_disk["parts"].keys()
    assert list(on_disk["parts"]) == [name for name in PARTS if name in on_disk["parts"]]


def test_a_lock_goes_with_the_process_that_holds_it(tmp_path: Path) -> None:
    code = (
        "import sys, time; from filelock import FileLock; FileLock(sys.argv[1]).acquire(); print('held', flush=True); "
        "time.sleep(600)"
    )
    folder = EvaluationFolder(tmp_path, "f")
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / ".evaluation.lock")], stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None and holder.stdout.readline() == "held\n"
    holder.kill()
    holder.wait()
    assert folder.parts() == {}


def test_a_damaged_report_is_told_of_and_kept(
    run: RunResult, model: PatchableModel, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = {"model": model, "task": Random, "only": ["equivalence"], "out": tmp_path, **FEW}
    evaluate(run, **settings)
    report = json.loads((tmp_path / "evaluation.json").read_text())
    report["parts"]["equivalence"]["share"] = "half"
    (tmp_path / "evaluation.json").write_text(json.dumps(report))
    with pytest.raises(FileError, match="equivalence: 'share'"):
        load_report(tmp_path / "evaluation.json")
    again = evaluate(run, **settings)
    assert isinstance(again.part("equivalence")["share"], float)
    assert "measured anew" in caplog.text and (tmp_path / "evaluation.damaged.json").is_file()


def test_a_search_of_stability_that_was_stopped_goes_on_too(
    run: RunResult, model: PatchableModel, tmp_path: Path, passes: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"model": model, "task": Random, "only": ["stability"], "stability": 1, **FEW}
    whole = evaluate(run, **settings, save=False)
    all_passes, ask = len(passes), CircuitState.losses

    def stopped(self, *given, **named):
        if len(passes) > all_passes + all_passes // 2:
            raise Stop
        return ask(self, *given, **named)

    with monkeypatch.context() as patched:
        patched.setattr(CircuitState, "losses", stopped)
        with pytest.raises(Stop):
            evaluate(run, **settings, out=tmp_path)
    passes.clear()
    resumed = evaluate(run, **settings, out=tmp_path)
    for name, value in whole.part("stability").items():  # a search that goes on tries other numbers of edges at once
        assert resumed.part("stability")[name] == value or name in ("seconds", "forward_passes")
    assert 0 < len(passes) < 0.8 * all_passes


def test_what_was_measured_outlives_a_full_disk(
    run: RunResult, model: PatchableModel, tmp_path: Path, passes: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The report can't be written; the next time, nothing of the part is measured again."""

    def full(*given):
        raise FileError("can't write evaluation.json: No space left on device")

    settings = {"model": model, "task": Random, "only": ["completeness"], "out": tmp_path, **FEW}
    with monkeypatch.context() as patched:
        patched.setattr(evaluation_folder, "write_json", full)
        with pytest.raises(FileError, match="No space"):
            evaluate(run, **settings)
    passes.clear()
    found = evaluate(run, **settings)
    assert found.part("completeness") and not passes
