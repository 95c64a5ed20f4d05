"""What an ablation learns belongs to its run: kept with it, read by evaluations, gone on with after a stop."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from acdc import PatchableModel, discover, evaluate, load_run
from acdc.patching.ablations.constants import to_vector
from acdc.patching.ablations.optimal import STAGE
from acdc.progress import Progress
from acdc.runs.learning import CONSTANTS, learned_again
from acdc.runs.reload import reload
from acdc.runs.result import RunResult
from tests.runs.evaluated import Random

ARGUMENTS = {"n": 4, "tau": 0.05, "ablation": "optimal"}


@pytest.fixture(scope="module")
def optimal(model: PatchableModel, tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    return discover(model, Random, out=tmp_path_factory.mktemp("optimal"), **ARGUMENTS)


def constants(folder: Path) -> torch.Tensor:
    return load_file(folder / CONSTANTS)["constants"]


def test_a_run_keeps_what_it_has_learned_and_its_evaluation_reads_it(
    optimal: RunResult, model: PatchableModel, tmp_path: Path
) -> None:
    assert CONSTANTS in optimal.record["files"] and optimal.path is not None
    told: list[Progress] = []
    reloaded = learned_again(reload(optimal.path, model=model, task=Random), tmp_path, told.append)
    assert not told and not list(tmp_path.iterdir()), "nothing is learned again"
    assert torch.equal(to_vector(reloaded.arguments.learned), constants(optimal.path))
    problem = reloaded.problem(held_out=True)
    assert problem.ablated.learned is reloaded.arguments.learned and not problem.ablated.coherent
    value = problem.loss(problem.logits(optimal.circuit.mask))
    assert value == pytest.approx(optimal.metrics["held_out"]["kl"]["circuit"]), "the run measured by the same ones"


def test_a_stopped_run_goes_on_with_its_learning_and_ends_the_same(
    optimal: RunResult, model: PatchableModel, tmp_path: Path
) -> None:
    class Stop(Exception):
        pass

    def stop(progress: Progress) -> None:
        if progress.stage == STAGE and progress.done > progress.total / 2:
            raise Stop

    with pytest.raises(Stop):
        discover(model, Random, out=tmp_path, progress=stop, **ARGUMENTS)
    told: list[Progress] = []
    again = discover(model, Random, out=tmp_path, progress=told.append, **ARGUMENTS)
    learned = [each for each in told if each.stage == STAGE]
    assert learned[0].done > learned[0].total / 3, "it isn't learned from the start"
    assert again.path is not None and optimal.path is not None
    assert torch.equal(constants(again.path), constants(optimal.path)) and again.circuit.edges == optimal.circuit.edges
    assert again.record["resumed"]


def test_an_evaluation_by_a_learned_ablation_learns_once_and_keeps_it(
    run: RunResult, model: PatchableModel, tmp_path: Path
) -> None:
    asked = {"model": model, "task": Random, "ablation": "optimal", "only": ["faithfulness"], "n": 4, "out": tmp_path}
    first: list[Progress] = []
    report = evaluate(run.path, progress=first.append, **asked).report
    assert any(each.stage == STAGE for each in first) and report["ablation"] == "optimal"
    again: list[Progress] = []
    assert evaluate(run.path, progress=again.append, resume=False, **asked).report["parts"]["faithfulness"]
    assert not any(each.stage == STAGE for each in again)


def test_a_damaged_file_of_constants_is_told_and_learned_anew(
    optimal: RunResult, model: PatchableModel, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert optimal.path is not None
    (tmp_path / CONSTANTS).write_bytes(b"nothing")
    reloaded = reload(optimal.circuit, model=model, task=Random)  # without the run's folder
    again = learned_again(reloaded, tmp_path, None)
    assert "is damaged" in caplog.text
    assert torch.equal(to_vector(again.arguments.learned), constants(optimal.path)), "the same, by the seed"


def test_what_was_recorded_as_mean_is_the_mean_per_position(model: PatchableModel, tmp_path: Path) -> None:
    result = discover(model, Random, n=4, tau=0.05, ablation="mean-positional", out=tmp_path)
    assert result.path is not None
    for name in ("run.json", "circuit.json"):
        path = result.path / name
        old = path.read_text().replace('"mean-positional"', '"mean"')
        assert json.loads(old) and old != path.read_text()
        path.write_text(old)
    assert load_run(result.path).arguments["ablation"] == "mean-positional"
    reloaded = reload(result.path / "circuit.json", model=model, task=Random)
    assert reloaded.arguments.ablation == "mean-positional"
    now = discover(model, Random, n=4, tau=0.05, ablation="mean", out=None)
    assert now.arguments["ablation"] == "mean-all", "so that the two can't be taken for each other"
