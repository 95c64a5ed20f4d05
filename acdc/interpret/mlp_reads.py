"""What an MLP reads, in token space: the tokens in whose direction its input would have to move for it to write more.

    g = d/dx (MLP(norm(x)) · u) at each prompt's target,    u = what it writes there, of length 1
    s(t) = (x_t · mean g - mean over t) / standard deviation over t

`x_t` is the token's embedding, and from the second layer on the effective one, `E_t + MLP0(E_t)`, as with OV circuits.
Single neurons are not looked at: which weights are a neuron's input differs between plain, gated and expert MLPs, while
the derivative is that of the module as it is. It is a first-order answer about these prompts: an MLP that is saturated
in a direction reads it and shows nothing.

Reference: Dunefsky & Cohan 2024 (arXiv 2312.16291), linear approximations of MLPs by their gradients.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from acdc.errors import CircuitError
from acdc.interpret.effective import chunks, effective, embedded
from acdc.interpret.vocabulary import Ranked, ordinary_tokens, strongest_tokens
from acdc.metrics.answers import wide
from acdc.models import PatchableModel
from acdc.patching.activations import ActivationCache, NodeOutputs

__all__ = ["MLPReads", "mlp_reads"]

TOP = 10


@dataclass(frozen=True)
class MLPReads:
    """The tokens towards which an MLP's input would make it write more (`up`) and less (`down`) of what it writes: with
    `s(t)`, the strongest first."""

    node: str
    up: Ranked
    down: Ranked


@torch.no_grad()
def mlp_reads(
    model: PatchableModel,
    cache: ActivationCache,
    nodes: Sequence[str],
    *,
    minus: NodeOutputs | None = None,
    top: int = TOP,
) -> tuple[MLPReads, ...]:
    """What each of these MLPs reads at the targets of a run.

    Args:
        cache: The clean run, like `Problem.clean`.
        minus: Outputs to take away from what it writes, like `Problem.ablated.outputs`: by None nothing is.

    Raises:
        CircuitError: A node is no MLP of the model.
    """
    if other := [node for node in nodes if node not in model.graph.src_index or not node.startswith("m")]:
        raise CircuitError(f"{other[0]!r} is no MLP of a graph of {model.graph.shape}; MLPs are named like 'm1'")
    ordinary, layers = ordinary_tokens(model), [model.graph.layer_of(node) for node in nodes]
    if not layers:
        return ()
    read = torch.stack([_direction(model, cache, layer, minus) for layer in layers])
    scores = torch.cat([_along(model, chunk, read, layers) for chunk in chunks(model)])
    mean, spread = scores[ordinary].mean(0), scores[ordinary].std(0, correction=0)
    scores = (scores - mean) / spread.clamp_min(torch.finfo(scores.dtype).tiny)
    return tuple(
        MLPReads(node, *strongest_tokens(model, each, top, ordinary))
        for node, each in zip(nodes, scores.T, strict=True)
    )


def _along(
    model: PatchableModel, ids: Int[Tensor, " n"], read: Float[Tensor, "node d_model"], layers: Sequence[int]
) -> Float[Tensor, "n node"]:
    """Tokens along what each MLP reads; the first MLP makes the effective embeddings, and reads the plain ones."""
    first = embedded(model, ids)
    return torch.where(
        torch.tensor(layers, device=read.device) == 0, wide(first) @ read.T, wide(effective(model, first)) @ read.T
    )


def _direction(
    model: PatchableModel, cache: ActivationCache, layer: int, minus: NodeOutputs | None
) -> Float[Tensor, " d_model"]:
    """The mean gradient of what the MLP writes, along itself, by what it reads."""
    block, written = model.components.blocks[layer], cache.outputs.mlp[layer][:, -1]
    written = written if minus is None else written - minus.mlp[layer][:, -1]
    unit = written / written.norm(dim=-1, keepdim=True).clamp_min(torch.finfo(written.dtype).tiny)
    with torch.enable_grad():
        leaf = cache.resid_mid[layer][:, -1].detach().clone().requires_grad_()
        along = (block.mlp(block.ln2(leaf[:, None]))[:, 0] * unit).sum()
        return wide(torch.autograd.grad(along, leaf)[0].mean(0))
