"""The slow and obvious reference: hooks on nothing, views of nothing, one whole masked forward for every question.

Every source's output is held in the residual stream, every destination sums its own input from scratch, and
attention is written out for one head at a time.
"""

import math

import torch
from torch import Tensor

from acdc.metrics import Metric
from acdc.models import PatchableModel
from acdc.models.components import Attention
from acdc.patching.activations import NodeOutputs
from acdc.patching.spans import split_graph
from acdc.prompts.batch import PromptBatch


def ablated_sources(model: PatchableModel, ablated: NodeOutputs) -> dict[str, Tensor]:
    """Each source's ablated output in the residual stream, `[batch pos d_model]`."""
    written = {"input": ablated.input}
    for layer, block in enumerate(model.components.blocks):
        for h in range(model.graph.n_heads):
            gain = 1.0 if block.attention.gain is None else block.attention.gain
            written[f"a{layer}.h{h}"] = ablated.z[layer][h] @ block.attention.W_O[h] * gain
        written[f"m{layer}"] = ablated.mlp[layer]
    return written


def naive_logits(model: PatchableModel, batch: PromptBatch, ablated: NodeOutputs, mask: Tensor) -> Tensor:
    """Target logits of the circuit `mask`, `[batch vocab]`; its columns are split by the batch's spans."""
    graph, components = model.graph, model.components
    at_spans = mask.view(len(mask), graph.n_dst, -1)
    span_ids = torch.zeros_like(batch.clean) if batch.span_ids is None else batch.span_ids
    patched = ablated_sources(model, ablated)
    live = {"input": components.embed(batch.clean, batch.position_ids).detach()}
    constants = torch.zeros_like(live["input"])

    def read(dst: str) -> Tensor:
        j = graph.dst_index[dst]
        total = constants.clone()
        for i in range(int(graph.upstream[j])):
            name = graph.sources[i]
            total += torch.where(at_spans[i, j][span_ids][..., None], live[name], patched[name])
        return total

    for layer, block in enumerate(components.blocks):
        inputs = {f"a{layer}.h{h}<{kind}>": None for kind in "qkv" for h in range(graph.n_heads)}
        inputs = {dst: read(dst) for dst in inputs}
        mlp_input = read(f"m{layer}") if graph.parallel else None
        for h in range(graph.n_heads):
            q, k, v = (block.ln1(inputs[f"a{layer}.h{h}<{kind}>"]) for kind in "qkv")
            live[f"a{layer}.h{h}"] = naive_head(model, batch, layer, h, q, k, v)
        constants = constants + naive_constant(block.attention)
        live[f"m{layer}"] = block.mlp(block.ln2(read(f"m{layer}") if mlp_input is None else mlp_input))
    return naive_unembed(model, read("logits")[:, -1]).detach()


def naive_constant(attention: Attention) -> Tensor | float:
    """What a layer's attention adds that belongs to no head."""
    gain = 1.0 if attention.gain is None else attention.gain
    return 0.0 if attention.b_O is None else attention.b_O * gain


def naive_unembed(model: PatchableModel, final: Tensor) -> Tensor:
    """Logits from the last residual stream."""
    components = model.components
    bias = 0 if components.unembed_bias is None else components.unembed_bias
    logits = (components.ln_final(final) @ components.unembed.T + bias) / components.logit_divisor
    return logits if components.logit_cap is None else components.logit_cap * torch.tanh(logits / components.logit_cap)


def naive_head(
    model: PatchableModel, batch: PromptBatch, layer: int, h: int, q: Tensor, k: Tensor, v: Tensor
) -> Tensor:
    """What one head writes, `[batch pos d_model]`, from its three normed inputs.

    With a norm after attention, it is the head's share of what the whole layer would write on these inputs.
    """
    attention = model.components.blocks[layer].attention
    gain = 1.0 if attention.gain is None else attention.gain
    mine = naive_z(model, batch, layer, h, q, k, v) @ attention.W_O[h]
    if attention.post_norm_eps is not None:
        every = [naive_z(model, batch, layer, i, q, k, v) @ attention.W_O[i] for i in range(model.graph.n_heads)]
        mine = mine / (sum(every).pow(2).mean(-1, keepdim=True) + attention.post_norm_eps).sqrt()
    return mine * gain


def naive_z(model: PatchableModel, batch: PromptBatch, layer: int, h: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """One head's mixture of values."""
    attention = model.components.blocks[layer].attention
    kv = h * attention.W_K.shape[0] // attention.W_Q.shape[0]
    v = naive_projection(v, attention.W_V, attention.b_V, (), attention, kv)
    return naive_shares(attention, h, naive_scores(model, batch, layer, h, q, k)) @ v


def naive_shares(attention: Attention, h: int, scores: Tensor) -> Tensor:
    """The pattern: softmax, of which a sink takes its part."""
    weights = scores.exp()
    total = weights.sum(-1, keepdim=True)
    if attention.sinks is not None:
        total = total + attention.sinks[h].exp()
    return weights / total


def naive_scores(model: PatchableModel, batch: PromptBatch, layer: int, h: int, q: Tensor, k: Tensor) -> Tensor:
    """One head's attention scores, -inf where a query doesn't see a key."""
    attention = model.components.blocks[layer].attention
    kv = h * attention.W_K.shape[0] // attention.W_Q.shape[0]
    q = naive_projection(q, attention.W_Q, attention.b_Q, attention.q_norm, attention, h)
    k = naive_projection(k, attention.W_K, attention.b_K, attention.k_norm, attention, kv)
    if attention.rotary is not None:
        cos, sin = attention.rotary(q, batch.position_ids)
        q, k = (naive_rotation(x, cos.to(x.dtype), sin.to(x.dtype), attention.interleaved) for x in (q, k))
    scores = q @ k.transpose(1, 2) * attention.scale
    if attention.soft_cap is not None:
        scores = attention.soft_cap * torch.tanh(scores / attention.soft_cap)
    if attention.alibi is not None:
        scores = scores + attention.alibi(batch.attention.long(), scores.dtype)[:, h]
    position, column = batch.position_ids, torch.arange(batch.n_pos)
    seen = (column[:, None] >= column[None, :]) & batch.attention[:, None, :]
    if attention.window is not None:
        seen = seen & (position[:, :, None] - position[:, None, :] < attention.window)
    return scores.masked_fill(~seen, -math.inf).masked_fill(~batch.attention[:, :, None], 0)


def naive_projection(
    x: Tensor, weight: Tensor, bias: Tensor | None, norms: tuple, attention: Attention, h: int
) -> Tensor:
    """q, k or v of one stored head before rotation."""
    heads = [x @ weight[i] + (0 if bias is None else bias[i]) for i in range(len(weight))]
    if attention.clip is not None:
        heads = [head.clamp(-attention.clip, attention.clip) for head in heads]
    if norms and attention.norm_over_heads:
        return norms[0](torch.cat(heads, -1)).split(weight.shape[-1], -1)[h]
    return norms[h if len(norms) > 1 else 0](heads[h]) if norms else heads[h]


def naive_rotation(x: Tensor, cos: Tensor, sin: Tensor, interleaved: bool) -> Tensor:
    """Pairs (i, i + half), or (2i, 2i + 1), turned by their angle."""
    out, half = x.clone(), cos.shape[-1] // 2
    for pair in range(half):
        i, j = (2 * pair, 2 * pair + 1) if interleaved else (pair, pair + half)
        out[..., i] = x[..., i] * cos[..., i] - x[..., j] * sin[..., i]
        out[..., j] = x[..., j] * cos[..., j] + x[..., i] * sin[..., j]
    return out


def naive_loss(
    model: PatchableModel, batch: PromptBatch, ablated: NodeOutputs, mask: Tensor, metric: Metric, clean_logits: Tensor
) -> float:
    """The circuit's mean loss; lower is better."""
    logits = naive_logits(model, batch, ablated, mask)
    value = float(metric.function(logits, batch.correct, batch.wrong, clean_logits).mean())
    return -value if metric.higher_is_better else value


def naive_acdc(
    model: PatchableModel,
    batch: PromptBatch,
    ablated: NodeOutputs,
    metric: Metric,
    tau: float,
    *,
    order: list[tuple[int, int]],
    absolute: bool = False,
    sweeps: int = 1,
) -> tuple[Tensor, dict[tuple[int, int], float]]:
    """ACDC as the paper's algorithm 1 says it: every edge with one masked forward, nothing skipped.

    Returns:
        The kept edges, and each edge's change of the loss when it was last tried.
    """
    graph = split_graph(model.graph, batch)
    mask, changes = graph.edges_mask, {}
    clean_logits = naive_logits(model, batch, ablated, mask)
    loss = naive_loss(model, batch, ablated, mask, metric, clean_logits)
    for _ in range(sweeps):
        before = mask.clone()
        for edge in order:
            if not mask[edge]:
                continue
            trial = mask.clone()
            trial[edge] = False
            new = naive_loss(model, batch, ablated, trial, metric, clean_logits)
            changes[edge] = new - loss
            if (abs(new - loss) if absolute else new - loss) < tau:
                mask, loss = trial, new
        if bool((mask == before).all()):
            break
    return mask, changes
