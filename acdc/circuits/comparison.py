"""Two or more circuits of one graph side by side: each pair's overlap, what all share, recovery of a reference."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from itertools import combinations
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Bool
from torch import Tensor

from acdc.circuits.circuit import Circuit
from acdc.circuits.graph import Graph, input_of
from acdc.circuits.merging import alike
from acdc.circuits.overlap import Overlap, edge_groups, overlap_of
from acdc.circuits.recovery import Recovery, recovery_of
from acdc.errors import CircuitError, unknown_name

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Comparison", "compare_circuits"]


@dataclass(frozen=True)
class Comparison:
    """What `compare_circuits` found.

    Attributes:
        circuits: The compared circuits by name.
        pairs: Each two of them.
        groups: The edges that any of them keeps, parted by which: see `edge_groups`.
        reference: The circuit that the others are held against, if any.
        recovery: Of each other circuit.
    """

    circuits: Mapping[str, Circuit]
    pairs: tuple[Overlap, ...]
    groups: Mapping[str, Bool[Tensor, "src dst"]] = field(repr=False)
    reference: str | None
    recovery: tuple[Recovery, ...]

    @property
    def graph(self) -> Graph:
        """The graph that all are circuits of."""
        return next(iter(self.circuits.values())).graph

    @property
    def core(self) -> Bool[Tensor, "src dst"]:
        """The edges that every circuit keeps."""
        return self.groups["in all"]

    @property
    def optional(self) -> Bool[Tensor, "src dst"]:
        """The edges that some circuits keep, but not all."""
        return torch.stack([mask for group, mask in self.groups.items() if group != "in all"]).any(0)

    def to_dict(self) -> dict[str, Any]:
        """What JSON can hold of it."""
        return {
            "circuits": [
                {"name": name, "n_edges": circuit.n_edges, "n_nodes": len(circuit.nodes), "origin": circuit.origin}
                for name, circuit in self.circuits.items()
            ],
            "pairs": [asdict(pair) for pair in self.pairs],
            "core": self.graph.edge_names(self.core),
            "optional": self.graph.edge_names(self.optional),
            "reference": self.reference,
            "recovery": [asdict(recovery) for recovery in self.recovery],
        }

    def to_frame(self) -> "pd.DataFrame":
        """One row for each edge that a circuit keeps: `edge`, `src`, `dst`, `input`, `group` (see `edge_groups`),
        `n_circuits` that keep it, and for each circuit whether it keeps the edge, and the edge's score in it."""
        import pandas as pd

        rows, columns = (self.core | self.optional).nonzero(as_tuple=True)
        graph, kept = self.graph, {name: circuit.mask[rows, columns] for name, circuit in self.circuits.items()}
        group_of = {edge: group for group, mask in self.groups.items() for edge in graph.edge_names(mask)}
        names = [graph.edge_name(i, j) for i, j in zip(rows.tolist(), columns.tolist(), strict=True)]
        destinations = [graph.destinations[j] for j in columns.tolist()]
        frame = pd.DataFrame(
            {
                "edge": names,
                "src": [graph.site_of(*name.split("->")) for name in names],
                "dst": [graph.node_of(dst) for dst in destinations],
                "input": [input_of(dst) for dst in destinations],
                "group": [group_of[name] for name in names],
                "n_circuits": sum(mask.int() for mask in kept.values()),
            }
        )
        for name, circuit in self.circuits.items():
            frame[f"kept: {name}"] = kept[name].numpy()
            frame[f"score: {name}"] = math.nan if circuit.scores is None else circuit.scores[rows, columns].numpy()
        return frame


def compare_circuits(circuits: Mapping[str, Circuit], *, reference: str | None = None) -> Comparison:
    """Hold circuits of one graph against each other.

    Circuits whose edges are split by other spans, or by none, are compared as circuits of whole edges: see
    `Circuit.merge_spans`.

    Args:
        circuits: Two or more, by name.
        reference: The name of the one that the others are to recover.

    Raises:
        CircuitError: There are fewer than two, or they are of different graphs.
        UnknownNameError: None is called `reference`.

    >>> graph = Graph(n_layers=1, n_heads=2, d_model=8)
    >>> a = Circuit.from_edges(graph, ["input->a0.h1<v>", "a0.h1->logits"])
    >>> b = Circuit.from_edges(graph, ["a0.h1->logits"])
    >>> compare_circuits({"a": a, "b": b}).pairs[0].jaccard
    0.5
    """
    if len(circuits) < 2:
        raise CircuitError(f"comparing needs two circuits or more, not {len(circuits)}")
    (first, one), *rest = circuits.items()
    for name, other in rest:
        if other.graph.whole != one.graph.whole:
            shapes = " and ".join(f"{c.graph.shape} of width {c.graph.d_model}" for c in (one, other))
            raise CircuitError(f"{first!r} and {name!r} are of different models, so they can't be compared: {shapes}")
    circuits = dict(zip(circuits, alike(circuits.values()), strict=True))
    if reference is not None and reference not in circuits:
        raise unknown_name("reference", reference, circuits)
    recovered = (
        ()
        if reference is None
        else tuple(
            recovery_of(name, circuit, circuits[reference]) for name, circuit in circuits.items() if name != reference
        )
    )
    return Comparison(
        circuits=circuits,
        pairs=tuple(overlap_of(a, circuits[a], b, circuits[b]) for a, b in combinations(circuits, 2)),
        groups=edge_groups({name: circuit.mask for name, circuit in circuits.items()}),
        reference=reference,
        recovery=recovered,
    )
