"""`acdc trace`: a prompt's graph in files and in the terminal, files of graphs opened, and mistakes told in a line."""

import json
from pathlib import Path

import pytest
import torch

from acdc.cli import main
from acdc.features.activations import ReLU
from acdc.features.dictionary import Dictionary
from acdc.features.formats import save
from acdc.features.sites import Site

PROMPT = "Then, Mary and John went to the store. John gave a book to"
MISTAKES = {
    "trace --model acdc-small": "give a prompt to trace",
    "trace x": "name the model (--model)",
    "trace x --graph a.json": "give a prompt to trace",
    "trace --graph a.json --model acdc-small --bos": "--bos, --model can't be used with --graph",
    "trace --graph no-such.json": "can't read no-such.json",
    "trace x --model acdc-small --max-features 3": "--max-features is of graphs with transcoders",
    "trace x --model acdc-small --dictionary a --constant-mlps": "--constant-mlps is of graphs without transcoders",
    "trace x --model acdc-small --nodes 80": "nodes must be a share of the influence above 0 and at most 1, not 80",
    "trace x --model acdc-small --probability 2": "probability must be above 0 and at most 1, not 2",
    "trace x --model acdc-small --max-logits 0": "max_logits must be at least 1, not 0",
    "trace x --model acdc-small --dictionary tests": "tests",
    "trace x --model reverse-compiled --dictionary acdc-small.transcoders": "reads 128 dimensions at mlp_in.0, but",
    f"trace {'John.' * 40} --model acdc-small": "longer than the context of 'acdc-small'",
}


@pytest.mark.parametrize("words", MISTAKES)
def test_mistakes_are_told(words: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    out = [] if "--graph" in words else ["--out", str(tmp_path)]
    assert main([*words.split(), *out]) == 2
    told = capsys.readouterr().err
    assert MISTAKES[words] in told and "Traceback" not in told


def test_heads_and_mlps_are_traced_and_the_file_is_opened_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["trace", PROMPT, "--model", "acdc-small", "--out", str(tmp_path), "--paths", "3"]) == 0
    told = capsys.readouterr().out
    assert "' Mary'" in told.splitlines()[0] and "no intervention" in told and "replacement" not in told
    rows = [line for line in told.splitlines() if " > " in line]
    assert len(rows) == 3 and all(row.split()[2].startswith("'") for row in rows)
    (file,) = tmp_path.rglob("graph.json")
    assert {path.name for path in file.parent.iterdir()} >= {"nodes.csv", "edges.csv", "graph.svg", "report.html"}
    assert main(["trace", "--graph", str(file), "--paths", "3"]) == 0
    assert [line for line in capsys.readouterr().out.splitlines() if " > " in line] == rows


def test_a_set_of_transcoders_is_traced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from acdc.models import PatchableModel

    model = PatchableModel.from_pretrained("acdc-small")
    torch.manual_seed(0)
    n, d = 40, model.graph.d_model
    for layer in range(model.graph.n_layers):
        weights = torch.randn(n, d), torch.zeros(n), torch.randn(n, 1, d) / d, torch.zeros(1, d)
        sites = Site(layer, "mlp_in"), (Site(layer, "mlp_out"),)
        save(Dictionary(f"t{layer}", *sites, *weights, ReLU()), tmp_path / "set" / str(layer))
    words = ["--dictionary", str(tmp_path / "set"), "--max-features", "30", "--out", str(tmp_path), "--json"]
    assert main(["trace", "John gave a book to", "--model", "acdc-small", *words]) == 0
    told = json.loads(capsys.readouterr().out)
    assert 0 < told["replacement"] < 1 and 0 < told["left_out"] < 1 and told["n_active"] > 30
    assert {"feature", "error"} & {kind_of(node) for path in told["paths"] for node in path["nodes"]}


def kind_of(node: str) -> str:
    middle = node.split("_")[1]
    return "token" if node.startswith("E") else "error" if middle == "-1" else "feature"
