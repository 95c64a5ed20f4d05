"""Composition scores: how much of what a head writes another head's weights read, as query, key or value.

    Q: |W_OV^a W_QK^b| / (|W_OV^a| |W_QK^b|)    K: |W_OV^a W_QK^bT| / ...    V: |W_OV^a W_OV^b| / (|W_OV^a| |W_OV^b|)

with Frobenius norms, `W_OV = W_V W_O`, `W_QK = W_Q W_Kᵀ`, row vectors. All products are made of d_head-square matrices:
of W_V = Q R with orthogonal Q only R counts. Random heads score 1/√d_model, which is subtracted.

Norms' weights are folded into what reads. Left out are biases, scales of norms, attention itself, and all that lies
between the two heads. A rotation makes W_QK depend on the offset: these are the scores at offset 0.

Reference: Elhage et al. 2021, A mathematical framework for transformer circuits, section 'Virtual attention heads'.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from acdc.circuits.graph import QKV
from acdc.interpret.folded import folded
from acdc.interpret.head_names import head_names
from acdc.interpret.unmeasured import Unmeasured
from acdc.models import PatchableModel
from acdc.models.components import Block

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Composition", "composition"]


@dataclass(frozen=True)
class Composition:
    """Scores above those of random heads, from an earlier head (row) to a later one (column).

    Attributes:
        heads: All heads, layer by layer.
        scores: By kind, `q`, `k` and `v`; NaN where the second head isn't later.
        reasons: Why a kind isn't defined for this model.
        baseline: What was subtracted, 1/√d_model.
        note: What a reader must know of the scores, in words.
    """

    model: str
    heads: tuple[str, ...]
    scores: dict[str, Float[Tensor, "src dst"]]
    reasons: dict[str, str]
    baseline: float
    note: str = ""

    def of(self, src: str, dst: str, kind: str) -> float:
        """The score of one pair."""
        return float(self.scores[kind][self.heads.index(src), self.heads.index(dst)])

    def frame(self, most: int | None = None) -> "pd.DataFrame":
        """One row a pair and kind: `src`, `dst`, `input` (q, k or v), `score`, the highest first."""
        import pandas as pd

        rows = []
        for kind, scores in self.scores.items():
            pairs = (~scores.isnan()).nonzero()
            values = scores[pairs[:, 0], pairs[:, 1]]
            order = values.argsort(descending=True, stable=True)[:most]
            named = [(self.heads[i], self.heads[j]) for i, j in pairs[order].tolist()]
            rows += [(src, dst, kind, value) for (src, dst), value in zip(named, values[order].tolist(), strict=True)]
        frame = pd.DataFrame(rows, columns=["src", "dst", "input", "score"])
        return frame.sort_values("score", ascending=False, kind="stable", ignore_index=True)[:most]

    def _repr_html_(self) -> str:
        return self.frame(30).to_html(float_format=lambda x: f"{x:.3f}")


@torch.no_grad()
def composition(model: PatchableModel) -> Composition:
    """The scores of all pairs of heads.

    Raises:
        Unmeasured: No kind is defined for this model.
        ModelError: A norm's scale can't be held.
    """
    blocks, n, n_heads = model.components.blocks, model.graph.n_layers, model.graph.n_heads
    reasons = _reasons(blocks)
    kinds = [kind for kind in QKV if kind not in reasons]
    baseline = 1 / math.sqrt(model.graph.d_model)
    scores = {kind: torch.full((n * n_heads,) * 2, math.nan, dtype=torch.float64) for kind in kinds}
    written = [_written(block) for block in blocks]
    for later in range(1, n):
        read = {kind: _read(blocks[later], kind) for kind in kinds}
        columns = slice(later * n_heads, (later + 1) * n_heads)
        for earlier in range(later):
            rows = slice(earlier * n_heads, (earlier + 1) * n_heads)
            for kind in kinds:
                products = torch.einsum("aed,bdf->abef", written[earlier], read[kind])
                scores[kind][rows, columns] = products.flatten(2).norm(dim=-1).double().cpu() - baseline
    if not any(attention.rotary for attention in (block.attention for block in blocks)):
        note = ""
    else:
        note = "q and k at offset 0: a rotation makes them depend on how far apart two tokens are"
    return Composition(model.name, tuple(head_names(model)), scores, reasons, baseline, note)


def _reasons(blocks: tuple[Block, ...]) -> dict[str, str]:
    """Why kinds aren't defined: W_QK is no product of weights where q or k is normed or clipped."""
    found: dict[str, str] = {}
    for block in blocks:
        attention = block.attention
        if attention.q_norm or attention.k_norm:
            found |= dict.fromkeys(("q", "k"), "each head's q and k are normed, so attention scores aren't bilinear")
        if attention.clip is not None:
            found |= dict.fromkeys(QKV, "q, k and v are clipped, so they aren't linear in what is read")
    if len(found) == len(QKV):
        raise Unmeasured(f"composition scores aren't defined: {found['v']}")
    return found


def _written(block: Block) -> Float[Tensor, "head d_head d_model"]:
    """R W_O of each head, of size 1: what stands for W_OV where it writes."""
    attention = block.attention
    out = attention.W_O if attention.gain is None else attention.W_O * attention.gain
    return _of_size_one(_triangle(_behind_norm(block, attention.W_V)) @ out.to(_wide(out)))


def _read(block: Block, kind: str) -> Float[Tensor, "head d_model d_head"]:
    """What stands for W_QK, its transpose or W_OV where it reads, of size 1: with `W = Q R` of the other side, W Rᵀ."""
    attention = block.attention
    if kind == "v":
        out = attention.W_O if attention.gain is None else attention.W_O * attention.gain
        near, far = _behind_norm(block, attention.W_V), out.to(_wide(out)).transpose(-1, -2)
    else:
        ours, theirs = (attention.W_Q, attention.W_K) if kind == "q" else (attention.W_K, attention.W_Q)
        near, far = _behind_norm(block, ours), _behind_norm(block, theirs)
    return _of_size_one(near @ _triangle(far).transpose(-1, -2))


def _behind_norm(block: Block, weight: Float[Tensor, "n d_model d_head"]) -> Float[Tensor, "head d_model d_head"]:
    """The weight of every query head with the norm before it folded in; heads share those of keys and values."""
    made = torch.stack([folded(block.ln1, each) for each in weight.detach()])
    return made.repeat_interleave(block.attention.n_heads // len(weight), 0)


def _triangle(weight: Float[Tensor, "head d_model d_head"]) -> Float[Tensor, "head d_small d_head"]:
    """R of W = Q R."""
    return torch.linalg.qr(weight, mode="r").R


def _of_size_one(x: Float[Tensor, "head a b"]) -> Float[Tensor, "head a b"]:
    return x / x.flatten(1).norm(dim=-1).clamp_min(torch.finfo(x.dtype).tiny)[:, None, None]


def _wide(x: Tensor) -> torch.dtype:
    return torch.promote_types(x.dtype, torch.float32)
