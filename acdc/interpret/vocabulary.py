"""Which tokens of a vocabulary are worth showing, and the strongest of them as text."""

from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from acdc.models import PatchableModel
from acdc.prompts.tokens import pieces

__all__ = ["Ranked", "ordinary_tokens", "strongest_tokens"]

Ranked = tuple[tuple[str, float], ...]  # tokens as text, the strongest first, and their values


def ordinary_tokens(model: PatchableModel) -> Bool[Tensor, " vocab"]:
    """False at special tokens, and at ids that the tokenizer has no token for: what they do is seldom learned."""
    n = len(model.components.unembed)
    ordinary = torch.arange(n) < len(model.tokenizer)
    added: Any = getattr(model.tokenizer, "added_tokens_decoder", {})
    special = {*getattr(model.tokenizer, "all_special_ids", []), *(i for i, token in added.items() if token.special)}
    ordinary[[token for token in special if token < n]] = False
    return ordinary.to(model.device)


def strongest_tokens(
    model: PatchableModel, values: Float[Tensor, " vocab"], top: int, among: Bool[Tensor, " vocab"]
) -> tuple[Ranked, Ranked]:
    """The tokens of the largest and those of the smallest values, at most `top` of each."""
    top = min(top, int(among.sum()))

    def ranked(signed: Float[Tensor, " vocab"], sign: float) -> Ranked:
        best = signed.masked_fill(~among, -torch.inf).topk(top)
        return tuple(zip(pieces(model.tokenizer, best.indices.tolist()), (sign * best.values).tolist(), strict=True))

    return ranked(values, 1.0), ranked(-values, -1.0)
