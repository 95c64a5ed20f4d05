"""An evaluation's folder: finished parts stay, whoever else writes there, and what is damaged is told."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from acdc import Circuit, PatchableModel, discover, evaluate
from acdc.errors import FileError
from acdc.evaluation import PARTS
from acdc.evaluation.report import load_report
from acdc.progress import Progress
from acdc.runs.evaluation_folder import EvaluationFolder
from acdc.runs.result import RunResult
from tests.runs.evaluated import FEW, Random


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
