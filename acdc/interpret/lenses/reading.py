"""What a lens reads at each layer and position of some prompts.

    logits[l, p] = unembed(norm(translate_l(resid_pre_l[p])))

Each residual stream is normed anew (the accumulated reading), so the last row is the model's own output; terms of a sum
are another thing (`acdc.interpret.direct`). The logits `[row batch pos vocab]` are never held: some tokens' at a time
become the few numbers that are kept.

Reference: nostalgebraist 2020, Interpreting GPT: the logit lens; Belrose et al. 2023 (arXiv 2303.08112).
"""

import math
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from acdc.errors import ModelError, TaskError
from acdc.interpret.lenses.lens import LOGIT_LENS, Lens
from acdc.interpret.lenses.table import LensReading
from acdc.metrics.answers import wide
from acdc.models import PatchableModel
from acdc.options.defaults import MEMORY
from acdc.patching.activations import ActivationCache, run
from acdc.progress.progress import Progress, Tell
from acdc.prompts.batch import PromptBatch

__all__ = ["LensReading", "read_lens"]

TOP = 5  # tokens that are kept of each distribution
COPIES = 6  # tensors of a vocabulary's size that one token needs at once


class _Stream(NamedTuple):
    """A residual stream that is read; `layer` is None for the last one, which needs no translation."""

    name: str
    layer: int | None
    resid: Float[Tensor, "batch pos d_model"]


class _Said(NamedTuple):
    """What is kept of tokens' distributions."""

    tokens: Int[Tensor, "*token top"]
    probabilities: Float[Tensor, "*token top"]
    rank: Int[Tensor, "*token"]
    probability: Float[Tensor, "*token"]
    kl: Float[Tensor, "*token"]
    entropy: Float[Tensor, "*token"]


@torch.no_grad()
def read_lens(
    model: PatchableModel,
    batch: PromptBatch,
    *,
    lens: Lens = LOGIT_LENS,
    side: Literal["clean", "corrupt"] = "clean",
    by_position: bool = True,
    mid: bool = False,
    answers: Int[Tensor, "batch n"] | None = None,
    top: int = TOP,
    cache: ActivationCache | None = None,
    progress: Tell | None = None,
) -> LensReading:
    """Read every residual stream of each prompt.

    It takes `(layers + 1) * tokens` products with the unembedding: at every position of long or many prompts more than
    running the model itself.

    Args:
        by_position: At every position; else at the targets alone.
        mid: Also between attention and MLP (`resid_mid`).
        answers: Whose rank and probability is told, filled up with -1; by default the batch's correct answers, and
            where it has none, what the model itself finds most probable at the target.
        top: How many of the most probable tokens are kept.
        cache: The run, where it was made before.

    Raises:
        TaskError: A prompt doesn't fit the model, or `top` isn't between 1 and its vocabulary.
        ModelError: `mid` is asked of parallel blocks, or of a lens without a translator there.
    """
    n_vocab = len(model.components.unembed)
    if not 1 <= top <= n_vocab:
        raise TaskError(f"top must be from 1 to the vocabulary's {n_vocab:,} tokens, not {top}")
    model.check_batch(batch)
    batch = batch.to(model.device)
    cache = cache or run(model, batch, batch.clean if side == "clean" else batch.corrupt)
    streams = _streams(model, cache, lens, mid)
    where = batch.attention if by_position else _last(batch)
    named = _answers(batch, cache) if answers is None else answers.to(model.device)
    read = _joined(_read(model, lens, streams, where, named, top, progress))
    return LensReading(
        kind=lens.kind,
        batch=batch,
        side=side,
        rows=tuple(stream.name for stream in streams),
        answers=named,
        tokenizer=model.tokenizer,
        **{name: _spread(x, where, by_position) for name, x in read._asdict().items()},
    )


def _last(batch: PromptBatch) -> Tensor:
    where = torch.zeros_like(batch.attention)
    where[:, -1] = True
    return where


def _answers(batch: PromptBatch, cache: ActivationCache) -> Int[Tensor, "batch n"]:
    has = (batch.correct >= 0).any(1)
    own = cache.logits.argmax(-1, keepdim=True)
    if batch.correct.shape[1] == 0:
        return own
    filled = torch.cat([own, torch.full_like(batch.correct[:, 1:], -1)], 1)
    return torch.where(has[:, None], batch.correct, filled)


def _streams(model: PatchableModel, cache: ActivationCache, lens: Lens, mid: bool) -> list[_Stream]:
    if mid and model.components.parallel:
        raise ModelError(
            f"{model.name!r} has parallel blocks: attention and MLP read one residual stream, so there is no resid_mid"
        )
    if mid and not lens.between:
        raise ModelError(f"a {lens.kind} has no translator for resid_mid; leave mid out, or take the logit lens")
    found = []
    for layer, (pre, between) in enumerate(zip(cache.resid_pre, cache.resid_mid, strict=True)):
        found.append(_Stream(f"resid_pre {layer}", layer, pre))
        if mid:
            found.append(_Stream(f"resid_mid {layer}", layer, between))
    return [*found, _Stream(f"resid_post {model.graph.n_layers - 1}", None, cache.final)]


def _read(
    model: PatchableModel,
    lens: Lens,
    streams: Sequence[_Stream],
    where: Tensor,
    answers: Int[Tensor, "batch n"],
    top: int,
    progress: Tell | None,
) -> Iterator[list[_Said]]:
    """Some tokens at a time, what each row says of them."""
    tokens = where.nonzero()
    size = max(1, MEMORY // (COPIES * len(model.components.unembed) * max(4, model.dtype.itemsize)))
    for done, some in enumerate(tokens.split(size)):
        prompts, columns = some.unbind(1)
        final = _log_probabilities(model, streams[-1].resid[prompts, columns])
        rows = []
        for i, stream in enumerate(streams):
            if progress is not None:
                at = done * size * len(streams) + i * len(some)
                progress(Progress(at, len(tokens) * len(streams), stage=lens.kind, unit="tokens"))
            said = final
            if stream.layer is not None:
                said = _log_probabilities(model, lens.translate(stream.layer, stream.resid[prompts, columns]))
            rows.append(_told(said, final, answers[prompts], top))
        yield rows


def _log_probabilities(model: PatchableModel, resid: Float[Tensor, "token d_model"]) -> Float[Tensor, "token vocab"]:
    return wide(model.unembed(resid)).log_softmax(-1)


def _told(
    said: Float[Tensor, "token vocab"], final: Float[Tensor, "token vocab"], answers: Int[Tensor, "token n"], top: int
) -> _Said:
    p = said.exp()
    best = p.topk(top)
    listed = said.gather(1, answers.clamp_min(0)).masked_fill(answers < 0, -math.inf)
    rank = (said >= listed.max(1, keepdim=True).values).sum(-1)
    kl = torch.nn.functional.kl_div(said, final, reduction="none", log_target=True).sum(-1)
    return _Said(best.indices, best.values, rank, listed.exp().sum(-1), kl.clamp_min(0), torch.special.entr(p).sum(-1))


def _joined(chunks: Iterator[list[_Said]]) -> _Said:
    """All tokens of all rows, each `[row token ..]`."""
    rows = [_Said(*map(torch.cat, zip(*of_row, strict=True))) for of_row in zip(*chunks, strict=True)]
    return _Said(*map(torch.stack, zip(*rows, strict=True)))


def _spread(x: Tensor, where: Tensor, by_position: bool) -> Tensor:
    """`[row token ..]` as `[row batch pos ..]`: NaN, or 0 in whole numbers, at padding; one column for the targets."""
    if not by_position:
        return x[:, :, None]
    fill = math.nan if x.is_floating_point() else 0
    found = x.new_full((x.shape[0], *where.shape, *x.shape[2:]), fill)
    found[:, where] = x
    return found
