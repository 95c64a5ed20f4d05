"""Subnetwork probing: a mask over the nodes, learned by gradient descent (Cao et al. 2021).

Every head, every MLP has one hard-concrete gate, and the input and the logits always stay. A closed node writes its
ablated output, as in Conmy et al. 2023, who compare the method so; the circuit is every edge between two open nodes.
Nothing is left to prune: an edge joins the input to every open node, and each of these to the logits.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import torch
from jaxtyping import Bool, Float64
from torch import Tensor

from acdc.circuits.graph import Graph
from acdc.discovery.attribution.scores import EdgeScores
from acdc.discovery.cautions import cautions
from acdc.discovery.checkpoint import Checkpoint
from acdc.discovery.masks.descent import Schedule
from acdc.discovery.masks.sparsity import L0Penalty, Lagrangian
from acdc.discovery.masks.start import COLD, START_SPARSITY, Start, starting_log_odds, starting_scores, with_cost_of
from acdc.discovery.masks.training import train
from acdc.discovery.method import Method
from acdc.discovery.result import DiscoveryResult
from acdc.errors import RunError
from acdc.options.defaults import MASKED_MEMORY
from acdc.options.ranges import Bytes, Count, Learning, Part, Range, Steps, checked
from acdc.patching.problem import Problem
from acdc.progress import Progress

__all__ = ["METHOD", "NodeGates", "subnetwork_probing"]

L0_PENALTY = 0.01  # where neither a penalty nor a number is given
MULTIPLIER_LR = 0.5  # as edge pruning's
Penalty = Annotated[float, Range(0)]


def subnetwork_probing(
    problem: Problem,
    *,
    l0_penalty: Penalty | None = None,
    n_nodes: Count | None = None,
    steps: Steps = 400,
    warmup: Part = 0.5,
    lr: Learning = 0.1,
    batch_size: Count = 16,
    patience: Steps | None = 100,
    start: Start = COLD,
    start_sparsity: Part = START_SPARSITY,
    match: bool = False,
    memory: Bytes = MASKED_MEMORY,
    checkpoint: Checkpoint | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> DiscoveryResult:
    """Find a circuit of whole nodes by subnetwork probing.

    Args:
        l0_penalty: What an open node costs, in the metric's unit: the loss is `metric + l0_penalty · expected number
            of open nodes`; 0.01 if neither this nor `n_nodes` is given. A head or MLP tends to stay where it lowers the
            loss by more than this.
        n_nodes: Number of heads and MLPs to keep, instead of `l0_penalty`; a Lagrangian leads to it, as in edge
            pruning.
        steps: Most steps (the papers took thousands).
        warmup: Share of the steps in which the penalty rises to its value, or the number falls to the one wanted.
        lr: Adam's learning rate of the gates (the papers took 0.001 with their thousands of steps).
        batch_size: Prompts a step.
        patience: Stop when the warm-up is over, the number is met, and the loss hasn't fallen for so many steps; none
            for never.
        start: What the gates start from: none (all open alike), a scorer's name, or a run's folder or a circuit's file
            with scores. A node's score is the sum of those of its outgoing edges; see edge pruning.
        start_sparsity: Share of the gates that are expected to be closed at a start from scores.
        match: Bring the metric as near to the model's as can be on each prompt, instead of as far to its better side as
            can be. With kl they are the same.
        memory: About how many bytes a step may keep for its backward pass.

    Returns:
        The edges between open nodes: those of positive log odds, or the `n_nodes` of the highest. An edge's score is
        the gate value of the less open one of its two nodes, `sigmoid(log odds)`; NaN for `input->logits`, whose ends
        have no gate. Scores rank; they are no effects in the metric's unit. Claims: `target_met` with `n_nodes`;
        `n_open`, the number of nodes with positive log odds.

    Raises:
        RunError: An option is out of range, or the loss becomes NaN.

    Reference:
        Cao et al. 2021, Low-Complexity Probing via Finding Subnetworks (arXiv 2104.03514); Conmy et al. 2023
        (arXiv 2304.14997), section 4.
    """
    graph = problem.graph
    gates = NodeGates(graph)
    checked("warmup", Part, warmup)
    size = _sparsity(gates, l0_penalty, n_nodes, int(warmup * steps))
    schedule = Schedule(steps, lr, MULTIPLIER_LR, batch_size, patience, memory)
    scores = starting_scores(problem, start, progress)
    first = starting_log_odds(gates.n, gates.sizes(scores), start_sparsity)
    trained = train(problem, gates, first, size, schedule, match=match, checkpoint=checkpoint, progress=progress)
    n_open = int((trained.log_alpha > 0).sum())
    best = trained.log_alpha.argsort(descending=True, stable=True)[: n_open if n_nodes is None else n_nodes]
    kept = torch.zeros(gates.n, dtype=torch.bool)
    kept[best] = True
    mask = gates.mask(kept)
    told = cautions(problem, mask, more="lower l0_penalty, or give n_nodes", less="raise l0_penalty, or give n_nodes")
    return DiscoveryResult(
        mask=mask,
        scores=gates.log_odds(trained.log_alpha).sigmoid(),
        score_kind="gate",
        cost=with_cost_of(scores, trained.cost),
        guarantees={"n_open": n_open} | ({} if n_nodes is None else {"target_met": trained.met}),
        warnings=told,
    )


def _sparsity(gates: "NodeGates", l0_penalty: float | None, n_nodes: int | None, warmup: int) -> L0Penalty | Lagrangian:
    """What closes nodes.

    Raises:
        RunError: Both are given, or one is out of range.
    """
    if l0_penalty is not None and n_nodes is not None:
        raise RunError("give l0_penalty or n_nodes, not both: each says how small the circuit is to be")
    if n_nodes is not None:
        if not 1 <= n_nodes <= gates.n:
            raise RunError(f"n_nodes must be between 1 and the model's {gates.n} heads and MLPs, not {n_nodes!r}")
        return Lagrangian([1 - n_nodes / gates.n], warmup)
    each = L0_PENALTY if l0_penalty is None else checked("l0_penalty", Penalty, l0_penalty)
    return L0Penalty(each, float(gates.n), warmup)


@dataclass(frozen=True)
class NodeGates:
    """A gate for each head and MLP, at each span, in the order of the sites; an edge's weight is its source's gate."""

    graph: Graph

    @property
    def n(self) -> int:
        """Number of gates."""
        return len(self.graph.sites) - self.graph.n_spans

    @property
    def totals(self) -> Float64[Tensor, " kinds"]:
        """Number of heads and MLPs, at each span."""
        return torch.tensor([self.n], dtype=torch.float64)

    def weights(self, gates: Float64[Tensor, "*n gates"]) -> Float64[Tensor, "*n src dst"]:
        """Each source's gate on all its edges; 1 for the input, 0 where there is no edge."""
        return self.graph.at_sites(self._with_input(gates, 1.0)) * self.graph.edges_mask

    def open(self, p: Float64[Tensor, " gates"]) -> Float64[Tensor, " kinds"]:
        """Expected number of open heads and MLPs."""
        return p.sum()[None]

    def mask(self, kept: Bool[Tensor, " gates"]) -> Bool[Tensor, "src dst"]:
        """The edges between kept nodes, input and logits included."""
        sites = self._with_input(kept, 1.0)
        return self.graph.edges_mask & self.graph.at_sites(sites) & self._by_destination(sites, 1.0)[None, :]

    def log_odds(self, log_alpha: Float64[Tensor, " gates"]) -> Float64[Tensor, "src dst"]:
        """The lower of the log odds of an edge's two nodes; NaN where neither has a gate and where there is no edge."""
        sites = self._with_input(log_alpha, torch.inf)
        lower = torch.minimum(self.graph.at_sites(sites), self._by_destination(sites, torch.inf)[None, :])
        return lower.masked_fill(~self.graph.edges_mask | lower.isinf(), torch.nan)

    def sizes(self, scores: EdgeScores | None) -> Float64[Tensor, " gates"] | None:
        """How large the nodes' scores are. Of attributions, the sum over a node's edges is its first-order effect."""
        if scores is None:
            return None
        return self.graph.by_span(scores.scores.cpu().double())[1:].nansum(1).abs().flatten()

    def _with_input(self, gates: Tensor, value: float) -> Tensor:
        """The sites' values, of which the input's have no gate."""
        return torch.cat([gates.new_full((*gates.shape[:-1], self.graph.n_spans), value), gates], -1)

    def _by_destination(self, sites: Tensor, of_logits: float) -> Tensor:
        """Each destination's own node's value: of a key or value the largest, of all spans that attend to it."""
        end = sites.new_tensor(of_logits)
        return torch.stack([sites[list(read)].max() if read else end for read in self.graph.sites_of_dst])


METHOD = Method(
    "subnetwork-probing",
    "a mask over the nodes, learned by descent",
    "Cao et al. 2021",
    subnetwork_probing,
    faster="nap-ig",
    engines=("weighted",),
    noising_only=True,
)
