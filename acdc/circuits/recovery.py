"""How well a circuit finds a reference: precision and recall of its edges and nodes, and ROC AUC of its ranking.

An edge or node that one of the two lacks is never a hit.
"""

import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float64
from torch import Tensor

from acdc.circuits.circuit import Circuit

__all__ = ["Hits", "Recovery", "auc_of_ranks", "edge_hits", "edge_ranks", "node_hits", "recovery_of", "roc_auc"]


class Hits(NamedTuple):
    """How many of the things found are among those wanted."""

    true_positives: int
    false_positives: int
    false_negatives: int

    @property
    def precision(self) -> float | None:
        """Share of what was found that is wanted, 0 to 1; None where nothing was found."""
        return _share(self.true_positives, self.true_positives + self.false_positives)

    @property
    def recall(self) -> float | None:
        """Share of what is wanted that was found, 0 to 1; None where nothing is wanted."""
        return _share(self.true_positives, self.true_positives + self.false_negatives)


def edge_hits(found: Bool[Tensor, "src dst"], wanted: Bool[Tensor, "src dst"]) -> Hits:
    """The hits among a circuit's edges."""
    return Hits(int((found & wanted).sum()), int((found & ~wanted).sum()), int((wanted & ~found).sum()))


def node_hits(found: Collection[str], wanted: Collection[str]) -> Hits:
    """The hits among nodes."""
    mine, theirs = set(found), set(wanted)
    return Hits(len(mine & theirs), len(mine - theirs), len(theirs - mine))


@dataclass(frozen=True)
class Recovery:
    """How a circuit finds the edges and nodes of a reference.

    Attributes:
        name: The circuit.
        true_positives, false_positives, false_negatives: Edges that both keep, that only the circuit keeps, that only
            the reference keeps.
        precision, recall: See `Hits`, of edges.
        false_positive_rate: Share of the graph's other edges that the circuit keeps; None where the reference has all.
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


def recovery_of(name: str, circuit: Circuit, reference: Circuit) -> Recovery:
    """How a circuit of this name finds a reference of the same graph."""
    edges, nodes = edge_hits(circuit.mask, reference.mask), node_hits(circuit.nodes, reference.nodes)
    return Recovery(
        name=name,
        **edges._asdict(),
        precision=edges.precision,
        recall=edges.recall,
        false_positive_rate=_share(edges.false_positives, circuit.graph.n_edges - reference.n_edges),
        node_precision=nodes.precision,
        node_recall=nodes.recall,
        roc_auc=roc_auc(circuit, reference.mask),
        roc_auc_absolute=roc_auc(circuit, reference.mask, absolute=True),
    )


def edge_ranks(circuit: Circuit, *, absolute: bool = False) -> Float64[np.ndarray, " edges"]:
    """Each edge's place in the circuit's ranking, row by row of the mask: the higher, the surer; ties share their mean.

    Edges rank by score. Those that weren't measured (NaN) tie with each other, above all measured ones where they are
    kept, and below them where they are removed: what a circuit never looked at it has not discovered.

    Args:
        circuit: The circuit; one without scores ranks by its mask alone.
        absolute: Rank by the size of the score.
    """
    from scipy.stats import rankdata

    where = circuit.graph.edges_mask
    kept = circuit.mask[where]
    values = torch.full(kept.shape, math.nan, dtype=torch.float64) if circuit.scores is None else circuit.scores[where]
    values = values.abs() if absolute else values
    # three tiers rather than infinities at the ends, since a measured score may be infinite itself
    tier = torch.where(values.isnan(), torch.where(kept, 2.0, 0.0), 1.0)
    _, places = np.unique(torch.stack([tier, values.nan_to_num(0.0, math.inf, -math.inf)]), axis=1, return_inverse=True)
    return np.asarray(rankdata(places.reshape(-1)), dtype=np.float64)


def roc_auc(circuit: Circuit, reference: Bool[Tensor, "src dst"], *, absolute: bool = False) -> float | None:
    """The area under the ROC curve of a circuit's ranking of all the graph's edges against a reference.

    `P(an edge of the reference ranks above another edge) + P(they tie) / 2`: the share of such pairs of edges, by Mann
    and Whitney's U, `(Σ ranks of the reference's edges - n (n + 1) / 2) / (n m)`. `edge_ranks` says how edges rank.

    Args:
        reference: `[src, dst]`, True at the edges to be found.
        absolute: Rank by the size of the score.

    Returns:
        0 to 1, 0.5 by chance; None where the reference has no edge or every one.

    Raises:
        CircuitError: The reference keeps pairs that are not edges of the graph.
    """
    circuit.graph.check_mask(reference)
    return auc_of_ranks(edge_ranks(circuit, absolute=absolute), reference[circuit.graph.edges_mask].numpy())


def auc_of_ranks(ranks: Float64[np.ndarray, " things"], positives: Bool[np.ndarray, " things"]) -> float | None:
    """The area under the ROC curve of a ranking of any things, ties sharing their mean rank; see `roc_auc`."""
    n, m = int(positives.sum()), int((~positives).sum())
    if not n or not m:
        return None
    return float((ranks[positives].sum() - n * (n + 1) / 2) / (n * m))


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
