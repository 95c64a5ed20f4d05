"""Without dictionaries: what flows into a head or MLP flows out of it, and pruning is that of any weighted graph."""

import numpy as np
import pytest

from acdc.circuits.influence import influence, prune_by_influence
from acdc.features.attribution_graphs import strongest_paths, trace
from tests.features.attribution_graphs.transcoders import PROMPT
from tests.tiny import KeepDouble, tiny_model


@pytest.mark.parametrize("family", ["gpt2", "llama", "gemma2", "neox-parallel"])
def test_what_flows_in_flows_out(family: str) -> None:
    with KeepDouble():
        graph = trace(tiny_model(family), PROMPT)
    factors = np.array([node.probability if node.kind == "logit" else 1 for node in graph.nodes])
    out = (graph.weights * factors[graph.rows][:, None]).sum(0)
    for place, total in enumerate(graph.weights.sum(1)):
        node = graph.nodes[graph.rows[place]]
        assert node.value == pytest.approx(total + node.bias, abs=1e-10)
        if node.kind != "logit":
            assert node.value == pytest.approx(out[graph.rows[place]], abs=1e-10)
        if family == "llama":  # which has no biases
            assert node.bias == pytest.approx(0, abs=1e-10)
    assert graph.replacement is None and graph.completeness is None


def test_mlps_as_constants_are_errors() -> None:
    graph = trace(tiny_model("gpt2"), PROMPT, mlps=False)
    assert graph.is_of("error").sum() == 3 * 6 and not graph.is_of("mlp").any()
    assert graph.replacement is not None and 0 < graph.replacement < 1 and 0 < (graph.completeness or 0) < 1


def test_influence_and_pruning_are_those_of_any_weighted_graph() -> None:
    graph = trace(tiny_model("gpt2"), PROMPT, max_logits=1)
    drawn = graph.weighted()
    assert {node.id: node.influence for node in graph.nodes} == pytest.approx(influence(drawn).nodes, abs=1e-12)
    shares = np.zeros((len(graph.nodes), len(graph.nodes)))
    shares[graph.rows] = graph.shares
    whole = graph.roots @ (np.linalg.inv(np.eye(len(shares)) - shares) - np.eye(len(shares)))
    assert [node.influence for node in graph.nodes] == pytest.approx(whole, abs=1e-12)
    pruned, expected = graph.pruned(), prune_by_influence(drawn)[0]
    assert {node.id for node in pruned.nodes} == {node.id for node in expected.nodes} | {
        node.id for node in graph.nodes if node.kind == "token"
    }
    assert set(zip(pruned.frame().src, pruned.frame().dst, strict=True)) == {(e.src, e.dst) for e in expected.edges}
    assert 0 < pruned.n_edges < graph.n_edges
    assert pruned.nodes[-1] == graph.nodes[-1]  # sizes and influence stay the whole graph's


def test_all_paths_together_are_all_that_the_logits_read() -> None:
    graph = trace(tiny_model("gpt2"), "3 4", max_logits=2)
    paths = strongest_paths(graph, 100_000)
    assert sum(path.share for path in paths) == pytest.approx(1)
    assert {path.nodes[0].kind for path in paths} == {"token"} and {path.nodes[-1].kind for path in paths} == {"logit"}
    best = strongest_paths(graph, 3)
    assert [path.share for path in best] == sorted((path.share for path in paths), reverse=True)[:3]
    weights = {(src.id, dst.id): weight for src, dst, weight, _ in graph.edges()}
    for path in best:
        steps = zip(path.nodes, path.nodes[1:], strict=False)
        assert path.sign == np.sign(np.prod([weights[a.id, b.id] for a, b in steps]))
