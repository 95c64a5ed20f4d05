"""The slow and obvious reference of backward rules: a model of the same outputs that has them as derivatives.

What a rule holds constant is detached, and what it scales is scaled by a sum of live and detached parts. MLPs and
attention are written out from weights; no code of the rules is used.
"""

import copy
from collections.abc import Callable
from dataclasses import replace
from types import FunctionType

import torch
from torch import Tensor, nn

from acdc.models import PatchableModel
from acdc.patching.gradient.rules import Rules
from tests.oracle import naive_projection, naive_scores, naive_shares

Part = Callable[[Tensor], Tensor]
PLAIN = (("c_fc", "act", "c_proj"), ("dense_h_to_4h", "act", "dense_4h_to_h"), ("fc_in", "act", "fc_out"))
PLAIN_PHI = ("fc1", "activation_fn", "fc2")


def surrogate(model: PatchableModel, rules: Rules) -> PatchableModel:
    """The model with other norms and MLPs."""

    def norm(of: Part) -> Part:
        return frozen(of) if rules.frozen_norms else of

    found = copy.copy(model)
    blocks = [
        replace(
            block,
            ln1=norm(block.ln1),
            ln2=norm(block.ln2),
            mlp=part(block.mlp, rules),
            attention=replace(
                block.attention,
                q_norm=tuple(map(norm, block.attention.q_norm)),
                k_norm=tuple(map(norm, block.attention.k_norm)),
            ),
        )
        for block in model.components.blocks
    ]
    found.components = replace(model.components, blocks=tuple(blocks), ln_final=norm(model.components.ln_final))
    return found


def damped(x: Tensor, factor: float) -> Tensor:
    """x, with a share of its gradient."""
    return factor * x + ((1 - factor) * x).detach()


def frozen(norm: Part) -> Part:
    """A norm times how its scale has changed since."""
    if isinstance(norm, nn.Identity):
        return norm
    centred = "LayerNorm" in type(norm).__name__ or isinstance(norm, FunctionType)  # the function is Cohere's
    eps = next((getattr(norm, name) for name in ("variance_epsilon", "eps") if hasattr(norm, name)), 1e-5)

    def scale(x: Tensor) -> Tensor:
        x = x - x.mean(-1, keepdim=True) if centred else x
        return (x.pow(2).mean(-1, keepdim=True) + eps).sqrt()

    def of(x: Tensor) -> Tensor:
        bias = norm(torch.zeros_like(x)).detach()
        return (norm(x) - bias) * (scale(x) / scale(x).detach()) + bias

    return of


def part(module: Part, rules: Rules) -> Part:
    """An MLP, or what stands in one."""
    if isinstance(module, nn.Sequential):
        return _chain([part(each, rules) for each in module])
    if hasattr(module, "module"):  # of a mixture, which wants a batch
        inner = part(module.module, rules)
        return lambda x: inner(x.reshape(1, -1, x.shape[-1])).view(x.shape)
    if hasattr(module, "experts"):
        return _mixture(module, rules)
    if hasattr(module, "down_proj"):
        return _gated(module, rules)
    for names in (*PLAIN, PLAIN_PHI):
        if hasattr(module, names[0]):
            return _chain([part(getattr(module, name), rules) for name in names])
    if hasattr(module, "factor") or isinstance(module, nn.Linear):
        return module
    if list(module.parameters()):
        return frozen(module) if rules.frozen_norms and module.weight.ndim == 1 else module
    return _activation(module, rules)


def _chain(parts: list[Part]) -> Part:
    def of(x: Tensor) -> Tensor:
        for each in parts:
            x = each(x)
        return x

    return of


def _activation(act: Part, rules: Rules) -> Part:
    if not rules.secants:
        return act
    return lambda x: x * torch.where(x == 0, 0.5, act(x) / x).detach()  # no slope at 0 matters but of GELU and SiLU


def _product(act: Part, gate: Tensor, up: Tensor, rules: Rules) -> Tensor:
    return damped(_activation(act, rules)(gate), rules.products) * damped(up, rules.products)


def _gated(mlp: nn.Module, rules: Rules) -> Part:
    act = mlp.act_fn if hasattr(mlp, "act_fn") else mlp.activation_fn

    def of(x: Tensor) -> Tensor:
        fused = hasattr(mlp, "gate_up_proj")
        gate, up = mlp.gate_up_proj(x).chunk(2, -1) if fused else (mlp.gate_proj(x), mlp.up_proj(x))
        return mlp.down_proj(_product(act, gate, up, rules))

    return of


def _mixture(block: nn.Module, rules: Rules) -> Part:
    """Every expert at every token, those that aren't chosen with weight 0."""
    experts, family = block.experts, type(block).__name__

    def expert(i: int, x: Tensor) -> Tensor:
        up, down = experts.gate_up_proj[i], experts.down_proj[i]
        if family == "GptOssMLP":
            return (
                _gpt_oss_product(experts, x @ up + experts.gate_up_proj_bias[i], rules) @ down
                + (experts.down_proj_bias[i])
            )
        up, down = (up, down) if family == "Llama4TextMoe" else (up.T, down.T)
        return _product(experts.act_fn, *(x @ up).chunk(2, -1), rules) @ down

    def of(x: Tensor) -> Tensor:
        flat, n = x.flatten(0, -2), len(experts.gate_up_proj)
        if family == "Llama4TextMoe":
            weights, _ = block.router(flat)
            out = sum(expert(i, flat * weights[:, i, None]) for i in range(n))
        else:
            _, top, chosen = (block.router if family == "GptOssMLP" else block.gate)(flat)
            weights = flat.new_zeros(len(flat), n).scatter(1, chosen, top)
            out = sum(weights[:, i, None] * expert(i, flat) for i in range(n))
        if hasattr(block, "shared_experts"):
            out = out + part(block.shared_experts, rules)(flat)
        if hasattr(block, "shared_expert"):
            gate = torch.sigmoid(block.shared_expert_gate(flat)) if hasattr(block, "shared_expert_gate") else 1
            out = out + gate * part(block.shared_expert, rules)(flat)
        return out.view(x.shape)

    return of


def _gpt_oss_product(experts: nn.Module, both: Tensor, rules: Rules) -> Tensor:
    gate = both[..., ::2].clamp(max=experts.limit)
    up = both[..., 1::2].clamp(-experts.limit, experts.limit)
    return damped(gate * torch.sigmoid(gate * experts.alpha), rules.products) * damped(up + 1, rules.products)


def surrogate_head(rules: Rules) -> Callable[..., Tensor]:
    """What a head writes, `[batch pos d_model]`, from its normed inputs; with a norm after attention, its share."""

    def z(model: PatchableModel, batch: object, layer: int, h: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        attention = model.components.blocks[layer].attention
        kv = h * attention.W_K.shape[0] // attention.W_Q.shape[0]
        scores = naive_scores(model, batch, layer, h, damped(q, rules.qk), damped(k, rules.qk))
        v = naive_projection(damped(v, rules.v), attention.W_V, attention.b_V, (), attention, kv)
        return _pattern(attention, h, scores, rules) @ v

    def head(model: PatchableModel, batch: object, layer: int, h: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        attention = model.components.blocks[layer].attention
        written = z(model, batch, layer, h, q, k, v) @ attention.W_O[h]
        if attention.post_norm_eps is not None:
            every = [z(model, batch, layer, i, q, k, v) @ attention.W_O[i] for i in range(model.graph.n_heads)]
            scale = (sum(every).pow(2).mean(-1, keepdim=True) + attention.post_norm_eps).sqrt()
            written = written / (scale.detach() if rules.frozen_norms else scale)
        return written if attention.gain is None else written * attention.gain

    return head


def _pattern(attention: object, h: int, scores: Tensor, rules: Rules) -> Tensor:
    shares = naive_shares(attention, h, scores)
    if rules.relevance:
        seen = (shares > 0) & (scores != 0)
        scores = scores.masked_fill(~seen, 1)
        parts = torch.where(seen, shares / scores, 0).detach()
        return shares.detach() * (1 + (parts * (scores - scores.detach())).sum(-1, keepdim=True))
    if rules.temperature == 1:
        return shares
    sinks = None if attention.sinks is None else attention.sinks / rules.temperature
    flat = naive_shares(replace(attention, sinks=sinks), h, scores / rules.temperature)
    return shares.detach() + rules.temperature * (flat - flat.detach())
