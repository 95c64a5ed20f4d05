"""A traced prompt keeps what was pruned alone, and other weights or another dtype have another folder."""

import gc
import json
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch

from acdc.features.attribution_graphs import trace
from acdc.runs.features import attribution_graph
from acdc.runs.features.attribution_graph import TracedPrompt, trace_prompt
from tests.features.attribution_graphs.transcoders import transcoders
from tests.features.reading.planted import planted
from tests.tiny import tiny_model

PROMPT = "3 14 15"


def traced(out: Path | None, dtype: torch.dtype = torch.float64, **changes: Any) -> TracedPrompt:
    model = tiny_model("gpt2", dtype=dtype)
    if changes.get("weight"):
        with torch.no_grad():
            model.components.unembed.mul_(1 + 1e-9)
    kept = changes.get("kept", 0.8)
    return trace_prompt(model, PROMPT, transcoders(model, **changes.get("kind", {})), nodes=kept, out=out)


def test_the_whole_graph_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def noted(*given: Any, **options: Any) -> Any:
        found = trace(*given, **options)
        seen.append((weakref.ref(found), len(found.nodes), found.n_edges))
        return found

    monkeypatch.setattr(attribution_graph, "trace", noted)
    found = traced(None)
    gc.collect()
    ((whole, n_nodes, n_edges),) = seen
    assert whole() is None and (found.n_nodes, found.n_edges) == (n_nodes, n_edges)
    assert len(found.graph.nodes) < n_nodes and found.graph.n_edges < n_edges
    assert found.graph.weights.base is None and found.graph.weights.size <= len(found.graph.nodes) ** 2


def test_what_is_another_graph_has_another_folder(tmp_path: Path) -> None:
    first = traced(tmp_path)
    assert first.path is not None and traced(tmp_path).path == first.path
    told = json.loads((first.path / "trace.json").read_text())
    assert told["model"]["dtype"] == "float64" and told["found"]["n_edges"] == first.n_edges
    others = [
        traced(tmp_path, weight=True),
        traced(tmp_path, torch.float32),
        traced(tmp_path, kind={"skip": True}),
    ]
    assert len({first.path, *(each.path for each in others)}) == 4


def test_rules_of_features_that_were_read_are_their_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reading = planted().reading
    monkeypatch.setattr(attribution_graph, "readings_of", lambda loaded, out: [reading for _ in loaded])
    found = traced(tmp_path, kind={"n": len(reading.act_max)}, kept=1.0)
    labels = {node.text for node in found.graph.nodes if node.kind == "feature"}
    assert any(label.startswith("fires on") for label in labels)
    told = json.loads((found.path / "graph.json").read_text())  # type: ignore[operator]
    assert labels == {node["clerp"] for node in told["nodes"] if node["feature_type"] == "cross layer transcoder"}
