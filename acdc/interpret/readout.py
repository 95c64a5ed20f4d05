"""How the last residual stream becomes a logit while the final norm's scale is held: an affine map for each token.

    logit(x) = w · norm(x) + b  =  g · x + constant    with the scale of the real run

Which norm it is doesn't matter: a layer norm's centring, an RMS norm, Gemma's `1 + weight`, none at all. `g` is the
derivative with the scale held constant, and the constant is what the norm makes of zero.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from acdc.errors import TaskError
from acdc.metrics.answers import wide
from acdc.models import PatchableModel
from acdc.patching.gradient.frozen_norms import FrozenNorms, check_frozen
from acdc.prompts.batch import PromptBatch

__all__ = ["Readout", "Target", "read_out", "target_of", "through_norm"]


class Target(NamedTuple):
    """A weighted sum of each prompt's logits: one token's, or the mean of the correct minus that of the wrong ones.

    Attributes:
        name: What it is, in words.
        tokens: The tokens, `[batch n]`; `weights` their weights, 0 where a prompt has no more of them.
    """

    name: str
    tokens: Int[Tensor, "batch n"]
    weights: Float[Tensor, "batch n"]


class Readout(NamedTuple):
    """The affine map of each row: what is written, times `gradient`, is what it adds to the logit before a soft cap.

    Attributes:
        logit: What the real residual stream gives, before a soft cap.
        cap_slope: The soft cap's derivative there, the mean over the tokens: the share of a small change that passes
            it. None without a cap.
    """

    gradient: Float[Tensor, "row d_model"]
    constant: Float[Tensor, " row"]
    logit: Float[Tensor, " row"]
    cap_slope: Float[Tensor, " row"] | None


def target_of(batch: PromptBatch, towards: str | int, n_vocab: int) -> Target:
    """`difference` (correct minus wrong answers), `correct`, `wrong`, or one token's id, the same for all prompts.

    Raises:
        TaskError: It asks for wrong answers, and a prompt has none; or it is none of these.
    """
    if isinstance(towards, int):
        if not 0 <= towards < n_vocab:
            raise TaskError(f"token id {towards} is none of the model's, which knows only {n_vocab} tokens")
        tokens = batch.correct.new_full((batch.n, 1), towards)
        return Target(f"logit of token {towards}", tokens, torch.ones(tokens.shape, dtype=torch.float64))
    if towards not in ("difference", "correct", "wrong"):
        raise TaskError(f"towards must be 'difference', 'correct', 'wrong' or a token's id, not {towards!r}")
    if towards != "correct" and not bool((batch.wrong >= 0).any(1).all()):
        raise TaskError(
            f"task {batch.task!r} has prompts without wrong answers, so it has no logit difference; "
            "ask for towards='correct'"
        )
    correct, wrong = _shares(batch.correct), _shares(batch.wrong)
    if towards == "difference":
        tokens, weights = torch.cat([batch.correct, batch.wrong], 1), torch.cat([correct, -wrong], 1)
        return Target("correct minus wrong answer", tokens.clamp_min(0), weights)
    tokens, weights = (batch.correct, correct) if towards == "correct" else (batch.wrong, wrong)
    return Target(f"logit of the {towards} answer", tokens.clamp_min(0), weights)


def _shares(ids: Int[Tensor, "batch n"]) -> Float[Tensor, "batch n"]:
    """Each answer's weight in its prompt's mean."""
    listed = (ids >= 0).double()
    return listed / listed.sum(1, keepdim=True).clamp_min(1)


def read_out(
    model: PatchableModel,
    residual: Float[Tensor, "row d_model"],
    tokens: Int[Tensor, "row n"],
    weights: Float[Tensor, "row n"],
) -> Readout:
    """The map of each row's last residual stream to `Σ weight · logit(token)`, in float32 at least.

    Raises:
        ModelError: The final norm is of an unknown kind, whose scale can't be held.
    """
    parts = model.components
    check_frozen(parts.ln_final, residual.shape[-1], parts.unembed)
    x = wide(residual.detach())
    weights = weights.to(x) / parts.logit_divisor
    direction = torch.einsum("rn,rnd->rd", weights, parts.unembed[tokens].to(x))
    with torch.enable_grad(), FrozenNorms():
        leaf = x.clone().requires_grad_()
        normed = parts.ln_final(leaf)
        gradient = torch.autograd.grad((normed * direction).sum(), leaf)[0]
    with torch.no_grad():
        constant = (parts.ln_final(torch.zeros_like(x)) * direction).sum(-1)
        logit = (parts.ln_final(x) * direction).sum(-1)
        if parts.unembed_bias is not None:
            bias = (weights * parts.unembed_bias[tokens].to(x)).sum(-1)
            constant, logit = constant + bias, logit + bias
    return Readout(gradient, constant, logit, _cap_slope(model, x, tokens, weights))


@torch.no_grad()
def _cap_slope(
    model: PatchableModel,
    x: Float[Tensor, "row d_model"],
    tokens: Int[Tensor, "row n"],
    weights: Float[Tensor, "row n"],
) -> Float[Tensor, " row"] | None:
    parts = model.components
    if parts.logit_cap is None:
        return None
    logits = torch.einsum("rd,rnd->rn", parts.ln_final(x), parts.unembed[tokens].to(x)) / parts.logit_divisor
    slopes, used = 1 - torch.tanh(logits / parts.logit_cap) ** 2, weights != 0
    return (slopes * used).sum(-1) / used.sum(-1)


def through_norm(
    model: PatchableModel, residual: Float[Tensor, "row d_model"], written: Float[Tensor, "row d_model"]
) -> Float[Tensor, "row d_model"]:
    """What becomes of a part of each last residual stream behind the final norm, its scale held at the whole stream's.

    It is the derivative in the direction of what is written: that of a gradient which is linear in its cotangent.
    """
    check_frozen(model.components.ln_final, residual.shape[-1], model.components.unembed)
    x = wide(residual.detach())
    with torch.enable_grad(), FrozenNorms():
        leaf, cotangent = x.clone().requires_grad_(), torch.zeros_like(x).requires_grad_()
        pulled = torch.autograd.grad(model.components.ln_final(leaf), leaf, cotangent, create_graph=True)[0]
        return torch.autograd.grad(pulled, cotangent, written.to(x))[0]
