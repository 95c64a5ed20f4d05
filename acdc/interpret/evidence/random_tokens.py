"""Attention on random tokens that come twice: one pass serves all roles that are a place to look at.

    prompt = (what the tokenizer puts before a text) t_1 ... t_T t_1 ... t_T

The tokens of a half are all different, so the first half has no repetition: what a head does there it does by position
alone. In the second half the earlier copy stands T tokens back, and what followed it T - 1 back.
"""

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float, Int
from torch import Tensor

from acdc.interpret.attention_pass import LayerAttention, attention_pass
from acdc.interpret.evidence.drawn import Drawn
from acdc.interpret.folded import folded
from acdc.models import PatchableModel
from acdc.patching.attention import pull_to_heads

__all__ = ["RandomTokens"]


@dataclass(frozen=True)
class RandomTokens:
    """Means over sequences and positions.

    Attributes:
        drawn: The prompts.
        fresh: Attention from i to i - k in the first half, for each k; `squares` the mean of its squares, and `count`
            from how many positions of a prompt.
        repeated: The same in the second half.
        first: Attention to the very first position, in the first half.
        copied: Attention to what followed the earlier copy, counted where the head's output raises that token's logit.
    """

    drawn: Drawn
    fresh: Float[Tensor, "layer head offset"]
    squares: Float[Tensor, "layer head offset"]
    count: Int[Tensor, " offset"]
    repeated: Float[Tensor, "layer head pos"]
    first: Float[Tensor, "layer head"]
    copied: Float[Tensor, "layer head"]

    @classmethod
    def measure(cls, model: PatchableModel, drawn: Drawn) -> "RandomTokens":
        """One forward pass."""
        towards, found = _followers(model, drawn), list[tuple[Tensor, ...]]()

        def visit(here: LayerAttention) -> None:
            pattern = here.pattern.double()
            fresh, squares = (_diagonals(x, drawn.fresh)[:, : drawn.half] for x in (pattern, pattern.square()))
            first = pattern[:, :, drawn.fresh, 0].mean((1, 2))
            raised = _writes(here, towards, drawn.repeated) > 0
            looked = pattern[:, :, drawn.repeated, [i - drawn.half + 1 for i in drawn.repeated]]
            copied = (looked * raised).mean((1, 2))
            found.append((fresh, squares, _diagonals(pattern, drawn.repeated), first, copied))

        attention_pass(model, drawn.batch, drawn.batch.clean, visit)
        fresh, squares, repeated, first, copied = (torch.stack(each).cpu() for each in zip(*found, strict=True))
        count = torch.tensor([sum(i >= k for i in drawn.fresh) for k in range(drawn.half)])
        return cls(drawn, fresh, squares, count, repeated, first, copied)

    @property
    def duplicate(self) -> Float[Tensor, "layer head"]:
        """Attention to the earlier copy."""
        return self.repeated[..., self.drawn.half]

    @property
    def induction(self) -> Float[Tensor, "layer head"]:
        """Attention to what followed the earlier copy."""
        return self.repeated[..., self.drawn.half - 1]

    @cached_property
    def by_offset(self) -> Float[Tensor, "layer head"]:
        """R²: the share of the pattern's variance, over all pairs of a query and an earlier key, that k explains."""
        weights = self.count / self.count.sum()
        mean, square = (weights * self.fresh).sum(-1), (weights * self.squares).sum(-1)
        between = (weights * self.fresh.square()).sum(-1) - mean.square()
        return between / (square - mean.square()).clamp_min(1e-30)


def _followers(model: PatchableModel, drawn: Drawn) -> Float[Tensor, "batch row d_model"]:
    """For each position of the second half, what raises the logit of the token that is to follow, against all tokens'
    mean; up to the final norm's scale, which is positive."""
    unembed = model.components.unembed
    follows = drawn.batch.clean[:, [i + 1 for i in drawn.repeated]]
    rows = (unembed[follows.flatten()] - unembed.mean(0)).T
    return folded(model.components.ln_final, rows).T.view(*follows.shape, -1)


def _writes(
    here: LayerAttention, towards: Float[Tensor, "batch row d_model"], rows: range
) -> Float[Tensor, "head batch row"]:
    """What each head writes at these positions, along `towards`."""
    z, heads = here.written(here.z())[:, :, list(rows)], range(here.attention.n_heads)
    return (z * pull_to_heads(here.attention, towards.to(z.dtype), heads)).sum(-1)


def _diagonals(pattern: Float[Tensor, "head batch query key"], rows: range) -> Float[Tensor, "head _offset"]:
    """Mean attention from these positions to the one k before, for each k; over those that have one."""
    means = [pattern[:, :, [i for i in rows if i >= k], [i - k for i in rows if i >= k]] for k in range(rows.stop)]
    return torch.stack([each.mean((1, 2)) for each in means], -1)
