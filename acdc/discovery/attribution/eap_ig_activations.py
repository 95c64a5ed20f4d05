"""EAP-IG (activations): gradients averaged while one component's output goes from clean to ablated.

A component is `input`, a layer's heads together, or an MLP: 2L + 1 of them. One at a time, its output is set to
`clean + a_i (ablated - clean)` in an otherwise clean run:

    score[s, d] = Σ_{b,p} (ablated_s - clean_s) · Σ_i w_i ∂loss/∂x_d(component of s at a_i)

With `paths="own"` an edge's gradient is averaged on its own source's path, so the scores of a component's outgoing
edges add up to the effect of ablating it (completeness, reported as its largest miss). With `paths="all"` every edge's
gradient is averaged over the paths of all components, as EAP-IG's published code does: there the sums have no such
meaning.

It costs about (2L + 1) m runs and backward passes, half of that with `own`, which needs only what is downstream.

References: Hanna, Pezzelle, Belinkov 2024 (arXiv 2403.17806), appendix; Mueller et al. 2025, MIB (arXiv 2504.13151).
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from jaxtyping import Float
from torch import Tensor

from acdc.circuits.graph import Graph
from acdc.discovery.attribution.eap import noting
from acdc.discovery.attribution.quadrature import Quadrature, quadrature_points
from acdc.discovery.attribution.scores import EdgeScores
from acdc.discovery.method import Method
from acdc.discovery.scored import Scored
from acdc.options.defaults import MEMORY
from acdc.options.ranges import Bytes, Steps
from acdc.patching.attention import attn_out
from acdc.patching.gradient.attribution import Point, edge_effects
from acdc.patching.gradient.forward import forward, summed_loss
from acdc.patching.gradient.microbatch import Microbatch
from acdc.patching.gradient.streams import ResidualStreams
from acdc.patching.problem import Problem
from acdc.progress import Progress

__all__ = ["METHOD", "eap_ig_activations"]


def eap_ig_activations(
    problem: Problem,
    *,
    steps: Steps = 5,
    quadrature: Quadrature = "right",
    paths: Literal["own", "all"] = "own",
    memory: Bytes = MEMORY,
    n_groups: int = 1,
    progress: Callable[[Progress], None] | None = None,
) -> EdgeScores:
    """Score every edge by gradients averaged while its source's component goes from clean to ablated.

    Args:
        steps: Number of outputs between the two ends, for each component.
        quadrature: right (with the clean end, as EAP-IG's code sums here), left (with the ablated end), midpoint or
            gauss-legendre (the most exact for its steps).
        paths: own (an edge's gradient is averaged on its source's path) or all (on every component's, as EAP-IG's
            code does).
        memory: About how many bytes gradients may take; prompts are taken in parts that fit.
        n_groups: Into how many groups of prompts to part the scores.

    Returns:
        Evidence, with `own`: `completeness_error`, how far the sum of a component's edges is at worst from the effect
        of ablating it, and `worst_component`.
    """
    graph, found = problem.graph, _Paths(quadrature_points(quadrature, steps), paths == "own")
    note = noting(progress, "gradients")
    groups = edge_effects(problem, found, memory=memory, n_groups=n_groups, take=found.take, note=note)
    scores, n_components = groups.sum(0), 2 * graph.n_layers + 1
    cost = {"forward_passes": 2 + n_components * (steps + (paths == "own")), "backward_passes": n_components * steps}
    diagnostics = found.completeness(problem, scores) if paths == "own" else {}
    return EdgeScores(scores, "estimated effect", cost, diagnostics, groups)


class Component(NamedTuple):
    """`input`, a layer's heads, or an MLP."""

    kind: Literal["input", "attention", "mlp"]
    layer: int
    sources: slice

    @property
    def name(self) -> str:
        return {"input": "input", "attention": f"heads of layer {self.layer}", "mlp": f"m{self.layer}"}[self.kind]


def components(graph: Graph) -> list[Component]:
    """All of them, in causal order."""
    found = [Component("input", 0, slice(0, 1))]
    for layer in range(graph.n_layers):
        mlp = graph.mlp_src(layer)
        found.append(Component("attention", layer, slice(graph.head_src(layer), mlp)))
        found.append(Component("mlp", layer, slice(mlp, mlp + 1)))
    return found


@dataclass
class _Paths:
    """The runs of every component's path; notes the losses at their ablated ends."""

    points: list[tuple[float, float]]
    own: bool
    ablated_losses: dict[str, float] = field(default_factory=dict)

    def __call__(self, microbatch: Microbatch) -> Iterator[Point]:
        found = components(microbatch.model.graph)
        for component in found:
            change, noted = change_of(microbatch, component), dict[str, float]()
            if self.own:
                final = run_with(microbatch, component, change).final[:, -1]
                noted = {component.name: float(summed_loss(microbatch, final))}
            for a, weight in self.points:
                streams = run_with(microbatch, component, a * change)
                if self.own:
                    yield Point(weight, streams, component.sources, noted=noted)
                else:
                    cut = None if component.kind == "input" else (component.kind, component.layer)
                    yield Point(weight / len(found), microbatch.clean.below(streams, cut))

    def take(self, noted: Mapping[str, float]) -> None:
        """Add the losses of a microbatch, in whichever process they were found."""
        for name, loss in noted.items():
            self.ablated_losses[name] = self.ablated_losses.get(name, 0.0) + loss

    def completeness(self, problem: Problem, scores: Float[Tensor, "src dst"]) -> dict[str, float | str]:
        """The largest miss of a component's sum."""
        clean = problem.model_loss
        misses = {
            c.name: abs(float(scores[c.sources].nansum()) - (self.ablated_losses[c.name] / problem.batch.n - clean))
            for c in components(problem.graph)
        }
        worst = max(misses, key=lambda name: misses[name])
        return {"completeness_error": misses[worst], "worst_component": worst}


def change_of(microbatch: Microbatch, component: Component) -> Float[Tensor, "batch pos d_model"]:
    """`ablated - clean` of a component's output in the residual stream."""
    if component.kind == "input":
        return microbatch.change.input
    if component.kind == "mlp":
        return microbatch.change.mlp[component.layer]
    attention = microbatch.model.components.blocks[component.layer].attention
    return attn_out(attention, microbatch.change.z[component.layer])


def run_with(
    microbatch: Microbatch, component: Component, change: Float[Tensor, "batch pos d_model"]
) -> ResidualStreams:
    """The clean run with one component's output changed, from there on."""
    clean, layer = microbatch.clean, component.layer
    if component.kind == "input":
        return forward(microbatch, microbatch.input + change)
    if component.kind == "attention" and not microbatch.model.graph.parallel:
        return forward(microbatch, clean.resid_mid[layer] + change, layer, at_mlp=True)
    after = clean.resid_pre.get(layer + 1, clean.final)
    return forward(microbatch, after + change, layer + 1)


METHOD = Method(
    "eap-ig-activations",
    "eap averaged over outputs of an edge's source",
    "Hanna et al. 2024",
    Scored(eap_ig_activations),
)
