"""Files that hold no circuit are named for what they are, whatever they are called."""

import gzip
import json
import pickle
import time
from pathlib import Path

import numpy as np
import pytest

from acdc.circuits.circuit import Circuit
from acdc.circuits.formats import FORMATS, read_circuit, write_circuit
from acdc.circuits.formats.kinds import kind_of
from acdc.cli import main
from acdc.errors import CircuitError
from tests.circuits.examples import circuit_of
from tests.circuits.formats.exchange import SMALL

NEURONPEDIA = {
    "metadata": {"slug": "x", "scan": "gemma-2-2b", "prompt_tokens": ["a"], "prompt": "a"},
    "qParams": {},
    "nodes": [{"node_id": "1_2_3", "feature": 2, "layer": "1", "ctx_idx": 3, "feature_type": "cross layer transcoder"}],
    "links": [{"source": "1_2_3", "target": "1_2_3", "weight": 0.5}],
}
RECORD = {"id": "1", "fingerprint": "f", "arguments": {"task": "ioi"}, "cost": {}, "claims": {"hook_": "a0.h0->m0"}}
EVALUATION = {"fingerprint": "f", "settings": {}, "parts": {"certificate": {"weakest": "a0.h0->m0"}}}
FILES: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "is empty"),
    "blank": (b" \n\n", "is empty"),
    "dot": (b'// drawn\nstrict digraph "circuit" {\n a0 -> m0\n}', "is a Graphviz drawing"),
    "undirected": (b"graph {\n a -- b\n}", "is a Graphviz drawing"),
    "svg": (
        b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"><title>a->b</title></svg>',
        "an SVG picture",
    ),
    "png": (b"\x89PNG\r\n\x1a\n\0\0", "is a PNG picture"),
    "pdf": (b"%PDF-1.7\n", "is a PDF picture"),
    "html": (b"<!doctype html><html></html>", "is a web page"),
    "npy": (b"\x93NUMPY" + np.zeros(3).tobytes(), "is a numpy array"),
    "gzip": (gzip.compress(b"{}"), "is compressed by gzip"),
    "pickle": (pickle.dumps([1]), "is a pickle, and reading one can run any code"),
    "neuronpedia": (json.dumps(NEURONPEDIA).encode(), "is an attribution graph of features"),
    "node-link": (b'{"directed": true, "nodes": [{"id": 1}], "edges": [{"source": 1, "target": 1}]}', "node-link JSON"),
    "run": (json.dumps(RECORD).encode(), r"is the record of a run \(run\.json\); give the run's folder"),
    "evaluation": (json.dumps(EVALUATION).encode(), "is an evaluation"),
    "metrics": (b'{"kl": {"circuit": 1.0}, "faithfulness": 0.5, "edges": 3}', "holds a run's metrics"),
    "comparison": (b'{"circuits": [], "pairs": [], "core": ["a0.h0->m0"]}', "is a comparison"),
    "config": (b'{"model_type": "gpt2", "n_layer": 12}', "is a model's configuration"),
    "prompts": (b'[{"clean": "a", "corrupt": "b", "correct": ["c"]}]', "is a file of prompts"),
    "prompts-lines": (b'{"clean": "a", "corrupt": "b"}\n{"clean": "c", "corrupt": "d"}\n', "is a file of prompts"),
    "csv": (b"edge,src,dst,input,score,kept\na0.h0->m0,a0.h0,m0,,0.5,True\n", "is a table of edges"),
    "names": (b"a0.h0->m0\na0.h1->m1\n", r"is a plain list of edges.*Circuit\.from_edges"),
    "pairs": (b"1 2 0.5\n2 3 0.25\n", "is a plain list of edges"),
    "networkx": (b"a b {'weight': 3.0}\nb c {'weight': 1.5}\n", "is a plain list of edges"),
}


@pytest.mark.parametrize("name", ["file", "file.json", "file.pt", "file.acdc.txt", "file.gexf"])
@pytest.mark.parametrize("kind", FILES)
def test_what_a_file_is_is_said(kind: str, name: str, tmp_path: Path) -> None:
    content, message = FILES[kind]
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(CircuitError, match=message) as caught:
        read_circuit(path, graph=SMALL)
    text = str(caught.value)
    assert text.startswith(str(path)) and text.isprintable() and len(text) - len(str(path)) < 400


@pytest.mark.parametrize("command", ["show", "evaluate", "convert", "compare"])
def test_every_command_says_it(command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, other = tmp_path / "graph.json", circuit_of(SMALL).save(tmp_path / "b.json")
    path.write_bytes(FILES["neuronpedia"][0])
    words = {"convert": [str(tmp_path / "c.pt")], "compare": [str(other)]}.get(command, [])
    assert main([command, str(path), *words]) == 2
    assert "graph.json is an attribution graph of features" in capsys.readouterr().err


def test_what_holds_a_circuit_is_of_no_other_kind(tmp_path: Path) -> None:
    for name, entry in FORMATS.items():
        circuit = Circuit(SMALL, circuit_of(SMALL).mask)
        path = write_circuit(circuit, tmp_path / f"c{entry.suffix}")
        assert kind_of(path.read_bytes()) is None, name


def test_folders_and_files_that_aren_t_there(tmp_path: Path) -> None:
    with pytest.raises(CircuitError, match="it is a folder"):
        read_circuit(tmp_path)
    with pytest.raises(CircuitError, match="No such file"):
        read_circuit(tmp_path / "missing.json")


@pytest.mark.parametrize(
    "text",
    [
        *("->" * 5000, "a " * 5000, "a, " * 5000 + "!", "//  \t  \n" * 1000, "/*" * 5000, "/* */ " * 2000 + "x"),
        *("graph " * 2000, "edge" + " " * 10_000, "{" * 10_000, "[" * 100_000, '"' * 10_000, "<svg" * 10_000),
    ],
)
def test_no_text_is_looked_at_for_long(text: str) -> None:
    start = time.monotonic()
    kind_of(text.encode())
    assert time.monotonic() - start < 2
