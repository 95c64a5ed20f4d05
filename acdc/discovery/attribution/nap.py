"""NAP: attribution patching of nodes.

    score[s] = Σ_{b,p} (ablated_s - clean_s) · ∂loss/∂out_s    at the clean run

It is the sum of EAP's scores of the node's outgoing edges, at a smaller cost: no destination's gradient is taken apart.
Edges get the score of the weaker of their two ends, so the circuit is one of nodes: whatever joins two kept nodes is
kept. It fails as EAP does, and where a node has both useful and harmful edges, which cancel.

Reference: Nanda 2023, Attribution Patching.
"""

from collections.abc import Callable

from acdc.discovery.attribution.eap import at_clean, noting
from acdc.discovery.attribution.nodes import lift
from acdc.discovery.attribution.scores import EdgeScores, check_gradient
from acdc.discovery.method import Method
from acdc.discovery.scored import Scored
from acdc.options.defaults import MEMORY
from acdc.options.ranges import Bytes
from acdc.patching.gradient.attribution import node_effects
from acdc.patching.gradient.rules import RULES, RulesName, get_rules
from acdc.patching.problem import Problem
from acdc.progress import Progress

__all__ = ["METHOD", "nap"]


def nap(
    problem: Problem,
    *,
    rules: RulesName | None = None,
    memory: Bytes = MEMORY,
    progress: Callable[[Progress], None] | None = None,
) -> EdgeScores:
    """Score every node to first order at the clean run.

    Args:
        rules: Backward rules in place of derivatives, in as many passes: gim, relp or attnrlp. docs/attribution.md says
            what each does, and where it fails.
        memory: About how many bytes gradients may take; prompts are taken in parts that fit.

    Raises:
        RunError: The metric is flat at the clean run.
        ModelError: The rules don't know a part of the model.
    """
    check_gradient(problem.objective.metric, "nap")
    note, by = noting(progress, "gradients"), get_rules(rules)
    effects = node_effects(problem, at_clean, rules=by, memory=memory, note=note)
    scores = lift(problem.graph, effects.mean(0))
    return EdgeScores(scores, "estimated effect", {"forward_passes": 2, "backward_passes": 1})


METHOD = Method(
    "nap",
    "each node's effect to first order at the clean run",
    "Nanda 2023",
    Scored(nap),
    at_clean=True,
    variants=tuple({"rules": name} for name in RULES),
)
