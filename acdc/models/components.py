"""The parts of a model that the engines use: Hugging Face's own modules, and per-head views of attention weights.

Nothing is copied where a view can be had: each weight is a view of the module's parameter. What differs between
families is a field here; `acdc.patching.attention` is the one place that reads these fields.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from jaxtyping import Float, Int
from torch import Tensor

__all__ = ["Attention", "Block", "Embed", "ModelComponents", "Norm", "Rotary", "index_of"]

Norm = Callable[[Tensor], Tensor]
Rotary = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
Embed = Callable[[Int[Tensor, "batch pos"], Int[Tensor, "batch pos"]], Float[Tensor, "batch pos d_model"]]


@dataclass(frozen=True)
class Attention:
    """One layer's attention, per head; `n_kv` < `n_heads` with grouped-query attention.

    `q = rotate(q_norm(clip(x W_Q + b_Q)))`, likewise k, and v without norm and rotation;
    `z = softmax(soft_cap(scale q kᵀ) + mask + ALiBi, with sinks) v`; a head writes `gain z W_O`, and `gain b_O` belongs
    to no head.

    Attributes:
        scale: Factor of the attention scores.
        window: Number of latest positions that a query sees, itself included; None for all.
        rotary: The residual stream and position ids to the tables (cos, sin), `[batch pos d_rotary]`; None without.
        interleaved: Rotation pairs dimensions 2i and 2i + 1, not i and i + d_rotary / 2.
        clip: Largest size of q, k and v.
        q_norm, k_norm: Norm of each head's q or k; one norm alone is shared by all heads; empty without.
        norm_over_heads: The one q norm and the one k norm act on all heads side by side.
        soft_cap: Scores s become `soft_cap tanh(s / soft_cap)`.
        sinks: A score for each head that takes its share of the softmax and adds nothing.
        alibi: The attention mask and a dtype to what is added to the scores of each head's keys.
        gain: Factor of what the heads write: a residual multiplier, or the weight of a norm after attention.
        post_norm_eps: Epsilon of the RMS norm after attention; None without. What the heads write is then divided by
            the root mean square of the layer's sum.
        softmax: What turns scores, a sink's after the others, into shares; torch's if None. No family has its own: it
            is there for backward rules.
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
    rotary: Rotary | None = None
    interleaved: bool = False
    clip: float | None = None
    q_norm: tuple[Norm, ...] = ()
    k_norm: tuple[Norm, ...] = ()
    norm_over_heads: bool = False
    soft_cap: float | None = None
    sinks: Float[Tensor, " n_heads"] | None = None
    alibi: Callable[..., Float[Tensor, "batch n_heads 1 key"]] | None = None
    gain: Float[Tensor, " d_model"] | float | None = None
    post_norm_eps: float | None = None
    softmax: Callable[[Tensor], Tensor] | None = None

    @property
    def n_heads(self) -> int:
        """Number of query heads."""
        return self.W_Q.shape[0]

    @property
    def group(self) -> int:
        """Query heads that share a key and a value head."""
        return self.W_Q.shape[0] // self.W_K.shape[0]


@dataclass(frozen=True)
class Block:
    """One layer: the two norms and the MLP are Hugging Face's modules.

    Attributes:
        mlp: From normed tokens, `[*tokens d_model]`, to what the MLP adds to the residual stream: a norm after it and a
            residual multiplier are part of it. Each token's outcome depends on that token alone.
    """

    attention: Attention
    ln1: Norm
    ln2: Norm
    mlp: Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class ModelComponents:
    """A whole model.

    Attributes:
        embed: Token ids and position ids, `[batch pos]`, to the residual stream's start, `[batch pos d_model]`.
        unembed: Weight of the unembedding; `unembed_bias` its bias, if any.
        parallel: Attention and MLP of a block read the same residual stream.
        logit_divisor: What the logits are divided by.
        logit_cap: Logits x become `logit_cap tanh(x / logit_cap)`.
        n_context: Longest prompt for which all this holds, where that isn't the config's own bound.
    """

    embed: Embed
    blocks: tuple[Block, ...]
    ln_final: Norm
    unembed: Float[Tensor, "vocab d_model"]
    unembed_bias: Float[Tensor, " vocab"] | None
    parallel: bool = False
    logit_divisor: float = 1.0
    logit_cap: float | None = None
    n_context: int | None = None


def index_of(rows: Sequence[int]) -> slice | list[int]:
    """An index of these rows, like some heads' weights: a slice, and so a view, where they follow each other."""
    if rows and list(rows) == list(range(rows[0], rows[0] + len(rows))):
        return slice(rows[0], rows[0] + len(rows))
    return list(rows)
