"""A head's OV circuit in token space: what it would write if it read a token, and which tokens it copies.

    out(t) = norm(x_t) W_V W_O W_U,    z(t, s) = (out(t)_s - mean over s) / standard deviation over s

`x_t` is the token's embedding, and from the second layer on the effective one, `E_t + MLP0(E_t)`: a tied embedding by
itself is poorly read. The standard deviations make a score without unit: neither the final norm's scale nor that of a
norm after attention matters. Special tokens are left out. Weights alone decide; on no prompt is anything run.

Reference: Elhage et al. 2021 (OV circuits); Wang et al. 2022, section 3.1 (MLP0's output as the token's embedding).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from acdc.errors import CircuitError
from acdc.interpret.effective import chunks, effective, embedded
from acdc.interpret.folded import folded
from acdc.interpret.vocabulary import Ranked, ordinary_tokens, strongest_tokens
from acdc.metrics.answers import wide
from acdc.models import PatchableModel

__all__ = ["OVTokens", "ov_tokens", "ov_writes"]

TOP = 10


@dataclass(frozen=True)
class OVTokens:
    """The tokens whose own logit a head raises most where it reads them (`copies`), and those whose own logit it lowers
    most (`suppresses`), with `z(t, t)`; `median` is that of all tokens: about 0 in a head that does neither."""

    head: str
    copies: Ranked
    suppresses: Ranked
    median: float


@torch.no_grad()
def ov_tokens(model: PatchableModel, heads: Sequence[str], *, top: int = TOP) -> tuple[OVTokens, ...]:
    """Which tokens each of these heads copies and suppresses.

    Raises:
        CircuitError: A node is no head of the model.
        ModelError: The final norm's scale can't be held.
    """
    places, ordinary, found = [_place(model, head) for head in heads], ordinary_tokens(model), []
    reads, writes = _read(model, places), _written(model, places)
    for head, h, m in zip(heads, reads, writes, strict=True):
        z = _standard(h, m[ordinary], (h * m).sum(1, keepdim=True))[:, 0]
        median = float(z[ordinary].median())
        found.append(OVTokens(head, *strongest_tokens(model, z, top, ordinary), median))
    return tuple(found)


@torch.no_grad()
def ov_writes(
    model: PatchableModel, head: str, tokens: Sequence[int], *, top: int = TOP
) -> tuple[tuple[Ranked, Ranked], ...]:
    """For each token: the tokens that the head raises and lowers most where it reads it, with `z(t, s)`.

    Raises:
        CircuitError: The node is no head of the model.
        ModelError: The final norm's scale can't be held.
    """
    place, ordinary = _place(model, head), ordinary_tokens(model)
    ids = torch.tensor(list(tokens), device=model.device)
    (h,), (m,) = _read(model, [place], ids), _written(model, [place])
    z = _standard(h, m[ordinary], h @ m.T)
    return tuple(strongest_tokens(model, row, top, ordinary) for row in z)


def _place(model: PatchableModel, head: str) -> tuple[int, int]:
    if head not in model.graph.src_index or not head.startswith("a"):
        raise CircuitError(f"{head!r} is no head of a graph of {model.graph.shape}; heads are named like 'a1.h0'")
    return model.graph.layer_of(head), int(head.partition(".h")[2])


def _standard(
    h: Float[Tensor, "token d_head"], m: Float[Tensor, "vocab d_head"], out: Float[Tensor, "token n"]
) -> Float[Tensor, "token n"]:
    """Outputs in standard deviations of all of a token's outputs, `h mᵀ`, from their mean: never made, but for their
    two moments."""
    mean, covariance = m.mean(0), torch.cov(m.T, correction=0)
    spread = torch.einsum("td,de,te->t", h, covariance, h).clamp_min(0).sqrt()
    return (out - (h @ mean)[:, None]) / spread.clamp_min(torch.finfo(h.dtype).tiny)[:, None]


def _read(
    model: PatchableModel, places: Sequence[tuple[int, int]], ids: Int[Tensor, " n"] | None = None
) -> list[Float[Tensor, "n d_head"]]:
    """What each head takes of every token, or of some: `norm(x_t) W_V`, without the bias."""
    blocks = model.components.blocks
    found: list[list[Tensor]] = [[] for _ in places]
    for chunk in chunks(model, ids):
        first = embedded(model, chunk)
        later = effective(model, first) if any(layer for layer, _ in places) else first
        for parts, (layer, head) in zip(found, places, strict=True):
            attention, x = blocks[layer].attention, later if layer else first
            weight = attention.W_V[head // attention.group]
            parts.append(wide(blocks[layer].ln1(x).to(weight.device) @ weight).to(model.device))
    return [torch.cat(parts) for parts in found]


def _written(model: PatchableModel, places: Sequence[tuple[int, int]]) -> list[Float[Tensor, "vocab d_head"]]:
    """What a unit of each dimension of each head's z adds to every token's logit, at a norm's scale of 1."""
    parts, found = model.components, []
    for layer, head in places:
        attention = parts.blocks[layer].attention
        out = wide(attention.W_O[head].to(model.device))
        out = out if attention.gain is None else out * attention.gain
        normed = _behind(model, out)
        found.append(wide(parts.unembed) @ normed.T)
    return found


def _behind(model: PatchableModel, out: Float[Tensor, "d_head d_model"]) -> Float[Tensor, "d_head d_model"]:
    """Directions behind the final norm, its scale 1: its derivative is the transpose of the folded identity."""
    identity = torch.eye(out.shape[1], dtype=out.dtype, device=out.device)
    return out @ folded(model.components.ln_final, identity)
