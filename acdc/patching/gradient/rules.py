"""Backward rules: what takes the place of derivatives in one backward pass, so that it says more of large changes.

| rules | norms | softmax | q and k | v | gate and up | activations |
|---|---|---|---|---|---|---|
| `gim` | frozen | at temperature 2 | 1/4 | 1/2 | 1/2 | derivative |
| `relp` | frozen | derivative | 1 | 1 | 1/2 | secant |
| `attnrlp` | frozen | by relevance | 1/4 | 1/2 | 1/2 | secant |

All norms are frozen: before components, after them, of q and k, and the final one. Soft caps, clips, sinks and routers
keep their derivatives. `relp` and `attnrlp` are layer-wise relevance propagation. `attnrlp` conserves: without biases,
caps and routers the sum of `out_s · g_s` over the edges of any cut is the metric, where that is a difference of logits.
`relp` conserves so far as patterns are constant.

References: Edin et al. 2025, GIM (arXiv 2505.17630 v4, and its package gim-explain after 0.1.4, which first scaled
gates); Rezaei Jafari et al. 2025, RelP (arXiv 2508.21258), without its rule for attention, as in its experiments on
IOI; AttnRLP, as the code of aryamanarora/EAP-IG carries RelP to attention. Its softmax is not that of AttnLRP
(Achtibat et al. 2024, arXiv 2402.05602), which is the derivative.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Annotated

import torch
from torch import Tensor, nn

from acdc.errors import ModelError
from acdc.models import PatchableModel
from acdc.models.components import Block, Norm
from acdc.options.ranges import OneOf
from acdc.patching.gradient.frozen_norms import FrozenNorms, check_frozen
from acdc.patching.gradient.mlp_rules import norms_beside, ruled_mlp
from acdc.patching.gradient.softmax_rules import at_temperature, by_relevance
from acdc.registry import Registry

__all__ = ["DERIVATIVES", "RULES", "Rules", "RulesName", "check_rules", "get_rules"]


@dataclass(frozen=True)
class Rules:
    """A set of backward rules; as given here, all are derivatives.

    Attributes:
        frozen_norms: Norms' scales are constants.
        temperature: Of the softmax, on the way back alone.
        relevance: The softmax hands back relevance in place of a derivative.
        qk, v: Factors of the gradients of heads' q and k, and v. 0 for q and k holds patterns constant.
        products: Factor of the gradients of gate and up.
        secants: Activations count as the secant through 0.
    """

    frozen_norms: bool = False
    temperature: float = 1.0
    relevance: bool = False
    qk: float = 1.0
    v: float = 1.0
    products: float = 1.0
    secants: bool = False

    def norms(self) -> AbstractContextManager[object]:
        """Within it norms hand gradients back by the rules."""
        return FrozenNorms() if self.frozen_norms else nullcontext()

    def block(self, block: Block, dtype: torch.dtype) -> Block:
        """A block with the softmax and the MLP by the rules."""
        attention = replace(block.attention, softmax=self._softmax(dtype))
        if not self.secants and self.products == 1:
            return replace(block, attention=attention)
        if not isinstance(block.mlp, nn.Module):
            raise ModelError(f"backward rules can't look into the MLP {block.mlp!r}, which is no module")
        return replace(
            block, attention=attention, mlp=ruled_mlp(block.mlp, secants=self.secants, products=self.products)
        )

    def _softmax(self, dtype: torch.dtype) -> Callable[[Tensor], Tensor] | None:
        if self.relevance:
            return by_relevance(dtype)
        return None if self.temperature == 1 else at_temperature(self.temperature)

    def scaled(self, gradients: list[Tensor]) -> list[Tensor]:
        """The gradients of q, k and v, each by its factor."""
        factors = (self.qk, self.qk, self.v)
        return [g if factor == 1 else factor * g for g, factor in zip(gradients, factors, strict=True)]


DERIVATIVES = Rules()
RULES: Registry[Rules] = Registry(
    "set of backward rules",
    {
        "gim": Rules(frozen_norms=True, temperature=2.0, qk=0.25, v=0.5, products=0.5),
        "relp": Rules(frozen_norms=True, products=0.5, secants=True),
        "attnrlp": Rules(frozen_norms=True, relevance=True, qk=0.25, v=0.5, products=0.5, secants=True),
    },
)
RulesName = Annotated[str, OneOf(RULES)]


def get_rules(name: str | None) -> Rules:
    """The rules of this name; derivatives alone if None.

    Raises:
        UnknownNameError: There are none.
    """
    return DERIVATIVES if name is None else RULES.find(name)


def check_rules(model: PatchableModel, rules: Rules) -> None:
    """Raise `ModelError` where the rules don't know a norm, an activation or an MLP of the model, and name it."""
    for block in model.components.blocks:
        rules.block(block, model.dtype)
    if rules.frozen_norms:
        for norm, width in _norms(model):
            check_frozen(norm, width, model.components.unembed)


def _norms(model: PatchableModel) -> Iterator[tuple[Norm, int]]:
    """All norms of a model, and how many numbers each takes; that after attention is ours, and known."""
    d_model = model.graph.d_model
    for block in model.components.blocks:
        attention, of_stream = block.attention, [block.ln1, block.ln2]
        if isinstance(block.mlp, nn.Module):
            of_stream += norms_beside(block.mlp)
        yield from ((norm, d_model) for norm in of_stream)
        for norms, heads in ((attention.q_norm, attention.W_Q), (attention.k_norm, attention.W_K)):
            width = heads.shape[-1] * (len(heads) if attention.norm_over_heads else 1)
            yield from ((norm, width) for norm in norms)
    yield model.components.ln_final, d_model
