"""How two or more circuits of one graph agree: overlap, ranks of their scores, and recovery of a reference."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

from acdc.circuits.circuit import Circuit
from acdc.circuits.graph import Graph, input_of
from acdc.errors import CircuitError, unknown_name
from acdc.evaluation.roc import roc_auc

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Comparison", "Pair", "Recovery", "compare_circuits", "edge_groups"]


@dataclass(frozen=True)
class Pair:
    """How two circuits agree.

    Attributes:
        a, b: Their names.
        n_shared, n_only_a, n_only_b: Edges that both keep, that only `a` keeps, that only `b` keeps.
        jaccard: Share of the edges that either keeps which both keep; 1 where neither keeps any.
        overlap: Share of the smaller one's edges that the other keeps too; None where one is empty.
        node_jaccard: `jaccard` of the nodes that touch a kept edge.
        n_scored: Edges that both measured.
        spearman, kendall: Rank correlations of the signed scores of these, ties averaged (tau-b); None where fewer than
            two are measured or where all of one's are equal.
    """

    a: str
    b: str
    n_shared: int
    n_only_a: int
    n_only_b: int
    jaccard: float
    overlap: float | None
    node_jaccard: float
    n_scored: int
    spearman: float | None
    kendall: float | None


@dataclass(frozen=True)
class Recovery:
    """How a circuit finds the edges and nodes of a reference. An edge that one of them lacks is never a true positive.

    Attributes:
        name: The circuit.
        true_positives, false_positives, false_negatives: Edges that both keep, that only the circuit keeps, that only
            the reference keeps.
        precision: Share of the circuit's edges that are the reference's; None where it keeps none.
        recall: Share of the reference's edges that the circuit keeps; None where there are none.
        false_positive_rate: Share of the other edges of the graph that the circuit keeps.
        node_precision, node_recall: The same of the nodes that touch a kept edge.
        roc_auc: See `roc_auc`, by signed score; of the mask alone where the circuit has no scores.
        roc_auc_absolute: The same by size of score.
    """

    name: str
    true_positives: int
    false_positives: int
    false_negatives: int
    precision: float | None
    recall: float | None
    false_positive_rate: float | None
    node_precision: float | None
    node_recall: float | None
    roc_auc: float | None
    roc_auc_absolute: float | None


@dataclass(frozen=True)
class Comparison:
    """What `compare_circuits` found.

    Attributes:
        circuits: The compared circuits by name.
        pairs: Each two of them.
        core, optional: Edges in every circuit, and in some but not in all.
        reference: The circuit that the others are held against, if any.
        recovery: Of each other circuit.
    """

    circuits: Mapping[str, Circuit]
    pairs: tuple[Pair, ...]
    core: Bool[Tensor, "src dst"] = field(repr=False)
    optional: Bool[Tensor, "src dst"] = field(repr=False)
    reference: str | None
    recovery: tuple[Recovery, ...]

    @property
    def graph(self) -> Graph:
        """The graph that all are circuits of."""
        return next(iter(self.circuits.values())).graph

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
        graph, groups = self.graph, edge_groups(self.circuits)
        names = [graph.edge_name(i, j) for i, j in zip(rows.tolist(), columns.tolist(), strict=True)]
        destinations = [graph.destinations[j] for j in columns.tolist()]
        frame = pd.DataFrame(
            {
                "edge": names,
                "src": [graph.sources[i] for i in rows.tolist()],
                "dst": [graph.node_of(dst) for dst in destinations],
                "input": [input_of(dst) for dst in destinations],
                "group": [groups[name] for name in names],
                "n_circuits": sum(circuit.mask[rows, columns].int() for circuit in self.circuits.values()),
            }
        )
        for name, circuit in self.circuits.items():
            frame[f"kept: {name}"] = circuit.mask[rows, columns].numpy()
            frame[f"score: {name}"] = math.nan if circuit.scores is None else circuit.scores[rows, columns].numpy()
        return frame


def compare_circuits(circuits: Mapping[str, Circuit], *, reference: str | None = None) -> Comparison:
    """Hold circuits of one graph against each other.

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
    (first, one), *others = circuits.items()
    for name, other in others:
        if other.graph != one.graph:
            shapes = " and ".join(f"{c.graph.shape} of width {c.graph.d_model}" for c in (one, other))
            raise CircuitError(f"{first!r} and {name!r} are of different models, so they can't be compared: {shapes}")
    if reference is not None and reference not in circuits:
        raise unknown_name("reference", reference, circuits)
    masks = torch.stack([circuit.mask for circuit in circuits.values()])
    core = masks.all(0)
    return Comparison(
        circuits=dict(circuits),
        pairs=tuple(_pair(a, circuits[a], b, circuits[b]) for a, b in combinations(circuits, 2)),
        core=core,
        optional=masks.any(0) & ~core,
        reference=reference,
        recovery=tuple(
            _recovery(name, circuit, circuits[reference]) for name, circuit in circuits.items() if name != reference
        )
        if reference is not None
        else (),
    )


def edge_groups(circuits: Mapping[str, Circuit]) -> dict[str, str]:
    """For each edge that a circuit keeps: `in all`, `only NAME`, or, among three or more, `in several`."""
    names = list(circuits)
    masks = torch.stack([circuit.mask for circuit in circuits.values()])
    graph, counts = next(iter(circuits.values())).graph, masks.int().sum(0)
    groups = {}
    for i, j in counts.nonzero().tolist():
        one = f"only {names[int(masks[:, i, j].int().argmax())]}"
        several = "in all" if counts[i, j] == len(names) else "in several"
        groups[graph.edge_name(i, j)] = one if counts[i, j] == 1 else several
    return groups


def _pair(a: str, first: Circuit, b: str, second: Circuit) -> Pair:
    mine, theirs = first.mask, second.mask
    shared = int((mine & theirs).sum())
    smaller = min(first.n_edges, second.n_edges)
    n_scored, spearman, kendall = _correlations(first, second)
    return Pair(
        a=a,
        b=b,
        n_shared=shared,
        n_only_a=int((mine & ~theirs).sum()),
        n_only_b=int((theirs & ~mine).sum()),
        jaccard=_jaccard(shared, int((mine | theirs).sum())),
        overlap=shared / smaller if smaller else None,
        node_jaccard=_jaccard(len({*first.nodes} & {*second.nodes}), len({*first.nodes} | {*second.nodes})),
        n_scored=n_scored,
        spearman=spearman,
        kendall=kendall,
    )


def _jaccard(shared: int, either: int) -> float:
    return shared / either if either else 1.0


def _correlations(first: Circuit, second: Circuit) -> tuple[int, float | None, float | None]:
    """Over how many edges, Spearman's rho and Kendall's tau-b."""
    from scipy.stats import kendalltau, rankdata, spearmanr

    if first.scores is None or second.scores is None:
        return 0, None, None
    both = ~first.scores.isnan() & ~second.scores.isnan()
    x, y = first.scores[both].numpy(), second.scores[both].numpy()
    if len(x) < 2 or len(np.unique(x)) < 2 or len(np.unique(y)) < 2:
        return len(x), None, None
    x, y = rankdata(x), rankdata(y)  # infinite scores have ranks too
    return len(x), float(spearmanr(x, y).statistic), float(kendalltau(x, y).statistic)


def _recovery(name: str, circuit: Circuit, reference: Circuit) -> Recovery:
    mine, wanted = circuit.mask, reference.mask
    found = int((mine & wanted).sum())
    nodes, wanted_nodes = {*circuit.nodes}, {*reference.nodes}
    others = circuit.graph.n_edges - reference.n_edges
    return Recovery(
        name=name,
        true_positives=found,
        false_positives=circuit.n_edges - found,
        false_negatives=reference.n_edges - found,
        precision=_share(found, circuit.n_edges),
        recall=_share(found, reference.n_edges),
        false_positive_rate=_share(circuit.n_edges - found, others),
        node_precision=_share(len(nodes & wanted_nodes), len(nodes)),
        node_recall=_share(len(nodes & wanted_nodes), len(wanted_nodes)),
        roc_auc=roc_auc(circuit, wanted),
        roc_auc_absolute=roc_auc(circuit, wanted, absolute=True),
    )


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
