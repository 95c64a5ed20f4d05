"""Degree-matched scores: a baseline that knows how many edges of every class a scorer likes, and no more.

A scorer's scores are shuffled among edges of one class: the same kind and layer of source (input, heads of a layer, MLP
of a layer) and of destination (q, k or v of a layer's heads, its MLP, the logits), at one span. So as many edges of
every class stay above any threshold; only which heads they join is drawn.
"""

from collections.abc import Callable
from typing import Annotated

import torch
from jaxtyping import Shaped
from torch import Tensor

from acdc.circuits.graph import Graph, input_of, kind_of, span_of
from acdc.discovery.attribution.scorers import get_scorer
from acdc.discovery.attribution.scores import EdgeScores
from acdc.discovery.method import Method
from acdc.discovery.scored import Scored
from acdc.options.ranges import Checked
from acdc.patching.problem import Problem
from acdc.progress import Progress

__all__ = ["METHOD", "degree_matched", "shuffled"]


def degree_matched(
    problem: Problem,
    *,
    of: Annotated[str, Checked(get_scorer)] = "eap",
    progress: Callable[[Progress], None] | None = None,
) -> EdgeScores:
    """Shuffle a scorer's scores among edges of the same kinds and layers of source and destination.

    Args:
        of: The scorer, with its default options.

    Raises:
        UnknownNameError: There is no such scorer.
    """
    found = get_scorer(of)(problem, progress=progress)
    return EdgeScores(shuffled(problem.graph, found.scores, seed=problem.seed), "none", found.cost)


def shuffled(graph: Graph, values: Shaped[Tensor, "src dst"], *, seed: int = 0) -> Shaped[Tensor, "src dst"]:
    """Scores or a mask, shuffled within each class of edges: a circuit of the same number of edges in every class."""
    generator = torch.Generator().manual_seed(seed)
    classes: dict[tuple[object, ...], list[tuple[int, int]]] = {}
    starts = [(kind_of(name), graph.layer_of(name)) for name in graph.sources]
    ends = [(kind_of(name), input_of(name), graph.layer_of(name), span_of(name)) for name in graph.destinations]
    for i, j in graph.edges_mask.nonzero().tolist():
        classes.setdefault((*starts[i], *ends[j]), []).append((i, j))
    out = values.clone()
    for edges in classes.values():
        rows, columns = torch.tensor(edges).T
        out[rows, columns] = values[rows, columns][torch.randperm(len(edges), generator=generator)]
    return out


METHOD = Method(
    "degree-matched",
    "a scorer's scores, shuffled within layers",
    "baseline",
    Scored(degree_matched),
    at_clean=True,
    baseline=True,
)
