"""Would other prompts have given another circuit? Inclusion frequencies of edges over repeated discoveries."""

import itertools
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from jaxtyping import Bool, Float64
from torch import Tensor

from acdc.circuits.graph import Graph
from acdc.circuits.overlap import jaccard
from acdc.errors import CircuitError
from acdc.options.defaults import ABLATION
from acdc.patching.problem import Problem

__all__ = ["HasMask", "Stability", "rediscover", "resampled", "stability"]

CORE = 0.9


class HasMask(Protocol):
    """What a discovery gives back, as far as this module reads it."""

    @property
    def mask(self) -> Tensor:
        """The kept edges."""
        ...


@dataclass(frozen=True)
class Stability:
    """How circuits of the same task differ.

    Attributes:
        frequency: Share of the circuits that keep each edge.
        always, core, optional: Edges in all circuits; in at least 90% of them; in some, but fewer than 90%.
        jaccard: Mean over pairs of |A & B| / |A | B|; .8 and more is called stable. None for a single circuit.
        least_jaccard: The smallest of them.
        sizes: Edges of each circuit.
    """

    frequency: Float64[Tensor, "src dst"]
    always: tuple[str, ...]
    core: tuple[str, ...]
    optional: tuple[str, ...]
    jaccard: float | None
    least_jaccard: float | None
    sizes: tuple[int, ...]


def stability(graph: Graph, masks: Sequence[Bool[Tensor, "src dst"]]) -> Stability:
    """Compare circuits that were found on different prompts or with different seeds.

    Raises:
        CircuitError: There are none.
    """
    if not masks:
        raise CircuitError("stability needs at least one circuit")
    counts = torch.stack([mask.cpu() for mask in masks]).sum(0)
    frequency, core = counts.double() / len(masks), counts >= CORE * len(masks)
    pairs = [jaccard(a, b) for a, b in itertools.combinations(masks, 2)]
    return Stability(
        frequency=frequency,
        always=tuple(graph.edge_names(counts == len(masks))),
        core=tuple(graph.edge_names(core)),
        optional=tuple(graph.edge_names((counts > 0) & ~core)),
        jaccard=sum(pairs) / len(pairs) if pairs else None,
        least_jaccard=min(pairs) if pairs else None,
        sizes=tuple(int(mask.sum()) for mask in masks),
    )


def rediscover(
    problems: Iterable[Problem],
    discover: Callable[[Problem], HasMask],
    *,
    progress: Callable[[int], None] | None = None,
) -> list[Bool[Tensor, "src dst"]]:
    """The circuits that a method finds in each of these problems.

    Args:
        problems: Made one after another, when the one before is done.
        discover: The method; anything that has a `mask` will do as its result.
        progress: Told how many are done.
    """
    masks: list[Tensor] = []
    for problem in problems:
        masks.append(discover(problem).mask)
        if progress is not None:
            progress(len(masks))
    return masks


def resampled(problem: Problem, seed: int, *, ablation: str = ABLATION) -> Problem:
    """The same problem on as many of its prompts, drawn with replacement: a bootstrap sample.

    Args:
        ablation: What removed edges carry: the problem's own kind.
    """
    rng = random.Random(f"resampled {seed}")
    n = problem.batch.n_pairs
    batch = problem.batch.select_pairs([rng.randrange(n) for _ in range(n)])
    return Problem.make(
        problem.model,
        batch,
        metric=problem.objective.metric,
        ablation=ablation,
        seed=seed,
        learned=problem.ablated.learned,
        ranks=problem.ranks,
    )
