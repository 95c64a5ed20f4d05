"""Edge pruning: a mask over all edges, learned by gradient descent (Bhaskar et al. 2024).

Every edge has a hard-concrete gate. The circuit's loss is minimised over the gates while a Lagrangian's multipliers
lead the expected share of closed ones to a target that rises from what it is at the start. Afterwards the edges are
ranked by their gates' log odds, and exactly as many as wanted are kept.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float64
from torch import Tensor
from torch.nn.functional import logsigmoid

from acdc.circuits.graph import Graph
from acdc.circuits.ranking import first_edges, ranked_edges
from acdc.discovery.attribution.scores import EdgeScores
from acdc.discovery.cautions import cautions
from acdc.discovery.checkpoint import Checkpoint
from acdc.discovery.masks.descent import Schedule
from acdc.discovery.masks.sparsity import Lagrangian
from acdc.discovery.masks.start import COLD, START_SPARSITY, Start, starting_log_odds, starting_scores, with_cost_of
from acdc.discovery.masks.training import train
from acdc.discovery.method import Method
from acdc.discovery.result import DiscoveryResult
from acdc.discovery.selection.take import take
from acdc.errors import RunError
from acdc.options.defaults import MASKED_MEMORY
from acdc.options.ranges import Bytes, Count, Learning, Part, Steps, checked
from acdc.patching.problem import Problem
from acdc.progress import Progress

__all__ = ["METHOD", "EdgeGates", "edge_pruning"]

SPARSITY = 0.95  # where no target is given


def edge_pruning(
    problem: Problem,
    *,
    sparsity: Part | None = None,
    n_edges: Count | None = None,
    node_sparsity: Part | None = None,
    steps: Steps = 400,
    warmup: Part = 0.8,
    lr: Learning = 0.1,
    multiplier_lr: Learning = 0.5,
    batch_size: Count = 16,
    patience: Steps | None = 100,
    start: Start = COLD,
    start_sparsity: Part = START_SPARSITY,
    match: bool = False,
    prune: bool = True,
    memory: Bytes = MASKED_MEMORY,
    checkpoint: Checkpoint | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> DiscoveryResult:
    """Find a circuit of a given size by edge pruning.

    Args:
        sparsity: Share of the model's edges to remove; 0.95 if neither this nor `n_edges` is given.
        n_edges: Number of edges to keep, instead of `sparsity`.
        node_sparsity: Share of the nodes to close by gates of their own, which an edge's gate is multiplied with (the
            paper used 0.72); none for no gates of nodes.
        steps: Most steps (the paper took 3000).
        warmup: Share of the steps in which the target rises (in the paper 5/6).
        lr: Adam's learning rate of the gates (in the paper 0.8).
        multiplier_lr: Adam's learning rate of the multipliers (in the paper 0.8).
        batch_size: Prompts a step (the paper took 32).
        patience: Stop when the target is met and the loss hasn't fallen for so many steps; none for never.
        start: What the gates start from: none (all open alike), a scorer's name, or a run's folder or a circuit's file
            with scores. By scores, the probability that a gate is open rises with the rank of the score's size.
        start_sparsity: Share of the gates that are expected to be closed at a start from scores, or the one that is
            wanted where that is less.
        match: Bring the metric as near to the model's as can be on each prompt, instead of as far to its better side as
            can be. With kl they are the same.
        prune: Keep only edges on a path from the input to the logits; so many of the ranking are looked at.
        memory: About how many bytes a step may keep for its backward pass.

    Returns:
        As many edges as wanted. Scores are the gates' learned values,
        `sigmoid(log odds)`: near 1 where the loss at this size speaks for the edge, near 0 where nothing does. They
        rank; they are no effects in the metric's unit. Claims: `target_met` (the expected share of closed gates came
        within 0.01 of the target), `n_open`, the number of edges with positive log odds, which the target would have
        left without the ranking.

    Raises:
        RunError: An option is out of range, or the loss becomes NaN.
        UnknownNameError: There is no such scorer.

    Reference:
        Bhaskar et al. 2024, Finding Transformer Circuits with Edge Pruning (arXiv 2406.16778), section 3.
    """
    graph = problem.graph
    wanted = _wanted(graph, sparsity, n_edges)
    checked("warmup", Part, warmup)
    schedule = Schedule(steps, lr, multiplier_lr, batch_size, patience, memory)
    targets = [1 - wanted / graph.n_edges]
    if node_sparsity is not None:
        targets.append(checked("node_sparsity", Part, node_sparsity))
    gates = EdgeGates(graph, with_nodes=node_sparsity is not None)
    scores = starting_scores(problem, start, progress)
    first = starting_log_odds(gates.n, gates.sizes(scores), min(start_sparsity, targets[0]))
    size = Lagrangian(targets, warmup=int(warmup * steps))
    trained = train(problem, gates, first, size, schedule, match=match, checkpoint=checkpoint, progress=progress)
    log_odds = gates.log_odds(trained.log_alpha)
    order = ranked_edges(graph, log_odds, signed=True)
    taken = take(graph, order, wanted, from_input=problem.ablated.coherent) if prune else None
    mask = first_edges(graph, order, wanted) if taken is None else taken.mask
    return DiscoveryResult(
        mask=mask,
        scores=log_odds.sigmoid(),
        score_kind="gate",
        cost=with_cost_of(scores, trained.cost),
        guarantees={"target_met": trained.met, "n_open": int((log_odds > 0).sum())},
        diagnostics={} if taken is None else {"edges_gone_through": taken.gone_through},
        warnings=cautions(problem, mask, more="ask for more edges", less="ask for fewer edges (n_edges, sparsity)"),
    )


def _wanted(graph: Graph, sparsity: float | None, n_edges: int | None) -> int:
    """The number of edges to keep.

    Raises:
        RunError: Both are given, or one is out of range.
    """
    if sparsity is not None and n_edges is not None:
        raise RunError("give sparsity or n_edges, not both: each says how many edges to keep")
    if n_edges is not None:
        if not 1 <= n_edges <= graph.n_edges:
            raise RunError(f"n_edges must be between 1 and the model's {graph.n_edges:,} edges, not {n_edges!r}")
        return n_edges
    sparsity = SPARSITY if sparsity is None else checked("sparsity", Part, sparsity)
    return max(1, round((1 - sparsity) * graph.n_edges))


@dataclass(frozen=True)
class EdgeGates:
    """A gate for each edge, in the order of the mask's rows, and, if `with_nodes`, one for each source at each span.

    An edge's weight is its gate, times its source's.
    """

    graph: Graph
    with_nodes: bool = False

    @property
    def n(self) -> int:
        """Number of gates."""
        return self.graph.n_edges + (len(self.graph.sites) if self.with_nodes else 0)

    @property
    def totals(self) -> Float64[Tensor, " kinds"]:
        """Numbers of edges and, if they have gates, of sources."""
        numbers = [self.graph.n_edges, len(self.graph.sites)] if self.with_nodes else [self.graph.n_edges]
        return torch.tensor(numbers, dtype=torch.float64)

    def weights(self, gates: Float64[Tensor, "*n gates"]) -> Float64[Tensor, "*n src dst"]:
        """The gates as weights; 0 where there is no edge."""
        edges, nodes = self._split(gates)
        return edges if nodes is None else edges * nodes

    def open(self, p: Float64[Tensor, " gates"]) -> Float64[Tensor, " kinds"]:
        """Expected numbers of open edges and, if they have gates, of open sources."""
        edges, nodes = self._split(p)
        if nodes is None:
            return edges.sum()[None]
        return torch.stack([(edges * nodes).sum(), p[self.graph.n_edges :].sum()])

    def log_odds(self, log_alpha: Float64[Tensor, " gates"]) -> Float64[Tensor, "src dst"]:
        """Log odds that an edge's gate, and its source's, are open: positive where more likely than not."""
        edges, nodes = self._split(log_alpha)
        if nodes is not None:
            log_p = logsigmoid(edges) + logsigmoid(nodes)
            edges = log_p - torch.log(-torch.expm1(log_p))
        return edges.masked_fill(~self.graph.edges_mask, torch.nan)

    def sizes(self, scores: EdgeScores | None) -> Float64[Tensor, " edges"] | None:
        """How large the edges' scores are, for a start from them: the size, not the sign, because an edge whose removal
        is thought to help matters too while others are removed. Sources' own gates have none."""
        return None if scores is None else scores.scores.cpu()[self.graph.edges_mask].abs().double()

    def _split(
        self, gates: Float64[Tensor, "*n gates"]
    ) -> tuple[Float64[Tensor, "*n src dst"], Float64[Tensor, "*n src dst"] | None]:
        """The edges' own as a matrix, and their sources'."""
        mask, of_edges = self.graph.edges_mask, gates[..., : self.graph.n_edges]
        mask = mask.expand(*gates.shape[:-1], *mask.shape)
        edges = torch.zeros(mask.shape, dtype=gates.dtype).masked_scatter(mask, of_edges)
        return edges, self.graph.at_sites(gates[..., self.graph.n_edges :]) if self.with_nodes else None


METHOD = Method(
    "edge-pruning",
    "a mask over all edges, learned by descent",
    "Bhaskar et al. 2024",
    edge_pruning,
    faster="eap-ig-inputs",
    engines=("weighted",),
    noising_only=True,
)
