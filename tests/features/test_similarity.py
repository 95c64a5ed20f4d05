"""Groups of features that are alike are those of average linkage done the slow and obvious way."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
import torch

from acdc.errors import RunError
from acdc.features import Dictionary, Site
from acdc.features.activations import ReLU
from acdc.features.circuits import FeatureCircuit, FeatureEdge, FeatureNode
from acdc.features.circuits.finding import record_of
from acdc.features.circuits.masks import token_groups
from acdc.features.similarity import alike, alike_in_circuit, alike_in_trace, similarity
from acdc.features.sites import through_sites
from tests.features.attribution_graphs.transcoders import PROMPT, transcoders
from tests.features.circuits.tiny import split_identity, tiny_problem
from tests.report.test_graph_page import traced
from tests.tiny import tiny_model

SITE = Site(0, "resid_post")


def dictionary(n: int = 20, d: int = 6) -> Dictionary:
    generator = torch.Generator().manual_seed(0)
    encoder, decoder = torch.randn(2, n, d, generator=generator, dtype=torch.double)
    encoder[3], decoder[5] = 2 * encoder[4], 3 * decoder[6]  # one reads, one writes the same
    encoder[7] = decoder[7] = 0
    zeros = torch.zeros(n, dtype=torch.double)
    return Dictionary("d", SITE, (SITE,), encoder, zeros, decoder[:, None], zeros[None, :d], ReLU())


def slow(close: np.ndarray, cut: float) -> list[list[int]]:
    """Join the two groups of the largest mean similarity until it is below the cut."""
    groups = [[i] for i in range(len(close))]
    while len(groups) > 1:
        pairs = combinations(range(len(groups)), 2)
        mean, i, j = max((float(close[np.ix_(groups[i], groups[j])].mean()), i, j) for i, j in pairs)
        if mean < cut - 1e-9:
            break
        groups[i] = sorted(groups[i] + groups.pop(j))
    return sorted(group for group in groups if len(group) > 1)


@pytest.mark.parametrize("cut", [0.0, 0.3, 0.6, 0.9, 1.0])
def test_groups_are_those_of_average_linkage(cut: float) -> None:
    found, features = dictionary(), [*range(20)][::-1]
    assert alike(found, features, cut) == slow(similarity(found, features), cut)
    if cut == 1.0:  # equal but for their lengths
        assert [[features[i] for i in group] for group in alike(found, features, cut)] == [[6, 5], [4, 3]]


def test_similarity_is_the_larger_cosine() -> None:
    found = similarity(dictionary(), range(20))
    assert found[3, 4] == pytest.approx(1) and found[5, 6] == pytest.approx(1) and found[7, 8] == 0
    assert np.allclose(found, found.T) and found.max() <= 1 + 1e-12


@pytest.mark.parametrize("cut", [-0.1, 1.5, float("nan")])
def test_a_cut_is_a_cosine(cut: float) -> None:
    with pytest.raises(RunError, match="alike must be"):
        alike(dictionary(), [0, 1], cut)
    assert alike(dictionary(), [3]) == []


def test_groups_of_a_circuit_are_of_one_site_and_span_and_of_what_is_drawn() -> None:
    names = [f"{SITE}/{what}@{span}" for span in ("S1", "S2") for what in (3, 4, 5, "error")] + [f"{SITE}/6@S1"]
    nodes = tuple(FeatureNode(name, 1.0) for name in names)
    edges = tuple(FeatureEdge(name, "logits", 1.0) for name in names[:-1])
    found = FeatureCircuit(
        "m", "t", "kl", "zero", "frozen", ("S1", "S2"), (record_of(dictionary()),), nodes, edges, 9, 9, 1, ""
    )
    groups = alike_in_circuit(found, [dictionary()], 0.95)
    assert groups == tuple(("like 3", f"{SITE}/3@{span}", f"{SITE}/4@{span}") for span in ("S1", "S2"))
    assert len(alike_in_circuit(replace(found, edges=()), [dictionary()], 0.95)) == 3  # all nodes are drawn then
    assert alike_in_circuit(replace(found, nodes=nodes[:1], edges=()), [dictionary()]) == ()


@pytest.mark.parametrize("spans", [False, True])
def test_features_that_fire_together_at_a_span_are_alike(spans: bool) -> None:
    problem, found = tiny_problem(spans=spans), split_identity(SITE)
    batch = problem.batch
    span, row = (batch.spans[1], 1) if spans else ("", 0)
    names = [f"{SITE}/{i}" + (f"@{span}" if spans else "") for i in range(found.n_features)]
    nodes = tuple(FeatureNode(name, 1.0) for name in names)
    circuit = FeatureCircuit("m", "t", "kl", "zero", "frozen", batch.spans, (record_of(found),), nodes, (), 9, 9, 1, "")
    kept: list[torch.Tensor] = []
    with torch.no_grad():
        through_sites(problem.model, batch, batch.clean, lambda at, x: kept.append(x) or x if at == SITE else x)
    counted = batch.attention.bool() & (batch.attention.cumsum(1) > 1) & (token_groups(batch) == row)
    acts = found.encode(kept[0][counted]).T.numpy()  # [feature token]
    unit = acts / np.linalg.norm(acts, axis=1, keepdims=True).clip(1e-30)
    expected = slow(np.maximum(similarity(found, range(len(names))), unit @ unit.T), 0.5)
    groups = alike_in_circuit(circuit, [found], 0.5, problem)
    assert sorted(list(map(names.index, members)) for _, *members in groups) == expected and len(expected) > 2
    assert alike_in_circuit(circuit, [found], 0.5) == ()  # by their weights no two are


def test_groups_of_a_trace_are_of_one_layer_and_token() -> None:
    graph, of_layer = traced(), transcoders(tiny_model("gpt2"))
    kinds = {node.id: node for node in graph.nodes}
    groups = alike_in_trace(graph, of_layer, 0.0)
    assert groups and graph.prompt == PROMPT
    for _, *ids in groups:
        members = [kinds[id] for id in ids]
        assert len({(node.kind, node.layer, node.position) for node in members}) == 1 and members[0].kind == "feature"
        assert [node.influence for node in members] == sorted((node.influence for node in members), reverse=True)
