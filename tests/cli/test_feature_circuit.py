"""`acdc feature-circuit`: tables, files, and what is said of dictionaries that can't be used."""

import functools
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from acdc.cli import main
from acdc.features import Dictionary, Site, save
from acdc.features.activations import ReLU
from acdc.features.circuits import FeatureCircuit, FeatureNode, load_feature_circuit
from acdc.features.circuits.circuit import DictionaryRecord
from acdc.runs.finished_steps import FinishedSteps

WORDS = ["feature-circuit", "capitals", "--model", "acdc-tasks", "-n", "3", "--n-held-out", "3", "--steps", "2"]


def rotation(site: str, width: int) -> Dictionary:
    """Random orthogonal directions and their opposites, but for one."""
    q = torch.linalg.qr(torch.randn(width, width, generator=torch.Generator().manual_seed(0)))[0]
    rows = torch.cat([q, -q])[:-1]
    at = Site.parse(site)
    return Dictionary(site, at, (at,), rows, torch.zeros(len(rows)), rows[:, None], torch.zeros(1, width), ReLU())


@functools.cache
def width() -> int:
    from acdc.runs.model_spec import ModelSpec

    return ModelSpec.of("acdc-tasks").load().graph.d_model


def test_a_circuit_is_printed_and_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = save(rotation("resid_post.1", width()), tmp_path / "saes" / "one").parent
    save(rotation("mlp_out.2", width()), folder / "two")
    asked = ["--dictionary", str(folder), "--nodes", "8", "--without", "mlp_out.2/3", "--out", str(tmp_path / "out")]
    assert main([*WORDS, *asked, "--top", "3"]) == 0
    printed = capsys.readouterr().out
    assert "8 nodes of" in printed
    assert "on 3 held-out prompts:\nfaithfulness" in printed
    assert "1 feature set to zero, on 3 prompts, on " in printed
    (path,) = (tmp_path / "out").rglob("feature_circuit.json")
    circuit = load_feature_circuit(path)
    assert len(circuit.nodes) == 8
    assert printed.count("mlp_out.2/") + printed.count("resid_post.1/") >= 3
    assert {each.name for each in path.parent.iterdir()} >= {"nodes.csv", "edges.csv", "evidence.json", "report.html"}
    assert (path.parent / "feature_circuit.svg").read_text().startswith("<")
    evidence = json.loads((path.parent / "evidence.json").read_text())
    assert evidence["record"]["arguments"]["without"] == ["mlp_out.2/3"]
    assert evidence["evidence"]["n_seen"] == 0


def test_a_stopped_search_goes_on_where_it_was(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C comes in the middle of the gradients, and again while the circuit is measured."""
    folder = save(rotation("resid_post.1", width()), tmp_path / "saes" / "one").parent
    save(rotation("mlp_out.2", width()), folder / "two")
    words = [*WORDS, "--dictionary", str(folder), "--joined", "5", "--quiet", "--out"]
    assert main([*words, str(tmp_path / "whole")]) == 0
    capsys.readouterr()
    make, made, stop = FinishedSteps.__call__, [], {"effects-1-0", "evaluation-4"}

    def stopped(self, name, found):
        def counted():
            if name in stop:
                stop.remove(name)
                raise KeyboardInterrupt
            made.append(name)
            return found()

        return make(self, name, counted)

    monkeypatch.setattr(FinishedSteps, "__call__", stopped)
    for _ in range(2):
        assert main([*words, str(tmp_path / "out")]) == 130
        assert capsys.readouterr().err == "acdc: stopped; the same command goes on from here\n"
        assert list((tmp_path / "out").rglob("unfinished/*.safetensors"))
    assert main([*words, str(tmp_path / "out")]) == 0
    assert len(made) == len(set(made)) > 10
    assert not list((tmp_path / "out").rglob("unfinished"))
    for name in ("feature_circuit.json", "nodes.csv", "edges.csv", "evidence.json"):
        (whole,), (again,) = (list((tmp_path / out).rglob(name)) for out in ("whole", "out"))
        assert whole.parent.name == again.parent.name
        assert whole.read_bytes() == again.read_bytes()


def test_features_are_taken_out_of_a_circuit_that_was_found_without_searching_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Groups that a reader has made stay; a damaged file is found again."""
    folder = str(save(rotation("resid_post.1", width()), tmp_path / "one"))
    words = [*WORDS, "--dictionary", folder, "--nodes", "4", "--out", str(tmp_path / "out")]
    assert main([*words, "--quiet"]) == 0
    (path,) = (tmp_path / "out").rglob("feature_circuit.json")
    first = load_feature_circuit(path)
    grouped = first.with_supernodes({"mine": [first.nodes[1].name]})
    grouped.save(path)
    labels = tmp_path / "labels.csv"
    labels.write_text(f"node,label\n{first.nodes[1].name},a dog\n")
    with monkeypatch.context() as never:
        never.setattr("acdc.runs.features.circuit_search.find", None)
        never.setattr("acdc.runs.features.circuit_search.evaluate", None)
        assert main([*words, "--without", "a dog", "--labels", str(labels)]) == 0
    told = capsys.readouterr()
    assert f"this was found before: it is taken from {path.parent}" in told.err
    assert "1 feature set to zero" in told.out and "a dog" in told.out
    assert load_feature_circuit(path) == replace(grouped, labels={first.nodes[1].name: "a dog"})
    path.write_text("{}")
    assert main([*words, "--quiet"]) == 0
    assert "it is searched again" in capsys.readouterr().err
    assert load_feature_circuit(path) == first


def test_a_search_that_fails_leaves_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = str(save(rotation("resid_post.1", width()), tmp_path / "one"))
    words = ["--dictionary", folder, "--threshold", "1e6", "--quiet", "--out", str(tmp_path / "out")]
    assert main([*WORDS, *words]) == 2
    assert "no node's effect reaches 1e+06" in capsys.readouterr().err
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]


def test_a_mistake_is_told_in_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    narrow = str(save(rotation("resid_post.1", 8), tmp_path / "narrow"))
    behind = str(save(rotation("resid_post.99", width()), tmp_path / "behind"))
    good = str(save(rotation("resid_post.1", width()), tmp_path / "good"))
    told = {
        "name the dictionaries": [],
        "reads 8 dimensions at resid_post.1": ["--dictionary", narrow],
        "has no site resid_post.99": ["--dictionary", behind],
        "two dictionaries stand at one site": ["--dictionary", good, "--dictionary", good],
        "did you mean 'frozen'?": ["--dictionary", good, "--errors", "freeze"],
        "is called like mlp_out.5/123": ["--dictionary", good, "--without", "12"],
        "features, 0 to": ["--dictionary", good, "--nodes", "1", "--without", "resid_post.1/99999"],
    }
    for message, words in told.items():
        assert main([*WORDS, *words, "--out", str(tmp_path / "out"), "--quiet"]) == 2
        assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_groups_are_saved_and_a_mistake_in_one_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    nodes = ("resid_post.1/3", "resid_post.1/5")
    record = DictionaryRecord("d", "resid_post.1", "resid_post.1", 9, "0")
    told = tuple(FeatureNode(name, 1.0) for name in nodes)
    circuit = FeatureCircuit("m", "t", "kl", "zero", "kept", (), (record,), told, (), 2, 2, 1, "0")
    path = str(circuit.save(tmp_path / "circuit.json"))
    assert main(["group", path, "--group", f"both={','.join(nodes)}", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["supernodes"] == [["both", *nodes]]
    assert main(["group", path]) == 0
    assert capsys.readouterr().out.startswith("group") and load_feature_circuit(path).supernodes
    for message, given in {
        "group 'x' names 'resid_post.1/4', which is not a node": ["--group", "x=resid_post.1/4"],
        "written name=node,node": ["--group", "x"],
        "unknown group 'bot': did you mean 'both'?": ["--without", "bot"],
    }.items():
        assert main(["group", path, *given]) == 2
        assert message in capsys.readouterr().err
