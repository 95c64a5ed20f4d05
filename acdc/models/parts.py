"""The parts of a model that the engines use: Hugging Face's own modules, and per-head views of attention weights.

Nothing is copied: each weight is a view of the module's parameter.
"""

from collections.abc import Callable
from dataclasses import dataclass

from jaxtyping import Float, Int
from torch import Tensor

__all__ = ["Attention", "Block", "Parts"]


@dataclass(frozen=True)
class Attention:
    """One layer's attention, per head; `n_kv` < `n_heads` with grouped-query attention.

    `q = x W_Q + b_Q`, likewise k and v; a head writes `z W_O`, and `b_O` belongs to no head.

    Attributes:
        scale: Factor of the attention scores.
        window: Number of latest positions that a query sees, itself included; None for all.
    """

    W_Q: Float[Tensor, "n_heads d_model d_head"]
    W_K: Float[Tensor, "n_kv d_model d_head"]
    W_V: Float[Tensor, "n_kv d_model d_head"]
    W_O: Float[Tensor, "n_heads d_head d_model"]
    b_Q: Float[Tensor, "n_heads d_head"] | None
    b_K: Float[Tensor, "n_kv d_head"] | None
    b_V: Float[Tensor, "n_kv d_head"] | None
    b_O: Float[Tensor, " d_model"] | None
    scale: float
    window: int | None = None


@dataclass(frozen=True)
class Block:
    """One layer: the two norms and the MLP are Hugging Face's modules."""

    attention: Attention
    attention_norm: Callable[[Tensor], Tensor]
    mlp_norm: Callable[[Tensor], Tensor]
    mlp: Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Parts:
    """A whole model.

    Attributes:
        embed: Token ids and position ids, `[batch pos]`, to the residual stream's start, `[batch pos d_model]`.
        rotary: The residual stream and position ids to the tables (cos, sin), `[batch pos d_rotary]`; None without
            rotary embeddings.
        unembed: Weight of the unembedding; `unembed_bias` its bias, if any.
        parallel: Attention and MLP of a block read the same residual stream.
    """

    embed: Callable[[Int[Tensor, "batch pos"], Int[Tensor, "batch pos"]], Float[Tensor, "batch pos d_model"]]
    blocks: tuple[Block, ...]
    final_norm: Callable[[Tensor], Tensor]
    unembed: Float[Tensor, "vocab d_model"]
    unembed_bias: Float[Tensor, " vocab"] | None
    rotary: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] | None
    parallel: bool = False
