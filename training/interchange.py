"""A Hugging Face GPT-2 in which any edge may read another prompt's activation, differentiable in the weights.

    x_d = Σ_{kept s} out_s + Σ_{removed s} other_s + constants,

with a mask for every prompt of the batch, so that one step of training sees as many circuits as it has prompts.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformers import GPT2LMHeadModel

__all__ = ["Run"]


class Run:
    """One forward pass.

    Args:
        model: In place; gradients flow into its weights.
        ids: Prompts of one length.
        keep: Edges of each prompt that read this run, `[batch src dst]`, in the order of `acdc.Graph`; the others read
            `other`'s. None keeps all.
        other: The run that removed edges read.

    Attributes:
        sources: NodeOutputs of all sources, `[batch pos d_model]` each.
        logits: At the last position.
    """

    def __init__(
        self,
        model: GPT2LMHeadModel,
        ids: Int[Tensor, "batch pos"],
        keep: Bool[Tensor, "batch src dst"] | None = None,
        other: "Run | None" = None,
    ) -> None:
        self.keep, self.other, body = keep, other, model.transformer
        self.n_heads = model.config.n_head
        self.sources = [body.wte(ids) + body.wpe(torch.arange(ids.shape[1]))]
        self.constants, self.n_read = torch.zeros(()), 0
        for block in body.h:
            self._attention(block.ln_1, block.attn)
            self.sources.append(block.mlp(block.ln_2(self._read(1)[0])))
        self.logits = model.lm_head(body.ln_f(self._read(1)[0][:, -1]))

    def _read(self, n: int) -> Float[Tensor, "n batch pos d_model"]:
        """Inputs of the next n destinations."""
        live = torch.stack(self.sources)
        if self.keep is None or self.other is None:
            return (live.sum(0) + self.constants).expand(n, *live.shape[1:])
        other = torch.stack(self.other.sources[: len(live)])
        keep = self.keep[:, : len(live), self.n_read : self.n_read + n].to(live.dtype)
        self.n_read += n
        return torch.einsum("bsn,sbpd->nbpd", keep, live - other) + other.sum(0) + self.constants

    def _attention(self, norm: torch.nn.Module, attn: torch.nn.Module) -> None:
        x = norm(self._read(3 * self.n_heads)).unflatten(0, (3, self.n_heads))  # [qkv head batch pos d_model]
        d_model = x.shape[-1]
        weight = attn.c_attn.weight.view(d_model, 3, self.n_heads, -1)
        bias = attn.c_attn.bias.view(3, self.n_heads, 1, 1, -1)
        q, k, v = torch.einsum("thbpd,dthe->thbpe", x, weight) + bias
        z = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        written = torch.einsum("hbpe,hed->hbpd", z, attn.c_proj.weight.view(self.n_heads, -1, d_model))
        self.sources += list(written)
        self.constants = self.constants + attn.c_proj.bias
