"""What a record names is found from anywhere, and no file makes anybody run its code."""

import json
import os
import shutil
import sys
from pathlib import Path

import pytest

from acdc import PatchableModel, discover, evaluate
from acdc.circuits.circuit import Circuit
from acdc.cli import main
from acdc.errors import RunError
from acdc.runs.places import check_recorded_task, task_place
from acdc.task import TASK_FILE
from acdc.zoo import zoo_path

EVIL = """
from pathlib import Path
Path({trace!r}).write_text("ran")
from acdc_tasks.ioi import IOI as T
"""
QUICK = ["--n", "6", "--tau", "0.1", "--quiet"]
FEW = ["--only", "faithfulness", "--n", "4"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a task's file, a model, and a run of both by relative paths."""
    folder = tmp_path_factory.mktemp("place")
    shutil.copytree(zoo_path("acdc-small"), folder / "models" / "small")
    (folder / "evil.py").write_text(EVIL.format(trace=str(folder / "ran")))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main(["discover", "evil.py:T", "--model", "models/small", "--out", "out", *QUICK]) == 0
    (folder / "ran").unlink()
    forget("evil")
    return folder


def forget(stem: str) -> None:
    """Make this process one that hasn't run a task's file."""
    sys.modules.pop(f"{TASK_FILE}{stem}", None)


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(list(arguments)) == 2
    return " ".join(capsys.readouterr().err.split())


def test_no_file_makes_evaluate_or_compare_run_its_code(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = next((place / "out").glob("*/*/*/*"))
    shutil.copy(run / "circuit.json", tmp_path / "lone.json")
    shutil.copytree(run, tmp_path / "other")
    for arguments in (
        ["evaluate", str(run), *FEW],
        ["evaluate", "lone.json", *FEW],
        ["compare", str(run), "other", "--on", str(run)],
    ):
        told = refused(capsys, *arguments)
        assert f"{place / 'evil.py'}:T" in told and "--trust-task" in told
    with pytest.raises(RunError, match="trust_task=True"):
        evaluate(run, only=["faithfulness"], save=False)
    assert not (place / "ran").exists(), "nothing of it ran"


def test_a_task_s_file_that_this_process_ran_is_no_surprise(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(EVIL.format(trace=str(tmp_path / "ran")))
    result = discover("acdc-small", f"{file}:T", n=6, tau=0.1, out=None)
    assert evaluate(result, only=["faithfulness"], n=4, save=False).part("faithfulness")
    forget("mine")
    with pytest.raises(RunError, match="trust_task=True"):
        evaluate(result, only=["faithfulness"], n=4, save=False)


def test_a_run_is_evaluated_from_another_folder_once_its_task_is_trusted_or_named(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = next((place / "out").glob("*/*/*/*"))
    record = json.loads((run / "run.json").read_text())
    assert record["given"] == {"model": "models/small", "task": "evil.py:T"}
    assert run.parents[1].name == "small" and str(place) not in Circuit.load(run / "circuit.json").origin
    assert main(["evaluate", str(run), "--trust-task", *FEW, "--quiet"]) == 0
    assert main(["evaluate", str(run), "--task", f"{place}/evil.py:T", *FEW, "--quiet"]) == 0
    assert main(["evaluate", str(run), "--task", "ioi", *FEW, "--quiet"]) == 0
    shutil.copytree(run, tmp_path / "other")
    assert main(["compare", str(run), "other", "--on", str(run), "--trust-task", "--json"]) == 0


@pytest.mark.parametrize("spec", ["os:system", "evil.py:T", "antigravity:T", "x.py", ":", "acdc:Task.x", "a:b:c"])
def test_recorded_code_is_not_imported(spec: str) -> None:
    with pytest.raises(RunError, match="names code as its task"):
        check_recorded_task(spec, trusted=False)
    assert check_recorded_task(spec, trusted=True) == spec
    assert "antigravity" not in sys.modules


@pytest.mark.parametrize("spec", ["ioi", "acdc_tasks.ioi:IOI", "tests.runs.test_discover:Copy"])
def test_installed_tasks_and_classes_that_are_here_are_fine(spec: str) -> None:
    from tests.runs import test_discover  # noqa: F401

    assert check_recorded_task(spec, trusted=False) == spec


@pytest.mark.parametrize("spec", [3, ["ioi"], {"a": 1}, True])
def test_a_recorded_task_is_a_name(spec: object) -> None:
    with pytest.raises(RunError, match="a recorded task must be a name"):
        check_recorded_task(spec, trusted=True)


def test_spelling_splits_neither_folders_nor_fingerprints(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    (place / "link").symlink_to(place / "models" / "small")
    (place / "link.py").unlink(missing_ok=True)
    (place / "link.py").symlink_to(place / "evil.py")
    spelled = [
        ("models/small", "evil.py:T"),
        ("models/small/", "./evil.py:T"),
        ("./models/small", f"{place}/evil.py:T"),
        (str(place / "models" / "small"), f"../{place.name}/evil.py:T"),
        ("link", "link.py:T"),
        ("acdc-small", "ioi"),
    ]
    runs = [discover(m, t, n=4, method="eap", metric="logit_diff", out=tmp_path) for m, t in spelled]
    assert len({run.record["fingerprint"] for run in runs}) == 1
    assert len({run.arguments["task"] for run in runs[:5]}) == len({run.arguments["model"] for run in runs[:5]}) == 1
    assert {run.path.parents[1].name for run in runs} == {"small", "acdc-small"}
    assert all(os.sep not in run.summary().splitlines()[0] for run in runs), "names, not paths"


def test_a_stopped_run_goes_on_under_another_spelling(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.runs.test_discover import stop_after

    monkeypatch.chdir(place)
    with pytest.raises(KeyboardInterrupt):
        discover("models/small", "evil.py:T", n=4, tau=0.1, out=tmp_path, progress=stop_after(3))
    model = PatchableModel.from_pretrained("./models/small/")
    assert discover(model, f"{place}/evil.py:T", n=4, tau=0.1, out=tmp_path).record["resumed"]


def test_a_class_from_a_file_is_named_by_the_file(place: Path) -> None:
    from acdc.task import load_task

    (place / "mine.py").write_text("from acdc_tasks.ioi import IOI\nclass Mine(IOI):\n    pass\n")
    kind = type(load_task(f"{place}/mine.py:Mine"))
    assert task_place(f"{kind.__module__}:{kind.__qualname__}") == f"{place}/mine.py:Mine"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("task_options", 5),
        ("task_options", ["corruption"]),
        ("model", 5),
        ("metric", ["kl"]),
        ("ablation", 3),
        ("dtype", 8),
        ("device", []),
        ("seed", "x"),
        ("tau", [1]),
        ("prompts_sha256", []),
        ("resolved", 5),
    ],
)
def test_what_a_circuit_says_of_its_origin_is_checked(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], field: str, value: object
) -> None:
    content = json.loads(next((place / "out").glob("*/*/*/*/circuit.json")).read_text())
    content["acdc"]["provenance"] |= {"task": "ioi", field: value}
    (tmp_path / "lone.json").write_text(json.dumps(content))
    told = refused(capsys, "evaluate", str(tmp_path / "lone.json"), *FEW)
    assert "what the circuit says of its origin is wrong" in told and f"'{field}" in told
