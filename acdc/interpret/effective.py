"""Embeddings of tokens: as they are, and effective ones, with what the first MLP makes of them alone.

Reference: Wang et al. 2022, section 3.1 (MLP0's output as the token's embedding).
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from acdc.models import PatchableModel
from acdc.options.defaults import MEMORY

__all__ = ["chunks", "effective", "embedded"]


def chunks(model: PatchableModel, ids: Int[Tensor, " n"] | None = None) -> tuple[Int[Tensor, " chunk"], ...]:
    """Token ids, or those of the whole vocabulary, so many at a time as the inside of an MLP has room for."""
    every = torch.arange(len(model.components.unembed), device=model.device) if ids is None else ids
    width = max(model.graph.d_model, 1) * 16  # an MLP's inside and what it is made of
    return every.split(max(1, MEMORY // (4 * width)))


def embedded(model: PatchableModel, ids: Int[Tensor, " n"]) -> Float[Tensor, "n d_model"]:
    """`E_t`, at the position that a prompt's second token has where positions are embedded."""
    return model.embed(ids[:, None], torch.ones_like(ids)[:, None])[:, 0]


def effective(model: PatchableModel, plain: Float[Tensor, "n d_model"]) -> Float[Tensor, "n d_model"]:
    """`E_t + MLP0(E_t)`."""
    block = model.components.blocks[0]
    return plain + block.mlp(block.ln2(plain))
