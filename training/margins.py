"""How far the true edges of a compiled model with noise stand out, measured by exact knock-outs.

The definition of truth that is measured: an edge is true if, in the whole model or in that without some backups, the
answer needs it or it works against the answer. Of backups any one is enough, so an edge on the way through one of them
shows what it does only where the others are out.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float64
from torch import Tensor

from acdc import Circuit, PatchableModel
from acdc.evaluation.knockouts import edges_of_node, knock_out_edges
from acdc.patching.problem import Problem
from acdc.task import load_task

__all__ = ["Margins", "largest_effects", "margins"]


class Margins(NamedTuple):
    """The least effect of a true edge, and the largest of another, in the metric's unit."""

    true: float
    other: float


N, SEED = 20, 0  # prompts


def margins(folder: Path, truth: Circuit, metric: str, backups: Sequence[str]) -> Margins:
    """Both, of the model in a folder, in float64."""
    model = PatchableModel.from_pretrained(str(folder), dtype="float64")
    batch = load_task(truth.provenance["task"]).batch(model.tokenizer, N, SEED)
    effects = largest_effects(Problem.make(model, batch, metric=metric), backups)
    return Margins(effects[truth.mask].min().item(), effects[model.graph.edges_mask & ~truth.mask].max().item())


def largest_effects(problem: Problem, backups: Sequence[str]) -> Float64[Tensor, "src dst"]:
    """The size of each edge's effect when it alone is removed: the largest over the whole model and, for each backup,
    the model without all others."""
    whole = problem.model.graph.edges_mask
    largest = torch.zeros(whole.shape, dtype=torch.float64)
    for removed in _contexts(backups):
        mask = whole.clone()
        for node in removed:
            mask &= ~edges_of_node(problem, node)
        largest = largest.maximum(knock_out_edges(problem, mask).effects.abs().nan_to_num(nan=0))
    return largest


def _contexts(backups: Sequence[str]) -> Iterator[tuple[str, ...]]:
    yield ()
    for left in backups:
        yield tuple(node for node in backups if node != left)
