"""What heads do to tokens by their weights alone: the OV circuit, from a token that is read to logits that are written.

    token t -> W_E[t] -> (norm) W_V W_O -> (norm) W_U

The norms' weights are folded in and their scales left out: they are positive, and each token's own. Attention, biases
and all other layers are left out too.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float, Int
from torch import Tensor

from acdc.interpret.folded import folded
from acdc.models import PatchableModel
from acdc.models.components import Block

__all__ = ["ValueCircuits"]

AT_ONCE = 4096  # tokens
TOP = 5
ROUNDING = 1e-6  # of float32


@dataclass(frozen=True)
class ValueCircuits:
    """A model's OV circuits."""

    model: PatchableModel

    @cached_property
    def copying(self) -> Float[Tensor, "layer head"]:
        """Σ λ / Σ |λ| of each head's `W_E W_V W_O W_U`: 1 where all tokens raise their own logits, -1 where all lower.

        The eigenvalues of that vocabulary-square matrix are those of the d_head-square one, `W_O (W_U W_E) W_V`. Logits
        are taken against their mean, which a softmax ignores: what is common to all tokens would be the largest
        eigenvalue of most heads.
        """
        parts = self.model.components
        both = folded(parts.ln_final, self._unembed_embed())
        found = []
        for block in parts.blocks:
            squares = torch.stack([_square(read, both, written) for read, written in _read_and_written(block)])
            values = torch.linalg.eigvals(squares)
            found.append(values.real.sum(-1) / values.abs().sum(-1).clamp_min(torch.finfo(torch.float64).tiny))
        return torch.stack(found).cpu()

    def _unembed_embed(self) -> Float[Tensor, "d_model d_model"]:
        """`(W_U - mean)ᵀ W_E`, a sum over the vocabulary."""
        unembed = self.model.components.unembed.detach()
        mean = unembed.mean(0)
        total = torch.zeros(unembed.shape[1], unembed.shape[1], dtype=torch.float64, device=unembed.device)
        for ids in torch.arange(len(unembed), device=unembed.device).split(AT_ONCE):
            total += ((unembed[ids] - mean).T @ self.embedded(ids)).double()
        return total

    @torch.no_grad()
    def embedded(self, ids: Int[Tensor, " token"]) -> Float[Tensor, "token d_model"]:
        """Tokens' embeddings without that of a position.

        A learned embedding of positions adds the same to all tokens, so it shows as what the table of tokens lacks.
        """
        made = self.model.embed(ids[None], torch.zeros_like(ids)[None])[0]
        table = self.model.hf.get_input_embeddings().weight
        if table.is_meta or table.shape[1] != made.shape[1]:
            return made
        lacking = made - table[ids].to(made)
        first = self.model.embed(ids.new_zeros(1, 1), ids.new_zeros(1, 1))[0, 0] - table[0].to(made)
        return made - first if torch.allclose(lacking, first.expand_as(lacking), rtol=1e-3, atol=1e-4) else made

    @torch.no_grad()
    def effective(self, ids: Int[Tensor, " token"]) -> Float[Tensor, "token d_model"]:
        """Tokens' embeddings and what the first MLP makes of them (Wang et al. 2022): with tied weights an embedding
        alone says what comes after a token rather than what it is."""
        x, block = self.embedded(ids), self.model.components.blocks[0]
        return x + block.mlp(block.ln2(x))

    @torch.no_grad()
    def logits(
        self, ids: Int[Tensor, " token"], of: Int[Tensor, " of"] | None = None
    ) -> Iterator[Float[Tensor, "head token n"]]:
        """For each layer, the logits of tokens `of` (default: all) if a head alone wrote, having read one token."""
        x = self.effective(ids)
        for block in self.model.components.blocks:
            attention = block.attention
            v = torch.einsum("td,hde->hte", block.ln1(x), attention.W_V).repeat_interleave(attention.group, 0)
            out = torch.einsum("hte,hed->htd", v, _written(block))
            yield self.model.unembed(out.flatten(0, 1), of).unflatten(0, out.shape[:2])

    def extremes(self, ids: Int[Tensor, " token"]) -> tuple[Float[Tensor, "layer head"], Float[Tensor, "layer head"]]:
        """Shares of these tokens that are among the `TOP` highest logits, and among the lowest, each having been read.

        The lowest are the highest of the head with the opposite sign, but for a final norm's bias.
        """
        high, low = list[Tensor](), list[Tensor]()
        for logits in self.logits(ids):
            own = logits.gather(-1, ids[None, :, None].expand(len(logits), -1, 1))
            high.append(((logits > own).sum(-1) < TOP).double().mean(-1))
            low.append(((logits < own).sum(-1) < TOP).double().mean(-1))
        return torch.stack(high).cpu(), torch.stack(low).cpu()


def _square(
    read: Float[Tensor, "d_model d_head"],
    both: Float[Tensor, "d_model d_model"],
    written: Float[Tensor, "d_head d_model"],
) -> Float[Tensor, "d_head d_head"]:
    """`W_O (W_U W_E) W_V`; 0 where that is rounding: the head writes nothing of tokens that the logits read."""
    square = written.double() @ both.double() @ read.double()
    whole = written.norm().double() * both.norm().double() * read.norm().double()
    return square if square.norm() > ROUNDING * whole else torch.zeros_like(square)


def _written(block: Block) -> Float[Tensor, "head d_head d_model"]:
    attention = block.attention
    return attention.W_O if attention.gain is None else (attention.W_O * attention.gain).to(attention.W_O.dtype)


def _read_and_written(block: Block) -> list[tuple[Float[Tensor, "d_model d_head"], Float[Tensor, "d_head d_model"]]]:
    """Each query head's W_V behind its norm, and W_O."""
    attention = block.attention
    read = [folded(block.ln1, weight) for weight in attention.W_V.detach()]
    written = _written(block).detach()
    return [(read[h // attention.group], out.to(read[0])) for h, out in enumerate(written)]
