"""How far two circuits of one graph agree: what they share, and how alike they rank the edges."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

from acdc.circuits.circuit import Circuit

__all__ = ["Overlap", "edge_groups", "jaccard", "overlap_of", "rank_correlations"]


@dataclass(frozen=True)
class Overlap:
    """How two circuits agree.

    Attributes:
        a, b: Their names.
        n_shared, n_only_a, n_only_b: Edges that both keep, that only `a` keeps, that only `b` keeps.
        jaccard: See `jaccard`.
        overlap: Share of the smaller one's edges that the other keeps too; None where one is empty.
        node_jaccard: The Jaccard index of the nodes that touch a kept edge.
        n_scored: Edges that both measured.
        spearman, kendall: See `rank_correlations`.
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


def overlap_of(a: str, first: Circuit, b: str, second: Circuit) -> Overlap:
    """How two circuits of one graph agree, by their names."""
    n_shared, n_first, n_second = int((first.mask & second.mask).sum()), first.n_edges, second.n_edges
    smaller, nodes, others = min(n_first, n_second), {*first.nodes}, {*second.nodes}
    n_scored, spearman, kendall = rank_correlations(first, second)
    return Overlap(
        a=a,
        b=b,
        n_shared=n_shared,
        n_only_a=n_first - n_shared,
        n_only_b=n_second - n_shared,
        jaccard=jaccard(first.mask, second.mask),
        overlap=n_shared / smaller if smaller else None,
        node_jaccard=_index(len(nodes & others), len(nodes | others)),
        n_scored=n_scored,
        spearman=spearman,
        kendall=kendall,
    )


def jaccard(a: Bool[Tensor, "src dst"], b: Bool[Tensor, "src dst"]) -> float:
    """The Jaccard index `|A & B| / |A | B|`, intersection over union: 0 to 1; 1 for two empty circuits."""
    return _index(int((a & b).sum()), int((a | b).sum()))


def _index(n_shared: int, n_either: int) -> float:
    return n_shared / n_either if n_either else 1.0


def rank_correlations(first: Circuit, second: Circuit) -> tuple[int, float | None, float | None]:
    """Over how many edges that both measured, Spearman's rho and Kendall's tau-b of the signed scores, ties averaged.

    Returns:
        Correlations from -1 to 1; None where fewer than two edges are measured or all of one's scores are equal.
    """
    from scipy.stats import kendalltau, rankdata, spearmanr

    if first.scores is None or second.scores is None:
        return 0, None, None
    both = ~first.scores.isnan() & ~second.scores.isnan()
    x, y = first.scores[both].numpy(), second.scores[both].numpy()
    if len(x) < 2 or len(np.unique(x)) < 2 or len(np.unique(y)) < 2:
        return len(x), None, None
    x, y = rankdata(x), rankdata(y)  # infinite scores have ranks too
    return len(x), float(spearmanr(x, y).statistic), float(kendalltau(x, y).statistic)


def edge_groups(masks: Mapping[str, Bool[Tensor, "src dst"]]) -> dict[str, Bool[Tensor, "src dst"]]:
    """The edges that any of two or more circuits keeps, parted: `in all`, `in several` of three or more, `only NAME`.

    Args:
        masks: The circuits' masks, by name.
    """
    counts = torch.stack(list(masks.values())).sum(0)
    several = {"in all": counts == len(masks), "in several": (counts > 1) & (counts < len(masks))}
    return several | {f"only {name}": mask & (counts == 1) for name, mask in masks.items()}
