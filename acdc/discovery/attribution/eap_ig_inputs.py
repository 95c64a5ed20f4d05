"""EAP-IG (inputs): EAP with its gradients taken on the way from the clean to the ablated input (Hanna et al. 2024).

    score[s, d] = Σ_{b,p} Σ_j Δ_j · ∂loss/∂x_d(a_j)

at m whole runs whose input is `clean + a_j (ablated - clean)`. Δ_j is what the source's output changes around a_j
(`deltas="local"`: CEAP, the conductance of edges), or `w_j (ablated_s - clean_s)`, the same share of its whole change
everywhere (`deltas="endpoint"`, as published first). It sees past saturation at the clean run, and costs a run and a
backward pass for each step.

With local increments the scores of all edges across any cut between input and logits add up to the effect of ablating
the input, the nearer the more steps; how far the worst of the cuts between layers is off is reported. With endpoint
differences that holds for the edges out of `input` alone, however many the steps. Either is an average over one path,
on which everything changes at once, and not the effect of one edge's removal: of edges that back each other up, each
gets a part.

    -o deltas=endpoint -o steps=5 -o quadrature=left        the rule of EAP-IG's code and of MIB
    -o quadrature=random                                    expected gradients: one run, drawn for each prompt

References: Hanna, Pezzelle, Belinkov 2024, Have Faith in Faithfulness (arXiv 2403.17806), section 3; CEAP (arXiv
2606.16920).
"""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from jaxtyping import Bool
from torch import Tensor

from acdc.circuits.graph import Graph
from acdc.discovery.attribution.eap import noting
from acdc.discovery.attribution.input_path import Deltas, InputPath
from acdc.discovery.attribution.quadrature import RandomQuadrature
from acdc.discovery.attribution.scores import EdgeScores
from acdc.discovery.method import Method
from acdc.discovery.scored import Scored
from acdc.options.defaults import MEMORY
from acdc.options.ranges import Bytes, Steps
from acdc.patching.gradient.attribution import edge_effects
from acdc.patching.problem import Problem
from acdc.progress import Progress

__all__ = ["METHOD", "cuts", "eap_ig_inputs"]


def eap_ig_inputs(
    problem: Problem,
    *,
    deltas: Deltas = "local",
    steps: Steps | None = None,
    quadrature: RandomQuadrature = "midpoint",
    memory: Bytes = MEMORY,
    n_groups: int = 1,
    progress: Callable[[Progress], None] | None = None,
) -> EdgeScores:
    """Score every edge by gradients between the clean and the ablated input, times what its source changes there.

    Args:
        deltas: local (what a source changes around each input) or endpoint (its whole change, in equal shares, as
            EAP-IG's code).
        steps: Number of inputs between the two ends; 10 if not given, and 1 where they are drawn.
        quadrature: midpoint, left (with the ablated end, as EAP-IG's code), right (with the clean end), gauss-legendre
            (better than midpoint for endpoint differences alone) or random (drawn for each prompt from the run's seed;
            by one step, expected gradients).
        memory: About how many bytes gradients may take; prompts are taken in parts that fit.
        n_groups: Into how many groups of prompts to part the scores.

    Returns:
        Evidence: `completeness_error`, how far the scores across a cut are at worst from the effect of ablating the
        input, which they should add up to; `relative_completeness_error`, the same in units of that effect; `worst_cut`
        (of local increments; of others the only cut is that behind `input`); `steps_taken`; and `drawn_points`, by
        prompt.
    """
    path = InputPath(problem, deltas, quadrature, steps)
    note = noting(progress, "gradients")
    groups = edge_effects(problem, path, memory=memory, n_groups=n_groups, runs=path.runs, take=path.take, note=note)
    scores = groups.sum(0)
    effect = path.ablated_loss / problem.batch.n - problem.model_loss
    every = deltas == "local" and problem.ablated.coherent
    diagnostics = _completeness(problem.graph, scores, effect, every_cut=every)
    return EdgeScores(scores, "estimated effect", path.cost, diagnostics | path.told, groups)


def cuts(graph: Graph) -> Iterator[tuple[str, Bool[Tensor, "src dst"]]]:
    """The cuts between input and logits that lie behind the input, and behind each layer: the edges across them."""
    sources, destinations = (
        torch.tensor(list(map(graph.layer_of, names))) for names in (graph.sources, graph.destinations)
    )
    for layer in range(-1, graph.n_layers):
        name = "input" if layer < 0 else f"layer {layer}"
        yield name, (sources[:, None] <= layer) & (destinations[None, :] > layer)


def _completeness(graph: Graph, scores: Tensor, effect: float, *, every_cut: bool) -> dict[str, Any]:
    """How far the scores across the worst cut are from the effect that they should add up to."""
    errors = {name: abs(float(scores[edges].nansum()) - effect) for name, edges in cuts(graph)}
    worst = max(errors, key=lambda name: errors[name]) if every_cut else "input"
    relative = errors[worst] / abs(effect) if effect else None
    found = {"completeness_error": errors[worst], "relative_completeness_error": relative}
    return found | {"worst_cut": worst} if every_cut else found


METHOD = Method(
    "eap-ig-inputs",
    "gradients between the two prompts, times what sources change there",
    "Hanna et al. 2024; CEAP 2026",
    Scored(eap_ig_inputs),
    variants=({"deltas": "endpoint", "steps": 5, "quadrature": "left"}, {"quadrature": "random"}),
    aliases=("ceap",),
)
