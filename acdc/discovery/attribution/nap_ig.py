"""NAP-IG: attribution patching of nodes, with gradients taken on the way from the clean to the ablated input.

    score[s] = Σ_{b,p} Σ_j Δ_j · ∂loss/∂out_s(a_j)

It is to NAP what EAP-IG (inputs) is to EAP, and the sum of that one's scores of the node's outgoing edges, with the
same options. With local increments, the default, it is the node's conductance (Dhamdhere et al. 2018).

    -o deltas=endpoint -o steps=5 -o quadrature=right       the rule of EAP-IG's code and of MIB

EAP-IG's code took an MLP's gradient at its input, not its output, until 23 May 2026: older figures of NAP-IG, MIB's
among them, are of that. And five steps of endpoint differences are too few for nodes (docs/attribution.md).

References: Mueller et al. 2025, MIB (arXiv 2504.13151); Dhamdhere, Sundararajan, Yan 2018 (arXiv 1805.12233), eq. 2.
"""

from collections.abc import Callable

from acdc.discovery.attribution.eap import noting
from acdc.discovery.attribution.input_path import Deltas, InputPath
from acdc.discovery.attribution.nodes import lift
from acdc.discovery.attribution.quadrature import RandomQuadrature
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
    deltas: Deltas = "local",
    steps: Steps | None = None,
    quadrature: RandomQuadrature = "midpoint",
    memory: Bytes = MEMORY,
    progress: Callable[[Progress], None] | None = None,
) -> EdgeScores:
    """Score every node by gradients between the clean and the ablated input, times what it changes there.

    Args:
        deltas: local (what a node changes around each input) or endpoint (its whole change, in equal shares, as
            EAP-IG's code).
        steps: Number of inputs between the two ends; 10 if not given, and 1 where they are drawn.
        quadrature: midpoint, left (with the ablated end), right (with the clean end, as EAP-IG's code sums for nodes),
            gauss-legendre (better than midpoint for endpoint differences alone) or random (drawn for each prompt from
            the run's seed; by one step, expected gradients).
        memory: About how many bytes gradients may take; prompts are taken in parts that fit.

    Returns:
        Evidence: `steps_taken`, and `drawn_points`, by prompt, where they are drawn.
    """
    path = InputPath(problem, deltas, quadrature, steps)
    note = noting(progress, "gradients")
    effects = node_effects(problem, path, memory=memory, runs=path.runs, take=path.take, note=note)
    return EdgeScores(lift(problem.graph, effects.mean(0)), "estimated effect", path.cost, path.told)


METHOD = Method(
    "nap-ig",
    "nap between the two prompts, times what nodes change there",
    "Mueller et al. 2025",
    Scored(nap_ig),
    variants=({"deltas": "endpoint", "steps": 5, "quadrature": "right"}, {"quadrature": "random"}),
)
