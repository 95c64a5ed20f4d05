"""AtP*: EAP with attention run again for edges into q and k, and without cancellation (Kramár et al. 2024).

EAP has two blind spots, and this scorer an answer to each.

`qk_fix`. Where a softmax is saturated its gradient is flat, though another query or key would move it. So for an edge
into a head's q or k the head is run again without the edge, and only what follows the head is linear:

    effect[s, h<q>] = Σ_p (z_h without s -> h<q>  -  z_h) · ∂loss/∂z_h        likewise k

`graddrop`. A node may act on the loss directly and, with the other sign, through a later layer: the two cancel in the
gradient, but not in a larger change. So gradients are taken L times, each time without what goes through one layer, and
the sizes of the effects are averaged:

    score[s, d] = mean over prompts, and over layers l other than d's, of | effect of s -> d, layer l's output fixed |

A layer below d changes nothing, so its term is the plain effect's size. Such scores have no sign. With neither option
it is EAP. As published it scores nodes at positions, each key's position on its own; here it scores edges at all
positions.

It costs two runs, (L + 1) / 2 backward passes (one without `graddrop`), and for each source and later layer that
layer's attention once for q and once for k. It fails where what follows a head saturates, like later norms and MLPs,
and for edges that back each other up.

Reference: Kramár, Lieberum, Shah, Nanda 2024, AtP* (arXiv 2403.00745), sections 3.1.1 (QK fix) and 3.1.2 (GradDrop,
eq. 11).
"""

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from acdc.circuits.graph import Graph
from acdc.discovery.attribution.eap import noting
from acdc.discovery.attribution.scores import EdgeScores, check_gradient
from acdc.discovery.method import Method
from acdc.discovery.scored import Scored
from acdc.options.defaults import MEMORY
from acdc.options.ranges import Bytes
from acdc.patching.gradient.attribution import Contraction
from acdc.patching.gradient.backward import loss_gradient, through_block
from acdc.patching.gradient.microbatch import Microbatch, over_microbatches
from acdc.patching.gradient.rerun_heads import rerun_heads
from acdc.patching.problem import Problem
from acdc.patching.spans import span_masks
from acdc.progress import Progress

__all__ = ["METHOD", "atp_star"]


@torch.no_grad()
def atp_star(
    problem: Problem,
    *,
    qk_fix: bool = True,
    graddrop: bool = True,
    memory: Bytes = MEMORY,
    progress: Callable[[Progress], None] | None = None,
) -> EdgeScores:
    """Score every edge to first order at the clean run, attention run again, and without cancellation.

    Args:
        qk_fix: Run heads again without each edge into their q or k, as their softmax may be saturated.
        graddrop: Average the sizes of effects over gradients that leave out one layer each; scores then have no sign.
        memory: About how many bytes gradients may take; prompts are taken in parts that fit.

    Raises:
        RunError: The metric is flat at the clean run.
    """
    check_gradient(problem.objective.metric, "atp-star")
    graph, note = problem.graph, noting(progress, "gradients")
    runs = 2 if graddrop else 1  # all layers' gradients of a stream, and of a layer's heads
    total = torch.zeros(graph.n_src, graph.n_dst, dtype=torch.float64)

    def of_microbatch(microbatch: Microbatch) -> Float[Tensor, "src dst"]:
        contraction = Contraction(microbatch, sizes=graddrop)
        _add(contraction, qk_fix, graddrop)
        return contraction.effects.double().cpu()

    for _, effects in over_microbatches(problem, of_microbatch, memory=memory, runs=runs, note=note):
        total += effects
    scores = (total / problem.batch.n).masked_fill(~graph.edges_mask, math.nan)
    return EdgeScores(scores, "importance" if graddrop else "estimated effect", _cost(graph, qk_fix, graddrop))


def _cost(graph: Graph, qk_fix: bool, graddrop: bool) -> dict[str, int]:
    """Passes of the whole batch; `attention_passes` are those through every layer's attention alone."""
    cost = {"forward_passes": 2, "backward_passes": math.ceil((graph.n_layers + 1) / 2) if graddrop else 1}
    rerun = sum(int(graph.upstream[graph.head_dst(layer, "q")]) for layer in range(graph.n_layers))
    reruns = 2 * graph.n_spans * rerun
    return cost | ({"attention_passes": reruns // graph.n_layers} if qk_fix else {})


def _add(contraction: Contraction, qk_fix: bool, graddrop: bool) -> None:
    """Add the effects of a microbatch's edges, from the logits down."""
    microbatch = contraction.microbatch
    graph, whole = microbatch.model.graph, torch.zeros_like(microbatch.clean.final)
    whole[:, -1] = at_last = loss_gradient(microbatch, microbatch.clean)
    contraction.read(graph.n_dst - 1, at_last[None])
    passes = [whole]  # the gradient of the stream: of the whole model, then without each layer that lies above
    for layer in reversed(range(graph.n_layers)):
        below, at_z = list[Tensor](), list[Tensor]()
        for i, g in enumerate(passes):
            block = _Block(contraction, layer, skip_qk=qk_fix)
            contraction.weight = weight(graph, layer, plain=i == 0) if graddrop else 1.0
            below.append(through_block(microbatch, layer, microbatch.clean, g, read=block.read, wrote=block.wrote))
            at_z.append(torch.cat(block.at_z))
        if qk_fix:
            for kind in ("q", "k"):
                weights = [weight(graph, layer, plain=i == 0) if graddrop else 1.0 for i in range(len(passes))]
                _add_reruns(contraction, layer, kind, torch.stack(at_z), weights)
        passes = [*below, passes[0]] if graddrop else below


def weight(graph: Graph, layer: int, *, plain: bool) -> float:
    """The share of a pass in the mean over layers left out, for edges into a layer.

    Args:
        plain: It is the whole model's pass, which stands for those without a layer below.
    """
    others = graph.n_layers - 1
    return 1.0 if others == 0 else (layer if plain else 1) / others


class _Block:
    """Takes in a layer's gradients: at once those of its destinations, for later those of its heads' z."""

    def __init__(self, contraction: Contraction, layer: int, *, skip_qk: bool) -> None:
        graph = contraction.microbatch.model.graph
        self.contraction, self.at_z = contraction, list[Tensor]()
        self.first = graph.head_dst(layer, "v") if skip_qk else 0
        self.heads = range(graph.head_src(layer), graph.mlp_src(layer))

    def read(self, first: int, gradient: Float[Tensor, "n rows d_model"]) -> None:
        start = max(first, self.first)
        if start < first + len(gradient):
            self.contraction.read(start, gradient[start - first :])

    def wrote(self, first: int, gradient: Float[Tensor, "n batch pos d"]) -> None:
        if first in self.heads:
            self.at_z.append(gradient)


def _add_reruns(
    contraction: Contraction,
    layer: int,
    kind: str,
    at_z: Float[Tensor, "passes head batch pos d_head"],
    weights: list[float],
) -> None:
    """Add the effects of edges into a layer's queries or keys, by every pass's gradient of z."""
    effects, microbatch = contraction.by_span, contraction.microbatch
    graph, at_z = microbatch.model.graph, at_z.to(effects.dtype)
    first, in_span = graph.head_dst(layer, kind), span_masks(microbatch.batch, at_z.dtype)
    shares = torch.tensor(weights, dtype=effects.dtype, device=effects.device)
    for span in range(effects.shape[-1]):
        here = None if in_span is None else in_span[..., span]
        queries = at_z if here is None or kind == "k" else at_z * here[..., None]  # a query moves its own z alone
        for low, change in rerun_heads(microbatch, layer, kind, here if kind == "k" else None):
            found = torch.einsum("hsbpe,chbpe->cbsh", change.to(effects.dtype), queries)
            found = found.abs() if contraction.sizes else found
            at = effects[low : low + found.shape[2], first : first + graph.n_heads, span]
            at += torch.einsum("c,cbsh->sh", shares, found)


METHOD = Method(
    "atp-star",
    "eap with attention run again for q and k, without cancellation",
    "Kramár et al. 2024",
    Scored(atp_star),
    at_clean=True,
    variants=({"graddrop": False}, {"qk_fix": False}),
    aliases=("atp*",),
)
