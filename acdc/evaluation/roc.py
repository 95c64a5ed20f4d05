"""How well a circuit's ranking of the edges puts those of a reference first: one order and one area for all."""

import math

import numpy as np
import torch
from jaxtyping import Bool, Float64
from torch import Tensor

from acdc.circuits.circuit import Circuit

__all__ = ["edge_ranks", "roc_auc"]


def edge_ranks(circuit: Circuit, *, absolute: bool = False) -> Float64[np.ndarray, " edges"]:
    """Each edge's place in the circuit's ranking, row by row of the mask: the higher, the surer; ties share their mean.

    Edges rank by score. Those that weren't measured (NaN) tie with each other, above all measured ones where they are
    kept, and below them where they are removed: what a circuit never looked at is no discovery of its.

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
        CircuitError: The reference keeps pairs that are no edges of the graph.
    """
    circuit.graph.check_mask(reference)
    ranks, positives = edge_ranks(circuit, absolute=absolute), reference[circuit.graph.edges_mask].numpy()
    n, m = int(positives.sum()), int((~positives).sum())
    if not n or not m:
        return None
    return float((ranks[positives].sum() - n * (n + 1) / 2) / (n * m))
