"""EAP: edge attribution patching, the effect of every edge to first order (Syed et al. 2023).

    score[s, d] = Σ_{b,p} (ablated_s - clean_s) · ∂loss/∂x_d    at the clean run

It costs two runs and one backward pass for all edges together. It fails where a straight line does: at saturated
softmaxes and norms (the gradient is flat though the effect is large), for edges that back each other up, and for
metrics that are flat at the clean run, like KL.

Reference: Syed, Rager, Conmy 2023, Attribution Patching Outperforms Automated Circuit Discovery (arXiv 2310.10348).
"""

from collections.abc import Callable

from acdc.discovery.attribution.scores import EdgeScores, check_gradient
from acdc.discovery.method import Method
from acdc.discovery.scored import Scored
from acdc.options.defaults import MEMORY
from acdc.options.ranges import Bytes
from acdc.patching.gradient.attribution import Point, edge_effects
from acdc.patching.gradient.microbatch import Microbatch
from acdc.patching.gradient.rules import RULES, RulesName, get_rules
from acdc.patching.problem import Problem
from acdc.progress import Progress

__all__ = ["METHOD", "at_clean", "eap", "noting"]


def eap(
    problem: Problem,
    *,
    rules: RulesName | None = None,
    memory: Bytes = MEMORY,
    n_groups: int = 1,
    progress: Callable[[Progress], None] | None = None,
) -> EdgeScores:
    """Score every edge to first order at the clean run.

    Args:
        rules: Backward rules in place of derivatives, in as many passes: gim, relp or attnrlp. docs/attribution.md says
            what each does, and where it fails.
        memory: About how many bytes gradients may take; prompts are taken in parts that fit.
        n_groups: Into how many groups of prompts to part the scores.

    Raises:
        RunError: The metric is flat at the clean run.
        ModelError: The rules don't know a part of the model.
    """
    check_gradient(problem.objective.metric, "eap")
    note, by = noting(progress, "gradients"), get_rules(rules)
    groups = edge_effects(problem, at_clean, rules=by, memory=memory, n_groups=n_groups, note=note)
    return EdgeScores(groups.sum(0), "estimated effect", {"forward_passes": 2, "backward_passes": 1}, groups=groups)


def at_clean(microbatch: Microbatch) -> list[Point]:
    """The clean run alone."""
    return [Point(1.0, microbatch.clean)]


def noting(progress: Callable[[Progress], None] | None, stage: str) -> Callable[[int, int], None] | None:
    """Tells `progress` of parts done."""
    if progress is None:
        return None
    progress(Progress(0, 0, stage=stage))
    return lambda done, total: progress(Progress(done, total, stage=stage, unit="parts of the prompts"))


METHOD = Method(
    "eap",
    "each edge's effect to first order at the clean run",
    "Syed et al. 2023",
    Scored(eap),
    at_clean=True,
    variants=tuple({"rules": name} for name in RULES),
    aliases=("edge-attribution-patching",),
)
