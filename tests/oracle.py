"""The slow and obvious reference: hooks on nothing, views of nothing, one whole masked forward for every question.

Every source's output is held in the residual stream, every destination sums its own input from scratch, and
attention is written out for one head at a time.
"""

import math

import torch
from torch import Tensor

from acdc.metrics import Metric
from acdc.models import PatchableModel
from acdc.patching.activations import Outputs
from acdc.prompts import PromptBatch


def ablated_sources(model: PatchableModel, ablated: Outputs) -> dict[str, Tensor]:
    """Each source's ablated output in the residual stream, `[batch pos d_model]`."""
    written = {"input": ablated.input}
    for layer, block in enumerate(model.parts.blocks):
        for h in range(model.graph.n_heads):
            written[f"a{layer}.h{h}"] = ablated.z[layer][h] @ block.attention.W_O[h]
        written[f"m{layer}"] = ablated.mlp[layer]
    return written


def naive_logits(model: PatchableModel, batch: PromptBatch, ablated: Outputs, mask: Tensor) -> Tensor:
    """Target logits of the circuit `mask`, `[batch vocab]`."""
    graph, parts = model.graph, model.parts
    patched = ablated_sources(model, ablated)
    live = {"input": parts.embed(batch.clean, batch.position_ids).detach()}
    constants = torch.zeros_like(live["input"])

    def read(dst: str) -> Tensor:
        j = graph.dst_index[dst]
        total = constants.clone()
        for i in range(int(graph.upstream[j])):
            name = graph.sources[i]
            total += live[name] if mask[i, j] else patched[name]
        return total

    for layer, block in enumerate(parts.blocks):
        inputs = {f"a{layer}.h{h}<{kind}>": None for kind in "qkv" for h in range(graph.n_heads)}
        inputs = {dst: read(dst) for dst in inputs}
        mlp_input = read(f"m{layer}") if graph.parallel else None
        for h in range(graph.n_heads):
            q, k, v = (block.attention_norm(inputs[f"a{layer}.h{h}<{kind}>"]) for kind in "qkv")
            live[f"a{layer}.h{h}"] = naive_head(model, batch, layer, h, q, k, v)
        if block.attention.b_O is not None:
            constants = constants + block.attention.b_O
        live[f"m{layer}"] = block.mlp(block.mlp_norm(read(f"m{layer}") if mlp_input is None else mlp_input))
    return (parts.final_norm(read("logits")[:, -1]) @ parts.unembed.T + (parts.unembed_bias or 0)).detach()


def naive_head(
    model: PatchableModel, batch: PromptBatch, layer: int, h: int, q: Tensor, k: Tensor, v: Tensor
) -> Tensor:
    """What one head writes, `[batch pos d_model]`, from its three normed inputs."""
    attention = model.parts.blocks[layer].attention
    kv = h * attention.W_K.shape[0] // attention.W_Q.shape[0]
    q = q @ attention.W_Q[h] + (0 if attention.b_Q is None else attention.b_Q[h])
    k = k @ attention.W_K[kv] + (0 if attention.b_K is None else attention.b_K[kv])
    v = v @ attention.W_V[kv] + (0 if attention.b_V is None else attention.b_V[kv])
    if model.parts.rotary is not None:
        cos, sin = model.parts.rotary(q, batch.position_ids)
        q, k = naive_rotation(q, cos, sin), naive_rotation(k, cos, sin)
    scores = q @ k.transpose(1, 2) * attention.scale
    position, column = batch.position_ids, torch.arange(batch.n_pos)
    seen = (column[:, None] >= column[None, :]) & batch.attention[:, None, :]
    if attention.window is not None:
        seen = seen & (position[:, :, None] - position[:, None, :] < attention.window)
    scores = scores.masked_fill(~seen, -math.inf).masked_fill(~batch.attention[:, :, None], 0)
    return scores.softmax(-1) @ v @ attention.W_O[h]


def naive_rotation(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Pairs (i, i + half) turned by their angle."""
    out, half = x.clone(), cos.shape[-1] // 2
    for i in range(half):
        out[..., i] = x[..., i] * cos[..., i] - x[..., i + half] * sin[..., i]
        out[..., i + half] = x[..., i + half] * cos[..., i + half] + x[..., i] * sin[..., i + half]
    return out


def naive_loss(
    model: PatchableModel, batch: PromptBatch, ablated: Outputs, mask: Tensor, metric: Metric, clean_logits: Tensor
) -> float:
    """The circuit's mean loss; lower is better."""
    logits = naive_logits(model, batch, ablated, mask)
    value = float(metric.function(logits, batch.correct, batch.wrong, clean_logits).mean())
    return -value if metric.higher_is_better else value


def naive_acdc(
    model: PatchableModel,
    batch: PromptBatch,
    ablated: Outputs,
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
    graph = model.graph
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
