"""NAP and NAP-IG: attribution patching of nodes.

    score[s] = Σ_{b,p} (ablated_s - clean_s) · ∂loss/∂out_s

to first order at the clean run (NAP), or with the gradient averaged over inputs between the clean and the ablated one
(NAP-IG). It is the sum of EAP's scores of the node's outgoing edges, at a smaller cost: no destination's gradient is
taken apart. Edges get the score of the weaker of their two ends, so the circuit is one of nodes: whatever joins two
kept nodes is kept. It fails as EAP does, and where a node has both useful and harmful edges, which cancel.

References: Nanda 2023, Attribution Patching; Mueller et al. 2025, MIB (arXiv 2504.13151), for NAP-IG.
"""

from collections.abc import Callable

from acdc.defaults import MEMORY
from acdc.discovery.attribution.eap import at_clean, noting
from acdc.discovery.attribution.eap_ig import InputPath, Quadrature, nodes
from acdc.discovery.attribution.nodes import lift
from acdc.discovery.attribution.scores import EdgeScores, check_gradient
from acdc.patching.gradient.attribution import node_effects
from acdc.patching.problem import Problem
from acdc.progress import Progress
from acdc.ranges import Bytes, Steps

__all__ = ["nap", "nap_ig"]


def nap(problem: Problem, *, memory: Bytes = MEMORY, progress: Callable[[Progress], None] | None = None) -> EdgeScores:
    """Score every node to first order at the clean run.

    Args:
        memory: About how many bytes gradients may take; prompts are taken in parts that fit.

    Raises:
        RunError: The metric is flat at the clean run.
    """
    check_gradient(problem, "nap")
    effects = node_effects(problem, at_clean, memory=memory, note=noting(progress, "gradients"))
    scores = lift(problem.model.graph, effects.mean(0))
    return EdgeScores(scores, "estimated effect", {"forward_passes": 2, "backward_passes": 1})


def nap_ig(
    problem: Problem,
    *,
    steps: Steps = 5,
    quadrature: Quadrature = "right",
    memory: Bytes = MEMORY,
    progress: Callable[[Progress], None] | None = None,
) -> EdgeScores:
    """Score every node by gradients averaged over inputs between the clean and the ablated one.

    Args:
        steps: Number of inputs between the two ends.
        quadrature: right (with the clean end, as EAP-IG's code sums for nodes), left (with the ablated end), midpoint
            or gauss-legendre (the most exact for its steps).
        memory: About how many bytes gradients may take; prompts are taken in parts that fit.
    """
    path = InputPath(nodes(quadrature, steps))
    effects = node_effects(problem, path, memory=memory, note=noting(progress, "gradients"))
    cost = {"forward_passes": steps + 3, "backward_passes": steps}
    return EdgeScores(lift(problem.model.graph, effects.mean(0)), "estimated effect", cost)
