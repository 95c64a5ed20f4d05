"""Published circuits: their edges follow from the classes of heads, and every one lies on a path."""

import pytest
import torch

from acdc.circuits.graph import Graph
from acdc.circuits.published import IOI_HEADS, REFERENCES, get_reference
from acdc.errors import CircuitError, UnknownNameError

GPT2 = Graph(n_layers=12, n_heads=12, d_model=768)


@pytest.mark.parametrize(
    ("name", "n_edges", "n_heads"),
    [("ioi-wang", 963, 26), ("greater-than-hanna", 264, 10), ("greater-than-conmy", 235, 9)],
)
def test_sizes(name: str, n_edges: int, n_heads: int) -> None:
    circuit = get_reference(name).circuit(GPT2)
    assert circuit.n_edges == n_edges
    assert sum(node.startswith("a") for node in circuit.nodes) == n_heads
    assert torch.equal(GPT2.prune(circuit.mask), circuit.mask), "no edge dangles"
    assert circuit.provenance["reference"] == name


def test_ioi_heads_are_joined_class_by_class() -> None:
    edges = set(get_reference("ioi-wang").circuit(GPT2).edges)
    assert {"input->a2.h2<q>", "a2.h2->a5.h5<k>", "a5.h5->a7.h3<v>", "a8.h6->a9.h9<q>", "a9.h9->logits"} <= edges
    assert not {"a2.h2->a9.h9<q>", "a7.h3->logits", "a8.h6->a9.h9<k>", "input->a9.h9<q>"} & edges
    heads = {head for group in IOI_HEADS.values() for head in group}
    for edge in edges:
        src, dst = edge.split("->")
        assert all(node[0] != "a" or node in heads for node in (src, GPT2.node_of(dst)))


def test_the_two_greater_than_references_differ_in_their_middle_heads() -> None:
    one, other = (set(get_reference(f"greater-than-{who}").circuit(GPT2).nodes) for who in ("hanna", "conmy"))
    assert one - other == {"a5.h1", "a8.h8"}
    assert other - one == {"a6.h1"}


def test_other_shapes_and_names_are_refused() -> None:
    with pytest.raises(CircuitError, match="12 layers x 12 heads"):
        REFERENCES["ioi-wang"].circuit(Graph(4, 4, 128))
    with pytest.raises(UnknownNameError, match="did you mean 'ioi-wang'"):
        get_reference("ioi-wong")
