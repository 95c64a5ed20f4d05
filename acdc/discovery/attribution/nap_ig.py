"""NAP-IG: attribution patching of nodes, with the gradient averaged over inputs between the clean and the ablated one.

    score[s] = Σ_{b,p} (ablated_s - clean_s) · Σ_i w_i ∂loss/∂out_s(a_i)

It is to NAP what EAP-IG (inputs) is to EAP, and the sum of that one's scores of the node's outgoing edges.

Reference: Mueller et al. 2025, MIB (arXiv 2504.13151).
"""

from collections.abc import Callable

from acdc.discovery.attribution.eap import noting
from acdc.discovery.attribution.eap_ig_inputs import InputPath
from acdc.discovery.attribution.nodes import lift
from acdc.discovery.attribution.quadrature import Quadrature, quadrature_points
from acdc.discovery.attribution.scores import EdgeScores
from acdc.discovery.method import Method
from acdc.discovery.scored import Scored
from acdc.options.defaults import MEMORY
from acdc.options.ranges import Bytes, Steps
from acdc.patching.gradient.attribution import node_effects
from acdc.patching.problem import Problem
from acdc.progress import Progress

__all__ = ["METHOD", "nap_ig"]


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
    path = InputPath(quadrature_points(quadrature, steps))
    effects = node_effects(problem, path, memory=memory, note=noting(progress, "gradients"))
    cost = {"forward_passes": steps + 3, "backward_passes": steps}
    return EdgeScores(lift(problem.model.graph, effects.mean(0)), "estimated effect", cost)


METHOD = Method("nap-ig", "nap averaged over inputs between the two prompts", "Mueller et al. 2025", Scored(nap_ig))
