"""Controls: scores that know nothing of the task, to compare a scorer or a circuit with.

`random` draws every score. `degree_matched` shuffles given scores among edges of one class: the same kind and layer of
source (input, heads of a layer, MLP of a layer) and of destination (q, k or v of a layer's heads, its MLP, the logits).
So as many edges of every class stay above any threshold; only which heads they join is drawn.
"""

import math
from collections.abc import Callable

import torch
from jaxtyping import Shaped
from torch import Tensor

from acdc.circuits.graph import Graph, input_of, kind_of
from acdc.discovery.attribution.scores import EdgeScores
from acdc.patching.problem import Problem
from acdc.progress import Progress

__all__ = ["random_scores", "shuffled"]


def random_scores(problem: Problem, *, progress: Callable[[Progress], None] | None = None) -> EdgeScores:
    """Score every edge by a number drawn evenly from 0 to 1; the run's seed decides."""
    graph = problem.model.graph
    generator = torch.Generator().manual_seed(problem.seed)
    scores = torch.rand(graph.n_src, graph.n_dst, generator=generator, dtype=torch.float64)
    cost = {"forward_passes": 0, "backward_passes": 0}
    return EdgeScores(scores.masked_fill(~graph.edges_mask, math.nan), "none", cost)


def shuffled(graph: Graph, values: Shaped[Tensor, "src dst"], *, seed: int = 0) -> Shaped[Tensor, "src dst"]:
    """Scores or a mask, shuffled within each class of edges: a circuit of the same number of edges in every class."""
    generator = torch.Generator().manual_seed(seed)
    classes: dict[tuple[object, ...], list[tuple[int, int]]] = {}
    starts = [(kind_of(name), graph.layer_of(name)) for name in graph.sources]
    ends = [(kind_of(name), input_of(name), graph.layer_of(name)) for name in graph.destinations]
    for i, j in graph.edges_mask.nonzero().tolist():
        classes.setdefault((*starts[i], *ends[j]), []).append((i, j))
    out = values.clone()
    for edges in classes.values():
        rows, columns = torch.tensor(edges).T
        out[rows, columns] = values[rows, columns][torch.randperm(len(edges), generator=generator)]
    return out
