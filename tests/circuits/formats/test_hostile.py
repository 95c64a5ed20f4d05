"""Hostile and damaged files: nothing in them is run, and what is wrong is said."""

import os
import pickle
import re
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from acdc.circuits.circuit import Circuit
from acdc.circuits.file import cfg_of
from acdc.circuits.formats import FORMATS, read_circuit, write_circuit
from acdc.errors import CircuitError
from tests.circuits.examples import circuit_of
from tests.circuits.formats.exchange import SMALL, file_for, reference_pt


class Payload:
    """A pickle whose reading would make a file."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, (str(self.target),)


@pytest.mark.parametrize("name", ["edges.pkl", "edges.pt", "edges.pth", "edges.json", "edges"])
@pytest.mark.parametrize("how", ["pickle", "torch", "legacy", "hidden"])
def test_nothing_in_a_pickle_is_run(name: str, how: str, tmp_path: Path) -> None:
    target, path = tmp_path / "owned", tmp_path / name
    payload = Payload(target)
    if how == "pickle":
        path.write_bytes(pickle.dumps([payload]))
    else:
        data = reference_pt(SMALL, acdc=payload) if how == "hidden" else payload
        torch.save(data, path, _use_new_zipfile_serialization=how != "legacy")
    for format in (None, "eap-ig-pt", "acdc-pth"):
        with pytest.raises(CircuitError):
            read_circuit(path, format=format, graph=SMALL)
    assert not target.exists()
    if how == "pickle":
        with pytest.raises(CircuitError, match=r"is a pickle, and reading one can run any code.*json\.dump"):
            read_circuit(path)
    pickle.loads(pickle.dumps(payload))
    assert target.exists()  # the payload does work


@pytest.mark.parametrize("legacy", [False, True])
def test_what_is_wrong_with_a_torch_file_is_said_without_advice_on_models(legacy: bool, tmp_path: Path) -> None:
    path = tmp_path / "c.pt"
    torch.save(reference_pt(SMALL, acdc=Payload(tmp_path)), path, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(CircuitError) as caught:
        read_circuit(path)
    message = str(caught.value)
    assert message.endswith("it holds an object of 'posix.mkdir'") or os.name != "posix"
    path.write_bytes(write_circuit(circuit_of(SMALL), path).read_bytes()[:-1])
    with pytest.raises(CircuitError) as caught:
        read_circuit(path)
    for text in (message, str(caught.value)):
        for word in ("weights_only", "issue", "report", "torch.load", "safe_globals", "checkpoint", "PyTorch"):
            assert word not in text, text


def test_a_torch_file_that_unpacks_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("acdc.circuits.formats.torch_files.MAX_BYTES", 10**6)
    path = write_circuit(circuit_of(SMALL), tmp_path / "c.pt")
    with zipfile.ZipFile(path) as old:
        parts = {name: old.read(name) for name in old.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for name, part in parts.items():
            new.writestr(name, bytes(10**7) if name.endswith("/data/0") else part)
    assert path.stat().st_size < 10**5
    with pytest.raises(CircuitError, match=r"unpacks to 10,\d+,\d+ bytes, more than the 1,000,000 that are read"):
        read_circuit(path)


@pytest.mark.parametrize("name", [name for name in FORMATS if name != "acdc-pth"])
@pytest.mark.parametrize("n_layers", [10**6, 10**9])
def test_a_graph_of_a_million_layers_is_refused_at_once(name: str, n_layers: int, tmp_path: Path) -> None:
    path = write_circuit(Circuit(SMALL, circuit_of(SMALL).mask), file_for(name, tmp_path))
    if name == "eap-ig-pt":
        torch.save(reference_pt(SMALL, cfg=cfg_of(SMALL) | {"n_layers": n_layers}), path)
    else:
        text = path.read_text()
        assert text.count("n_layers") == 1
        path.write_text(re.sub(r"(n_layers[^0-9]+)2", rf"\g<1>{n_layers}", text))
    with pytest.raises(CircuitError, match=r"at most (100,000,000 pairs|1,000,000, not 1000000000)"):
        read_circuit(path)


def test_a_second_key_does_not_win(tmp_path: Path) -> None:
    for name in ("eap-ig", "acdc-json", "auto-circuit-json"):
        path = write_circuit(circuit_of(SMALL), file_for(name, tmp_path))
        path.write_text(path.read_text().replace('"edges":', '"edges": {}, "edges":'))
        with pytest.raises(CircuitError, match="has the key 'edges' twice"):
            read_circuit(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[["A0.0->MLP 1", 1.0]]', "is not an edge"),
        ('{"edges": {"A0.0->A1.0": 1.0, "A0.0->A1.0.Q": 2.0}}', "listed twice, with the scores 1 and 2"),
        ('{"A0.0->MLP 1": 1' + "0" * 400 + "}", "needs a number or null as its score"),
        ('["' + "A" * 1_000_000 + '->MLP 1"]', "an edge's name of 1,000,007 letters .* at most 200"),
    ],
)
def test_lists_that_contradict_themselves_or_have_no_end_are_told(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "c.auto-circuit.json").write_text(text)
    with pytest.raises(CircuitError, match=message) as caught:
        read_circuit(tmp_path / "c.auto-circuit.json", graph=SMALL)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("suffix", [".graphml", ".gexf"])
def test_xml_in_an_encoding_that_hides_entities_is_refused(suffix: str, tmp_path: Path) -> None:
    path = write_circuit(circuit_of(SMALL), tmp_path / f"c{suffix}")
    body = re.sub(r"^<\?xml[^>]*>\s*", "", path.read_text())
    path.write_bytes(b'<?xml version="1.0" encoding="cp037"?>' + body.encode("utf-8"))
    with pytest.raises(CircuitError, match="is declared as 'cp037'; only UTF-8 is read"):
        read_circuit(path)


@pytest.mark.parametrize("name", FORMATS)
def test_a_truncated_file_is_told(name: str, tmp_path: Path) -> None:
    path = write_circuit(Circuit(SMALL, SMALL.edges_mask), file_for(name, tmp_path))
    content = path.read_bytes()
    for share in (0.3, 0.7, 0.95):
        cut = content[: int(len(content) * share)]
        path.write_bytes(cut if "json" in name or b"\n" not in cut else cut.rstrip(b"\n"))
        if name in ("acdc", "auto-circuit") and cut[-1:] in b"\n]dQKV0123456789":
            continue  # a shorter list of lines is a list
        with pytest.raises(CircuitError):
            read_circuit(path, format=name, graph=SMALL)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("content", [b"", b"\0" * 100, b"{", b"[1, 2", b"<x", "é".encode("latin-1"), b"PK\x03\x04junk"])
def test_rubbish_is_told_in_every_format(format: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / "rubbish").write_bytes(content)
    if format in ("acdc", "auto-circuit") and not content:
        assert read_circuit(tmp_path / "rubbish", format=format, graph=SMALL).n_edges == 0  # a list of no edges
        return
    with pytest.raises(CircuitError, match="rubbish"):
        read_circuit(tmp_path / "rubbish", format=format, graph=SMALL)


def test_entities_are_not_read(tmp_path: Path) -> None:
    path = write_circuit(Circuit(SMALL, SMALL.edges_mask), tmp_path / "c.graphml")
    path.write_text(path.read_text().replace("<graphml", '<!DOCTYPE x [<!ENTITY a "b">]><graphml', 1))
    with pytest.raises(CircuitError, match="document type"):
        read_circuit(path)
