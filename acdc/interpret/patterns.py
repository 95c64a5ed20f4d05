"""Attention patterns of any heads on any prompts: which positions each query reads, and how much it reads there."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from acdc.errors import RunError, unknown_name
from acdc.interpret.attention_pass import LayerAttention, attention_pass
from acdc.interpret.head_names import Head, head_names, place_of
from acdc.models import PatchableModel
from acdc.models.memory import gib
from acdc.options.defaults import MASKED_MEMORY
from acdc.patching.attention import post_scale
from acdc.prompts.batch import PromptBatch
from acdc.prompts.tokens import pieces

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["AttentionPatterns", "attention_patterns", "value_weights"]


@dataclass(frozen=True)
class AttentionPatterns:
    """The attention of some heads on some prompts.

    Attributes:
        heads: Their names.
        tokens: Each prompt's tokens as text, without padding.
        weights: Rows of a prompt's own tokens sum to 1, or to 1 minus the sink's share where a model has attention
            sinks; rows and columns of padding are 0.
        value_weighted: Each weight times the norm of what the head writes of that token, `|v W_O|` (Kobayashi et al.
            2020, arXiv 2004.10102), where it was asked for.
        sink: The share that goes to a sink and reads nothing; 0 without sinks.
    """

    heads: tuple[str, ...]
    tokens: tuple[tuple[str, ...], ...]
    weights: Float[Tensor, "batch head dst src"]
    value_weighted: Float[Tensor, "batch head dst src"] | None
    sink: Float[Tensor, "batch head dst"]

    def of(self, prompt: int, head: str, *, value_weighted: bool = False) -> Float[Tensor, "dst src"]:
        """One head's attention on one prompt, without padding.

        Raises:
            UnknownNameError: It isn't among these heads.
            RunError: The value-weighted pattern is asked for, and wasn't made.
        """
        if head not in self.heads:
            raise unknown_name("head", head, self.heads)
        source = self.value_weighted if value_weighted else self.weights
        if source is None:
            raise RunError("these patterns are not value-weighted; ask for them with value_weighted=True")
        start = source.shape[-1] - len(self.tokens[prompt])
        return source[prompt, self.heads.index(head), start:, start:]

    def frame(self, prompt: int, head: str, *, value_weighted: bool = False) -> "pd.DataFrame":
        """The same as a table: a row for each query, a column for each key, named by position and token."""
        import pandas as pd

        names = [f"{i} {token!r}" for i, token in enumerate(self.tokens[prompt])]
        found = self.of(prompt, head, value_weighted=value_weighted)
        return pd.DataFrame(found.double().numpy(), pd.Index(names, name="reads"), pd.Index(names, name="read"))

    def encoded(self, prompt: int, head: str) -> tuple[str, str]:
        """The weights, and the value-weighted ones divided by the largest, as `Pattern` holds them: base64 of bytes."""
        weighted = "" if self.value_weighted is None else _bytes(self.of(prompt, head, value_weighted=True))
        return _bytes(self.of(prompt, head), largest=1.0), weighted

    def _repr_html_(self) -> str:
        return self.frame(0, self.heads[0]).style.background_gradient(vmin=0, vmax=1).format("{:.2f}").to_html()


def _bytes(x: Float[Tensor, "dst src"], largest: float | None = None) -> str:
    top = float(x.max()) if largest is None else largest
    scaled = x.double() / top if top > 0 else x.double()
    return base64.b64encode((scaled.clamp(0, 1) * 255).round().to(torch.uint8).numpy().tobytes()).decode()


def attention_patterns(
    model: PatchableModel,
    batch: PromptBatch,
    heads: Sequence[str] | None = None,
    *,
    side: Literal["clean", "corrupt"] = "clean",
    value_weighted: bool = False,
    memory: int = MASKED_MEMORY,
) -> AttentionPatterns:
    """The attention of these heads (default: of all) on a batch's prompts.

    Args:
        side: Which texts.
        value_weighted: Also weigh each share by the norm of what is read.
        memory: About how many bytes the patterns, and a step on the way to them, may each take.

    Raises:
        UnknownNameError: The model has no such head.
        TaskError: A prompt doesn't fit the model.
        RunError: The patterns would take more memory than that.
    """
    model.check_batch(batch)
    names = tuple(head_names(model) if heads is None else heads)
    places = [place_of(model, name) for name in names]
    size = batch.n * len(names) * batch.n_pos**2 * max(4, model.dtype.itemsize) * (1 + value_weighted)
    if size > memory:
        raise RunError(f"the patterns take {gib(size)}, more than {gib(memory)}; name some heads, or use fewer prompts")
    per_prompt = 4 * model.graph.n_heads * batch.n_pos**2 * max(4, model.dtype.itemsize)
    parts = [
        _of_rows(model, batch, side, rows, places, value_weighted)
        for rows in torch.arange(batch.n).split(max(1, memory // per_prompt))
    ]
    weights, weighted = (torch.cat(each) for each in zip(*parts, strict=True))
    has_sinks = torch.tensor([model.components.blocks[layer].attention.sinks is not None for layer, _ in places])
    sink = (1 - weights.sum(-1)) * (batch.attention.cpu()[:, None] & has_sinks[:, None])
    ids = getattr(batch, side)
    tokens = tuple(tuple(pieces(model.tokenizer, ids[i][batch.attention[i]].tolist())) for i in range(batch.n))
    return AttentionPatterns(names, tokens, weights, weighted if value_weighted else None, sink)


def _of_rows(
    model: PatchableModel, batch: PromptBatch, side: str, rows: Tensor, places: Sequence[Head], value_weighted: bool
) -> tuple[Float[Tensor, "rows head dst src"], Float[Tensor, "rows head dst _src"]]:
    """Those of some prompts; the second is empty where it wasn't asked for."""
    kept = rows.to(batch.clean.device)  # all columns stay, on whichever side padding is
    clean, corrupt, real = batch.clean[kept], batch.corrupt[kept], batch.attention[kept]
    some = PromptBatch(clean, corrupt, real, batch.correct[kept], batch.wrong[kept], batch.task)
    some = some.to(model.device)
    found: dict[Head, tuple[Tensor, Tensor]] = {}

    def visit(here: LayerAttention) -> None:
        norms = value_weights(here) if value_weighted else here.pattern[..., :0]
        for layer, h in places:
            if layer == here.layer:
                found[layer, h] = here.pattern[h].cpu(), norms[h].cpu()

    attention_pass(model, some, getattr(some, side), visit)
    plain, weighted = (torch.stack([found[place][i] for place in places], 1) for i in (0, 1))
    return plain, weighted


def value_weights(here: LayerAttention) -> Float[Tensor, "head batch query key"]:
    """`A |v W_O|`: each share times the norm of what the head writes of that token, at the scale of its real output."""
    attention = here.attention
    W_O = attention.W_O if attention.gain is None else attention.W_O * attention.gain
    v = here.v.repeat_interleave(attention.group, 0)
    gram = (W_O @ W_O.transpose(-1, -2)).to(v)
    squared = torch.einsum("hbki,hij,hbkj->hbk", v, gram, v).clamp_min(0)
    weighted = here.pattern * squared.sqrt()[:, :, None]
    scale = post_scale(attention, here.z())
    return weighted if scale is None else weighted * scale
