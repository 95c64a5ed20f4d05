"""EAP-IG (inputs): EAP with its gradients averaged on the way from the clean to the ablated input (Hanna et al. 2024).

    score[s, d] = Σ_{b,p} (ablated_s - clean_s) · Σ_i w_i ∂loss/∂x_d(a_i)

at whole runs whose input is `clean + a_i (ablated - clean)`, at the points a_i of a quadrature. It costs a run and a
backward pass for each step. It sees past saturation at the clean run. The path is over the input alone: for edges out
of `input` the scores add up to the whole effect of ablating the input (completeness); for all others the average is a
plausible slope, no more. Only how far the sum over `input`'s edges is off is known, and reported.

Reference: Hanna, Pezzelle, Belinkov 2024, Have Faith in Faithfulness (arXiv 2403.17806), section 3.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from acdc.discovery.attribution.eap import noting
from acdc.discovery.attribution.quadrature import Quadrature, quadrature_points
from acdc.discovery.attribution.scores import EdgeScores
from acdc.discovery.method import Method
from acdc.discovery.scored import Scored
from acdc.options.defaults import MEMORY
from acdc.options.ranges import Bytes, Steps
from acdc.patching.gradient.attribution import Point, edge_effects
from acdc.patching.gradient.forward import forward, summed_loss
from acdc.patching.gradient.microbatch import Microbatch
from acdc.patching.problem import Problem
from acdc.progress import Progress

__all__ = ["METHOD", "InputPath", "eap_ig_inputs"]


def eap_ig_inputs(
    problem: Problem,
    *,
    steps: Steps = 5,
    quadrature: Quadrature = "left",
    memory: Bytes = MEMORY,
    n_groups: int = 1,
    progress: Callable[[Progress], None] | None = None,
) -> EdgeScores:
    """Score every edge by gradients averaged over inputs between the clean and the ablated one.

    Args:
        steps: Number of inputs between the two ends.
        quadrature: left (with the ablated end, as EAP-IG's code), right (with the clean end), midpoint or
            gauss-legendre (the most exact for its steps).
        memory: About how many bytes gradients may take; prompts are taken in parts that fit.
        n_groups: Into how many groups of prompts to part the scores.

    Returns:
        Evidence: `completeness_error`, how far the sum of `input`'s edges is from the effect of ablating the input, and
        `relative_completeness_error`, the same in units of that effect.
    """
    path = InputPath(quadrature_points(quadrature, steps))
    groups = edge_effects(problem, path, memory=memory, n_groups=n_groups, note=noting(progress, "gradients"))
    scores = groups.sum(0)
    effect = path.ablated_loss / problem.batch.n - problem.model_loss
    diagnostics = _off(float(scores[0].nansum()), effect)
    cost = {"forward_passes": steps + 3, "backward_passes": steps}
    return EdgeScores(scores, "estimated effect", cost, diagnostics, groups)


def _off(found: float, true: float) -> dict[str, Any]:
    """How far a sum of scores is from the effect that it should be."""
    error = abs(found - true)
    return {"completeness_error": error, "relative_completeness_error": error / abs(true) if true else None}


@dataclass
class InputPath:
    """The runs between the two inputs; notes the loss at the ablated one.

    Attributes:
        points: Points from 0 (clean) to 1 (ablated), and their weights.
        ablated_loss: The sum of the prompts' losses on the ablated input, of the microbatches seen so far.
    """

    points: list[tuple[float, float]]
    ablated_loss: float = 0.0

    def __call__(self, microbatch: Microbatch) -> Iterator[Point]:
        end = forward(microbatch, microbatch.input + microbatch.change.input)
        self.ablated_loss += float(summed_loss(microbatch, end.final[:, -1]))
        del end
        for a, weight in self.points:
            yield Point(weight, forward(microbatch, microbatch.input + a * microbatch.change.input))


METHOD = Method(
    "eap-ig-inputs", "eap averaged over inputs between the two prompts", "Hanna et al. 2024", Scored(eap_ig_inputs)
)
