"""The circuit as a table and as a network."""

from acdc.circuits.graph import Graph
from tests.circuits.examples import circuit_of


def test_views_agree_with_the_mask(graph: Graph) -> None:
    circuit = circuit_of(graph)
    frame, network = circuit.to_frame(), circuit.to_networkx()
    assert len(frame) == graph.n_edges and frame["kept"].sum() == circuit.n_edges == network.number_of_edges()
    assert {name for _, _, name in network.edges(data="name")} == set(circuit.edges)


def test_a_table_of_a_large_graph_lists_kept_edges_and_the_largest_scores(graph: Graph) -> None:
    circuit = circuit_of(graph)
    whole = circuit.to_frame()
    assert whole.equals(circuit.to_frame(most=graph.n_edges)) and len(whole) == graph.n_edges
    assert set(circuit.to_frame(most=0)["edge"]) == set(circuit.edges)
    most = min(circuit.n_edges + 3, graph.n_edges - 1)
    listed = circuit.to_frame(most=most)
    removed = whole[~whole["kept"]]
    largest = removed.sort_values("score", key=abs, ascending=False)["edge"][: most - circuit.n_edges]
    assert set(listed["edge"]) == {*circuit.edges, *largest} and len(listed) == most
