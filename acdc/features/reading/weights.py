"""What a dictionary's weights say of its features without any text: the logits that they raise, and their neighbours.

    logits = (what the feature writes) J W_U,  J the final norm's weight, its scale held at 1

As with a logit lens it is the direct effect alone, past all later blocks, and of a size that only compares tokens with
one another: each is relative to the mean token's. Special tokens are left out.
"""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from acdc.features.dictionary import Dictionary
from acdc.interpret.folded import folded
from acdc.interpret.vocabulary import ordinary_tokens
from acdc.metrics.answers import wide
from acdc.models import PatchableModel
from acdc.options.defaults import MEMORY

__all__ = ["N_NEIGHBOURS", "N_TOKENS", "Ranked", "neighbours", "written_logits", "written_residual"]

N_TOKENS = 10  # tokens that a feature raises, and that it lowers, most
N_NEIGHBOURS = 8
NOISE = 32  # roundings, below which a logit counts as 0: of a feature that writes where the unembedding doesn't read
RESIDUAL = ("resid_pre", "resid_mid", "resid_post", "attn_out", "mlp_out")  # sites that add to the residual stream


class Ranked(NamedTuple):
    """Things by their numbers and how they rank, `[n k]`, the first the strongest."""

    which: Int[np.ndarray, "n k"]
    value: Float[np.ndarray, "n k"]


def written_residual(
    model: PatchableModel, dictionary: Dictionary, index: Int[Tensor, " k"]
) -> Float[Tensor, "k d_model"] | None:
    """What features add to the residual stream, at all the sites that they write; None where they write to none."""
    found = []
    for site in dictionary.writes:
        rows = dictionary.directions(index, site=site).to(model.device)
        if site.kind == "z":
            W_O = model.components.blocks[site.layer].attention.W_O  # [head d_head d_model]
            found.append(wide(rows) @ wide(W_O.detach().flatten(0, 1)))
        elif site.kind in RESIDUAL:
            found.append(wide(rows))
    return torch.stack(found).sum(0) if found else None


@torch.no_grad()
def written_logits(model: PatchableModel, dictionary: Dictionary, top: int = N_TOKENS) -> tuple[Ranked, Ranked]:
    """The tokens whose logits each feature raises, and those that it lowers, most; none of what writes past the
    residual stream."""
    tokens = ordinary_tokens(model).nonzero()[:, 0]
    read = folded(model.components.ln_final, model.components.unembed.T).T[tokens].T / model.components.logit_divisor
    noise = NOISE * torch.finfo(read.dtype).eps * read.norm(dim=0)
    read = read - read.mean(1, keepdim=True)
    top = min(top, len(tokens))
    up, down = list[tuple[np.ndarray, np.ndarray]](), list[tuple[np.ndarray, np.ndarray]]()
    for index in torch.arange(dictionary.n_features).split(max(1, MEMORY // (8 * read.shape[1]))):
        written = written_residual(model, dictionary, index)
        if written is None:
            none = np.zeros((dictionary.n_features, 0))
            return Ranked(none.astype(np.int32), none), Ranked(none.astype(np.int32), none)
        written = written.to(read)
        logits = written @ read
        for largest, into in ((True, up), (False, down)):
            value, at = logits.topk(top, largest=largest)
            value = value * (value.abs() > noise[at] * written.norm(dim=1, keepdim=True))
            into.append((tokens[at].int().cpu().numpy(), value.float().cpu().numpy()))
    return _joined(up), _joined(down)


@torch.no_grad()
def neighbours(dictionary: Dictionary, top: int = N_NEIGHBOURS) -> Ranked:
    """The features that write most nearly the same, by the cosine of what they write at all their sites."""
    n = dictionary.n_features
    rows = wide(dictionary.decoder[:].flatten(1))
    unit = rows / rows.norm(dim=1, keepdim=True).clamp_min(torch.finfo(rows.dtype).tiny)
    found = []
    for index in torch.arange(n).split(max(1, MEMORY // (8 * n))):
        cosine = unit[index] @ unit.T
        cosine[torch.arange(len(index)), index] = -torch.inf
        best = cosine.topk(min(top, n - 1))
        found.append((best.indices.int().cpu().numpy(), best.values.float().cpu().numpy()))
    return _joined(found)


def _joined(chunks: list[tuple[np.ndarray, np.ndarray]]) -> Ranked:
    return Ranked(*(np.concatenate(each) for each in zip(*chunks, strict=True)))
