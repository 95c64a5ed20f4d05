"""Influence is w((I - A)^-1 - I); circuit-tracer's example has closed numbers; pruning leaves what carries most."""

import numpy as np
import pytest

from acdc.circuits.circuit import Circuit
from acdc.circuits.graph import Graph
from acdc.circuits.influence import influence, prune_by_influence, readers
from acdc.circuits.weighted import WeightedEdge, WeightedGraph, WeightedNode, weighted_graph

pytestmark = pytest.mark.fast


def graph_of(reads: dict[int, list[int]], n: int) -> WeightedGraph:
    """A graph of `n` nodes, the last of which is the logits; every edge weighs 10."""
    kinds = ["head"] * (n - 1) + ["logits"]
    nodes = tuple(WeightedNode(str(i), kind, i) for i, kind in enumerate(kinds))
    edges = [WeightedEdge(str(src), str(dst), weight=10.0) for dst, sources in reads.items() for src in sources]
    return WeightedGraph(nodes, tuple(edges))


EXAMPLE = {11: [1, 3, 6, 8], 3: [0, 1, 6], 1: [9, 10], 0: [9]}  # circuit-tracer, tests/test_graph.py


def test_the_closed_numbers_of_circuit_tracers_example() -> None:
    found = influence(graph_of(EXAMPLE, 12))
    expected = [1 / 12, 1 / 3, 0, 1 / 4, 0, 0, 1 / 3, 0, 1 / 4, 1 / 4, 1 / 6, 0]
    assert list(found.nodes.values()) == pytest.approx(expected, abs=1e-12)
    assert found.edges == pytest.approx([1 / 4] * 4 + [1 / 12] * 3 + [1 / 6] * 2 + [1 / 12], abs=1e-12)


def test_the_edges_of_circuit_tracers_example_after_its_nodes_are_pruned() -> None:
    found = influence(graph_of({11: [1, 3, 6, 8], 3: [1, 6], 1: [9, 10]}, 12))
    assert found.edges == pytest.approx([1 / 4] * 4 + [1 / 8] * 2 + [3 / 16] * 2, abs=1e-12)


def random_graph(seed: int, n: int = 15) -> tuple[WeightedGraph, np.ndarray]:
    rng = np.random.default_rng(seed)
    weights = np.tril(rng.normal(size=(n, n)) * (rng.random((n, n)) < 0.5), -1)
    weights[1:, 0] = rng.normal(size=n - 1)  # so that every node reads the input
    kinds = ["input", *["head"] * (n - 2), "logits"]
    nodes = tuple(WeightedNode(str(i), kind, i) for i, kind in enumerate(kinds))
    edges = tuple(
        WeightedEdge(str(s), str(d), weight=float(weights[d, s])) for d, s in zip(*weights.nonzero(), strict=True)
    )
    return WeightedGraph(nodes, edges), np.abs(weights)


@pytest.mark.parametrize("seed", range(5))
def test_it_is_the_inverse(seed: int) -> None:
    graph, sizes = random_graph(seed)
    shares = sizes / np.maximum(sizes.sum(1, keepdims=True), 1e-300)
    root = np.eye(len(sizes))[-1]
    expected = root @ (np.linalg.inv(np.eye(len(sizes)) - shares) - np.eye(len(sizes)))
    found = influence(graph)
    assert list(found.nodes.values()) == pytest.approx(expected, abs=1e-12)
    assert found.nodes["0"] == pytest.approx(1.0, abs=1e-12)  # all that the logits read comes from the one input
    by_edge = {(e.src, e.dst): v for e, v in zip(graph.edges, found.edges, strict=True)}
    assert by_edge == pytest.approx(
        {(str(s), str(d)): shares[d, s] * (expected + root)[d] for d, s in zip(*sizes.nonzero(), strict=True)}
    )


def test_inputs_of_a_head_count_together() -> None:
    nodes = (WeightedNode("input", "input", -1), WeightedNode("a0.h0", "head", 0), WeightedNode("logits", "logits", 1))
    edges = tuple(WeightedEdge("input", "a0.h0", kind, weight=w) for kind, w in (("q", 1.0), ("k", -1.0), ("v", 2.0)))
    found = influence(WeightedGraph(nodes, (*edges, WeightedEdge("a0.h0", "logits", weight=0.1))))
    assert found.nodes == pytest.approx({"input": 1.0, "a0.h0": 1.0, "logits": 0.0})
    assert found.edges == pytest.approx([0.25, 0.25, 0.5, 1.0])


@pytest.mark.parametrize("weight", [None, 0.0, float("nan")])
def test_without_weights_every_edge_counts_the_same(weight: float | None) -> None:
    nodes = tuple(WeightedNode(name, name, i) for i, name in enumerate(("input", "mlp", "logits")))
    pairs = (("input", "mlp"), ("input", "logits"), ("mlp", "logits"))
    found = influence(WeightedGraph(nodes, tuple(WeightedEdge(*pair, weight=weight) for pair in pairs)))
    assert found.edges == pytest.approx([0.5, 0.5, 0.5])


def test_pruning_keeps_what_carries_most_and_no_loose_end() -> None:
    graph, _ = random_graph(0, n=40)
    pruned, left = prune_by_influence(graph)
    assert {"0", "39"} <= {node.id for node in pruned.nodes}
    assert 0 < len(pruned.edges) < len(graph.edges)
    assert {edge.name for edge in pruned.edges} < {edge.name for edge in graph.edges}
    inner = {node.id for node in pruned.nodes} - {"0", "39"}
    assert inner == inner & {e.src for e in pruned.edges} & {e.dst for e in pruned.edges}
    assert left == influence(pruned) and left.nodes["0"] == pytest.approx(1.0)


def test_pruning_the_example_removes_the_nodes_that_circuit_tracer_removes() -> None:
    pruned, _ = prune_by_influence(graph_of(EXAMPLE, 12), edges=1.0)
    assert "0" not in {node.id for node in pruned.nodes}


def test_all_of_it_stays_where_all_is_asked_for() -> None:
    graph, _ = random_graph(1)
    reaching = {node for node, value in influence(graph).nodes.items() if value} | {"0", "14"}
    pruned, _ = prune_by_influence(graph, nodes=1.0, edges=1.0)
    assert {node.id for node in pruned.nodes} == reaching


def split_graph() -> WeightedGraph:
    """A head that reads IO at the end: its value there, its query at the end."""
    graph = Graph(n_layers=2, n_heads=1, d_model=4).split(("IO", "end"))
    edges = ("input->a0.h0<v>@IO", "input->a0.h0<q>@end", "a0.h0->m1@end", "m1->logits@end", "input->m0@IO")
    return weighted_graph(Circuit.from_edges(graph, edges))


def test_a_head_reads_keys_and_values_at_its_span_and_earlier_ones() -> None:
    graph = split_graph()
    assert readers(graph) == {"a0.h0@IO": ("a0.h0@end",)}
    found = influence(graph).nodes
    assert found["a0.h0@end"] == found["m1@end"] == 1.0 and found["a0.h0@IO"] == 0.0
    assert found["input@IO"] == found["input@end"] == 0.5
    pruned, _ = prune_by_influence(graph)
    assert {edge.name for edge in graph.edges} - {edge.name for edge in pruned.edges} == {"input->m0@IO"}
