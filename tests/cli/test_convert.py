"""`acdc convert`: from format to format, and scores of the other sign."""

import json
from pathlib import Path

import pytest
import torch

from acdc.circuits.circuit import Circuit
from acdc.circuits.formats import (
    FORMATS,
    read_circuit,
)
from acdc.cli import main
from tests.circuits.examples import circuit_of
from tests.circuits.formats.exchange import SMALL


def test_the_command_converts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    circuit = circuit_of(SMALL)
    source = circuit.save(tmp_path / "a.json")
    assert main(["convert", str(source), str(tmp_path / "b.out"), "--to", "eap-ig-pt"]) == 0
    assert main(["convert", str(tmp_path / "b.out"), str(tmp_path / "c.gexf"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["n_edges"] == circuit.n_edges
    assert read_circuit(tmp_path / "c.gexf") == circuit
    assert main(["convert", str(source), str(tmp_path / "d.acdc.txt")]) == 2
    assert "--lossy" in capsys.readouterr().err
    assert main(["convert", str(source), str(tmp_path / "d.acdc.txt"), "--lossy"]) == 0
    (tmp_path / "e.txt").write_text("A0.1->MLP 0\n")
    assert main(["convert", str(tmp_path / "e.txt"), str(tmp_path / "e.json"), "--graph", str(source)]) == 0
    assert Circuit.load(tmp_path / "e.json").edges == ("a0.h1->m0",)
    assert main(["convert", str(source), str(tmp_path / "f"), "--to", "gefx"]) == 2
    assert "did you mean 'gexf'" in capsys.readouterr().err
    assert main(["convert", str(source)]) == 2
    assert main(["convert", "--formats", "--json"]) == 0
    assert [row["name"] for row in json.loads(capsys.readouterr().out.splitlines()[-1])] == list(FORMATS)


def test_scores_are_flipped_on_demand(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    circuit = circuit_of(SMALL)
    source, target = circuit.save(tmp_path / "a.json"), tmp_path / "b.pt"
    assert main(["convert", str(source), str(target), "--flip-scores"]) == 0
    flipped = read_circuit(target)
    assert torch.equal(flipped.mask, circuit.mask) and torch.equal(
        flipped.scores.nan_to_num(7.0), (-circuit.scores).nan_to_num(7.0)
    )
    assert flipped.provenance == circuit.provenance | {"flipped_scores": True}
    assert flipped.flip_scores() == circuit and circuit.flip_scores() == flipped
    names = tmp_path / "c.txt"
    names.write_text("A0.1->MLP 0\n")
    assert main(["convert", str(names), str(target), "--graph", str(source), "--flip-scores"]) == 2
    assert "no scores" in capsys.readouterr().err
