"""Minimality (Wang et al. 2022, section 4.3): is every node and edge of the circuit needed, if only without others?

A node or edge v is needed if some set K of nodes makes `|F(C \\ (K + v)) - F(C \\ K)|` large. With K empty that is the
knock-out effect; other sets show what backs up something else, so that each alone seems useless.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass

from jaxtyping import Bool
from torch import Tensor

from acdc.evaluation.knockouts import (
    STARTING,
    Step,
    edges_of_node,
    inner_nodes,
    knock_out_edges,
    knock_out_nodes,
    work_of_knock_outs,
)
from acdc.evaluation.numbers import Number
from acdc.evaluation.recording import AFRESH, Recorder
from acdc.patching.problem import Problem

__all__ = ["N_SETS", "Need", "Needs", "minimality", "n_knock_outs", "work_of_needs"]


N_SETS = 4  # sets of nodes, besides the empty one, without which everything is knocked out


@dataclass(frozen=True)
class Need:
    """How much a node or an edge is needed.

    Attributes:
        alone: Rise of the loss without it (K empty), in the metric's unit; positive where its removal hurts.
        largest: The largest change's size over the sets K that were tried, the empty one included.
        removed: That K.
    """

    alone: Number
    largest: Number
    removed: tuple[str, ...]


@dataclass(frozen=True)
class Needs:
    """What each node and each edge is needed for, in the problem's loss; lower bounds, since not every K is tried."""

    nodes: Mapping[str, Need]
    edges: Mapping[str, Need]
    metric: str
    n_sets: int
    n_prompts: int
    forward_passes: int


def minimality(
    problem: Problem,
    mask: Bool[Tensor, "src dst"],
    *,
    n_sets: int = N_SETS,
    seed: int = 0,
    recorder: Recorder = AFRESH,
    progress: Step | None = None,
) -> Needs:
    """Knock every node and every edge out of the circuit, whole and without each of `n_sets` random sets of nodes.

    Every effect is exact: it comes from the exact engine.

    Args:
        n_sets: Sets K besides the empty one; each node is in each with probability 1/4.
    """
    graph, done, total = problem.graph, 0, n_knock_outs(problem, mask, n_sets=n_sets, seed=seed)
    of_nodes, of_edges, passes = dict[str, Need](), dict[str, Need](), 0

    def step(now: int, _: int) -> None:
        if progress is not None:
            progress(done + now, total)

    for removed, left, nodes in _damaged(problem, mask, n_sets, seed):
        found = knock_out_edges(problem, left, recorder=recorder, progress=step)
        done += int(left.sum())
        effects, more = knock_out_nodes(problem, left, nodes, recorder=recorder, progress=step)
        done += len(nodes)
        passes += found.forward_passes + more
        for edge in left.nonzero().tolist():
            _note(of_edges, graph.edge_name(*edge), float(found.effects[tuple(edge)]), removed)
        for node, effect in effects.items():
            _note(of_nodes, node, effect, removed)
    return Needs(of_nodes, of_edges, problem.objective.metric.name, n_sets, problem.batch.n_pairs, passes)


def n_knock_outs(problem: Problem, mask: Bool[Tensor, "src dst"], *, n_sets: int = N_SETS, seed: int = 0) -> int:
    """How many edges and nodes `minimality` knocks out, all sets together."""
    return sum(int(left.sum()) + len(nodes) for _, left, nodes in _damaged(problem, mask, n_sets, seed))


def work_of_needs(problem: Problem, mask: Bool[Tensor, "src dst"], *, n_sets: int = N_SETS, seed: int = 0) -> float:
    """What these come to in masked forwards of the circuit, at most."""
    damaged = _damaged(problem, mask, n_sets, seed)
    return sum(work_of_knock_outs(problem, left, of=mask) + STARTING + len(nodes) for _, left, nodes in damaged)


def _damaged(problem: Problem, mask: Tensor, n_sets: int, seed: int) -> list[tuple[tuple[str, ...], Tensor, list[str]]]:
    """Each set K, the empty one first; the circuit without it; and the nodes that it leaves."""
    rng, nodes = random.Random(f"minimality sets {seed}"), inner_nodes(problem, mask)
    sets = [(), *(tuple(node for node in nodes if rng.random() < 0.25) for _ in range(n_sets))]
    damaged = []
    for removed in sets:
        left = mask.clone()
        for node in removed:
            left &= ~edges_of_node(problem, node)
        damaged.append((removed, left, [node for node in nodes if node not in removed]))
    return damaged


def _note(needs: dict[str, Need], name: str, effect: float, removed: tuple[str, ...]) -> None:
    """Take an effect in; the first one is that with nothing else removed."""
    before = needs.get(name)
    if before is None:
        needs[name] = Need(effect, abs(effect), removed)
    elif abs(effect) > before.largest:
        needs[name] = Need(before.alone, abs(effect), removed)
