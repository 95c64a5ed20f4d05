"""`acdc compare`: names, tables, files, the same prompts for all, and mistakes that are told."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from acdc.circuits.circuit import Circuit
from acdc.circuits.comparison import compare_circuits
from acdc.circuits.formats import write_circuit
from acdc.circuits.graph import Graph
from acdc.circuits.published import GPT2_SMALL, get_reference
from acdc.cli import main
from acdc.cli.compare import _tell
from acdc.evaluation import measure
from acdc.runs.result import load_run
from tests.circuits.examples import circuit_of
from tests.evaluation.ground import problem_of, random_circuit


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two runs of one task, of different tau."""
    out = tmp_path_factory.mktemp("runs")
    for tau in ("0.1", "0.03"):
        assert main(["discover", "ioi", "--n", "4", "--tau", tau, "--out", str(out), "--quiet"]) == 0
    by_tau = {load_run(path).arguments["options"]["tau"]: path for path in out.glob("ioi/acdc-small/acdc/*")}
    return by_tau[0.1], by_tau[0.03]


def run_json(capsys: pytest.CaptureFixture[str], *words: object) -> dict:
    capsys.readouterr()
    assert main(["compare", *map(str, words), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_runs_are_named_compared_and_written(
    runs: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    a, b = (load_run(path) for path in runs)
    out = tmp_path / "new" / "folder"
    found = run_json(capsys, *runs, "--reference", runs[1], "--out", out)
    assert [one["name"] for one in found["circuits"]] == ["acdc tau=0.1", "acdc tau=0.03"]
    assert set(found["core"]) == set(a.circuit.edges) & set(b.circuit.edges)
    assert found["reference"] == "acdc tau=0.03" and len(found["recovery"]) == 1
    assert found["metrics"]["acdc tau=0.1"]["faithfulness"] == a.metrics["faithfulness"]
    assert {Path(file).name for file in found["files"]} == {"compare.json", "compare.csv", "compare.svg", "compare.dot"}
    assert json.loads((out / "compare.json").read_text())["pairs"] == found["pairs"]
    assert set(pd.read_csv(out / "compare.csv")["edge"]) == set(a.circuit.edges) | set(b.circuit.edges)
    assert "in all (" in (out / "compare.svg").read_text()


def test_all_are_measured_on_the_same_prompts(
    runs: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = load_run(runs[1]).circuit.save(tmp_path / "mine.json")
    found = run_json(capsys, runs[0], file, "--on", runs[1])
    for name, path in {"acdc": runs[0], "mine": runs[1]}.items():
        own = load_run(path).metrics
        for key in ("faithfulness", "n_prompts", "kl"):
            assert found["measured"][name][key] == pytest.approx(own[key])
    other = run_json(capsys, *runs, "--on", "induction")["measured"]["acdc tau=0.1"]
    assert other["n_prompts"] == 4 and other["kl"] != load_run(runs[0]).metrics["kl"]


def test_prompts_that_are_others_now_are_told(
    runs: tuple[Path, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    changed = shutil.copytree(runs[1], tmp_path / "changed")
    assert main(["compare", *map(str, runs), "--on", str(changed), "--json"]) == 0 and not caplog.records
    record = json.loads((changed / "run.json").read_text()) | {"prompts_sha256": "0" * 64}
    (changed / "run.json").write_text(json.dumps(record))
    assert main(["compare", *map(str, runs), "--on", str(changed), "--json"]) == 0
    assert "could not be made again" in caplog.text


def test_tables_name_every_circuit(runs: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", *map(str, runs), "--reference", "acdc tau=0.1"]) == 0
    out = capsys.readouterr().out
    for word in ("acdc tau=0.1", "acdc tau=0.03", "Jaccard", "Spearman", "1-2", "in all", "Recovery of 1"):
        assert word in out
    assert "…" not in out and max(map(len, out.splitlines())) <= 110


def test_files_without_a_shape_take_that_of_the_others(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    graph = Graph(2, 2, 8)
    (tmp_path / "names.txt").write_text("A0.1->MLP 0\n")
    whole = write_circuit(circuit_of(graph), tmp_path / "whole.gexf")
    found = run_json(capsys, tmp_path / "names.txt", whole)
    assert [one["n_edges"] for one in found["circuits"]] == [1, circuit_of(graph).n_edges]
    assert main(["compare", str(tmp_path / "names.txt"), str(tmp_path / "names.txt")]) == 2
    assert "given twice" in capsys.readouterr().err


def test_a_reference_beside_the_others_is_compared_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for n, name in enumerate("ab"):
        circuit_of(Graph(2, 2, 8), n).save(tmp_path / f"{name}.json")
    found = run_json(capsys, tmp_path / "a.json", "--reference", tmp_path / "b.json")
    assert found["reference"] == "b" and [one["name"] for one in found["recovery"]] == ["a"]


def test_equal_names_become_paths(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = [tmp_path / name / "circuit.json" for name in "ab"]
    for n, path in enumerate(paths):
        path.parent.mkdir()
        circuit_of(Graph(1, 1, 4), n).save(path)
    assert [one["name"] for one in run_json(capsys, *paths)["circuits"]] == ["a/circuit.json", "b/circuit.json"]


def test_published_circuits_are_compared_by_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    mine = circuit_of(Graph(12, 12, 64), share=0.01).save("mine.json")  # of another width
    wang = get_reference("ioi-wang").circuit(GPT2_SMALL)
    for words in ([mine, "ioi-wang", "--reference", "ioi-wang"], [mine, "--reference", "ioi-wang"]):
        found = run_json(capsys, *words)
        assert [(one["name"], one["n_edges"]) for one in found["circuits"]][1] == ("ioi-wang", wang.n_edges)
        assert found["reference"] == "ioi-wang" and found["recovery"][0]["name"] == "mine"
    alone = run_json(capsys, "greater-than-hanna", "greater-than-conmy")
    assert alone["pairs"][0]["n_shared"] > 0
    circuit_of(GPT2_SMALL, share=0.01).save("ioi-wang")  # a path that is there goes first
    assert run_json(capsys, "greater-than-hanna", "ioi-wang")["circuits"][1]["n_edges"] != wang.n_edges


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "needs two runs or circuits or more, not 0"),
        (["a.json"], "needs two runs or circuits or more, not 1"),
        (["a.json", "missing"], "unknown run, circuit file or published reference 'missing'"),
        (["a.json", "ioi-wong"], "did you mean 'ioi-wang'?"),
        (["a.json", "bb.json"], "did you mean 'b.json'?"),
        (["a.json", "ioi-wang"], "is of GPT-2 small (12 layers x 12 heads), not 2 layers x 2 heads"),
        (["a.json", "--reference", "ioi-wong"], "unknown reference 'ioi-wong': did you mean 'ioi-wang'?"),
        (["a.json", "--reference", "a.json"], "'a.json' is the only one"),
        (["a.txt", "b.txt"], "none of these says the model's shape"),
        (["a.json", "run.json"], "run.json is the record of a run (run.json); give the run's folder"),
        (["a.json", "wide.json"], "of different models"),
        (["a.json", "b.json", "--reference", "c"], "unknown reference 'c'"),
        (["a.json", "b.json", "--on", "ioy"], "did you mean 'ioi'"),
        (["a.json", "b.json", "--on", "ioi"], "the circuits are of 2 layers x 2 heads, but acdc-small has 4 layers"),
    ],
)
def test_mistakes_are_told(
    words: list[str],
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    Circuit(Graph(2, 2, 8), Graph(2, 2, 8).edges_mask).save("a.json")
    circuit_of(Graph(2, 2, 8)).save("b.json")
    circuit_of(Graph(2, 2, 16)).save("wide.json")
    for name in ("a.txt", "b.txt"):
        Path(name).write_text("A0.1->MLP 0\n")
    Path("run.json").write_text('{"fingerprint": "", "arguments": {}, "cost": {}}')
    assert main(["compare", *words]) == 2
    assert message in capsys.readouterr().err


def test_what_makes_a_comparison_of_faithfulness_doubtful_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """A random model does nothing that its circuits could be faithful to."""
    problem = problem_of(metric="logit_diff")
    circuits = {name: Circuit(problem.model.graph, random_circuit(problem, seed=i)) for i, name in enumerate("ab")}
    measured = {name: measure(problem, circuit.mask) for name, circuit in circuits.items()}
    assert measured["a"]["no_meaning"] is not None
    _tell(compare_circuits(circuits), {}, measured, "random")
    text = capsys.readouterr().out
    assert text.count("(no meaning)") == 2
    assert text.count(f"warning: {measured['a']['warnings'][0]}") == 1, "once, not once for each circuit"


def test_names_say_which_arguments_differ_whatever_they_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["--n", "4"], ["--n", "5", "--seed", "2"], ["--n", "4", "--method", "eap"]):
        assert main(["discover", "ioi", *words, "--out", str(tmp_path), "--quiet"]) == 0
    paths = sorted(tmp_path.glob("*/*/*/*"), key=lambda path: (path.parent.name, load_run(path).arguments["n"]))
    found = run_json(capsys, *paths)
    assert [one["name"] for one in found["circuits"]] == ["acdc n=4 seed=0", "acdc n=5 seed=2", "eap"]
