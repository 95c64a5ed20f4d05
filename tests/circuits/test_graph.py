"""The graph's counts, names, order and pruning."""

import pytest
import torch

from acdc.circuits.circuit import Circuit
from acdc.circuits.graph import Graph
from acdc.errors import CircuitError

GRAPHS = [Graph(2, 3, 8), Graph(3, 2, 8), Graph(2, 2, 8, parallel=True), Graph(1, 1, 4)]


def random_mask(graph: Graph, share: float, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return graph.edges_mask & (torch.rand(graph.n_src, graph.n_dst, generator=generator) < share)


@pytest.mark.parametrize(
    ("layers", "heads", "parallel", "edges"),
    [(12, 12, False, 32_491), (4, 4, False, 479), (2, 4, True, 102), (26, 8, False, 74_218), (24, 14, False, 179_749)],
)
def test_published_edge_counts(layers: int, heads: int, parallel: bool, edges: int) -> None:
    graph = Graph(layers, heads, 16, parallel)
    assert graph.n_edges == edges == int(graph.edges_mask.sum())
    assert graph.edges_mask.shape == (graph.n_src, graph.n_dst) == (len(graph.sources), len(graph.destinations))


def test_gpt2_small_has_157_sources_and_445_destinations() -> None:
    graph = Graph(12, 12, 768)
    assert (graph.n_src, graph.n_dst) == (157, 445)
    assert graph.destinations[:13] == (*(f"a0.h{h}<q>" for h in range(12)), "a0.h0<k>")
    assert graph.sources[:2] == ("input", "a0.h0")


@pytest.mark.parametrize("graph", GRAPHS)
def test_an_edge_joins_what_is_written_before_to_what_is_read_after(graph: Graph) -> None:
    def time(node: str, *, reads: bool) -> float:
        if node in ("input", "logits"):
            return -1 if node == "input" else graph.n_layers
        late = node.startswith("m") and not (graph.parallel and reads)
        return graph.layer_of(node) + (0.5 if late else 0.0) + (0.0 if reads else 0.25)

    for i, src in enumerate(graph.sources):
        for j, dst in enumerate(graph.destinations):
            assert bool(graph.edges_mask[i, j]) == (time(src, reads=False) < time(graph.node_of(dst), reads=True))


@pytest.mark.parametrize("graph", GRAPHS)
def test_names_and_indices_are_inverse(graph: Graph) -> None:
    for i, j in graph.edges_mask.nonzero().tolist():
        assert graph.parse_edge(graph.edge_name(i, j)) == (i, j)
    for layer in range(graph.n_layers):
        assert graph.sources[graph.mlp_src(layer)] == graph.destinations[graph.mlp_dst(layer)] == f"m{layer}"
        for h in range(graph.n_heads):
            assert graph.sources[graph.head_src(layer, h)] == f"a{layer}.h{h}"
            for kind in "qkv":
                assert graph.destinations[graph.head_dst(layer, kind, h)] == f"a{layer}.h{h}<{kind}>"
    for j, src in enumerate(graph.src_of_dst):
        assert (src is None) == (graph.destinations[j] == "logits")
        assert src is None or graph.sources[src] == graph.node_of(graph.destinations[j])


@pytest.mark.parametrize("graph", GRAPHS)
@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_there_and_back_again(graph: Graph, share: float) -> None:
    mask = random_mask(graph, share)
    scores = torch.randn(mask.shape)
    assert torch.equal(graph.mask_of(graph.edge_names(mask)), mask)
    circuit = Circuit(graph, mask, scores)
    network, frame = circuit.to_networkx(), circuit.to_frame()
    assert torch.equal(graph.mask_of(name for _, _, name in network.edges(data="name")), mask)
    assert torch.equal(graph.mask_of(frame["edge"][frame["kept"]]), mask)
    assert len(frame) == graph.n_edges
    row = frame.iloc[-1]
    assert row.score == pytest.approx(scores[graph.parse_edge(row.edge)].item())


@pytest.mark.parametrize("graph", GRAPHS)
def test_pruning_keeps_exactly_the_edges_on_a_path(graph: Graph) -> None:
    import networkx as nx

    for seed in range(5):
        mask = random_mask(graph, 0.25, seed)
        nodes = Circuit(graph, mask).to_networkx()
        nodes.add_nodes_from(["input", "logits"])
        useful = (nx.descendants(nodes, "input") | {"input"}) & (nx.ancestors(nodes, "logits") | {"logits"})
        expected = [
            name
            for name in graph.edge_names(mask)
            if {name.split("->")[0], graph.node_of(name.split("->")[1])} <= useful
        ]
        before = mask.clone()
        assert graph.edge_names(graph.prune(mask)) == expected
        assert torch.equal(mask, before)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a0.h0", "expected 'source->destination'"),
        ("a0.h0->a1.h0", "needs its input"),
        ("a9.h0->logits", "'a9.h0' is not a source"),
        ("logits->m0", "'logits' is not a source"),
        ("m1->m0", "does not come before"),
    ],
)
def test_wrong_edge_names_are_told(name: str, message: str) -> None:
    with pytest.raises(CircuitError, match=message):
        Graph(2, 3, 8).parse_edge(name)


def test_wrong_masks_are_told() -> None:
    graph = Graph(2, 3, 8)
    with pytest.raises(CircuitError, match="must be bool"):
        graph.check_mask(torch.zeros(2, 2, dtype=torch.bool))
    with pytest.raises(CircuitError, match="not edges of a graph"):
        graph.check_mask(torch.ones(graph.n_src, graph.n_dst, dtype=torch.bool))
    with pytest.raises(CircuitError, match="n_heads must be a positive integer"):
        Graph(2, 0, 8)
    with pytest.raises(CircuitError, match="no edge joins"):
        graph.edge_name(graph.n_src - 1, 0)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        (
            (10**6, 12, 768),
            "at most 100,000,000 pairs of a source and a destination; 1000000 layers x 12 heads have more",
        ),
        ((12, 10**6, 768), "at most 100,000,000 pairs"),
        ((10**9, 12, 768), "n_layers must be a positive integer of at most 1,000,000, not 1000000000"),
        ((12, 12, 10**7), "d_model must be a positive integer of at most 1,000,000"),
        ((12, -3, 768), "n_heads must be a positive integer of at most 1,000,000, not -3"),
        ((12, True, 768), "n_heads must be a positive integer of at most 1,000,000, not True"),
        ((10**5000, 12, 768), "not a number of about"),
    ],
)
def test_shapes_out_of_bounds_are_refused_before_anything_is_built(shape: tuple, message: str) -> None:
    with pytest.raises(CircuitError, match=message):
        Graph(*shape)


def test_the_largest_models_that_people_search_are_within_bounds() -> None:
    assert Graph(80, 64, 8192).n_src == 5201  # Llama-3 70B; nothing is built until it is asked for
