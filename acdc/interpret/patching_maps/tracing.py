"""Causal tracing: noise on the subject's embeddings breaks the answer; which clean activations bring it back?

Of each prompt some noised runs are made. A cell restores the clean activation at one position: the residual stream of
one layer, or what MLPs or attention add in a window of layers about it. The score is the mean probability of the
answer. Prompts that the model answers wrongly say nothing and are skipped.

Noise leaves the distribution of what a model has seen; patching with a prompt's twin may localise elsewhere (Zhang &
Nanda 2024). A window's effect is more than the sum of its layers'.

References:
    Meng et al. 2022, Locating and editing factual associations in GPT, section 2 and appendix B.1 (ROME).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from acdc.errors import RunError, TaskError, counted
from acdc.interpret.patching_maps.columns import Columns, columns_of
from acdc.interpret.patching_maps.measuring import as_metrics, several
from acdc.interpret.patching_maps.node_map import NodeMap
from acdc.interpret.patching_maps.node_patching import maps_of_sides
from acdc.interpret.patching_maps.sides import Sides
from acdc.interpret.patching_maps.subjects import Subject, about_subject, subject_mask
from acdc.metrics import Metric, answer_probability, top1_accuracy
from acdc.models import PatchableModel
from acdc.options.defaults import MEMORY, SEED
from acdc.patching.activations import run
from acdc.patching.direction import DENOISING
from acdc.patching.footprint import check_footprint
from acdc.progress import Tell
from acdc.prompts.batch import PromptBatch

__all__ = ["PROBABILITY", "TRACED", "Trace", "causal_trace"]

TRACED = ("resid_pre", "mlp_out", "attn_out")


def _probability(logits: Tensor, correct: Tensor, wrong: Tensor, reference: Tensor) -> Tensor:
    """The total probability of the correct answers."""
    return answer_probability(logits, correct)


PROBABILITY = Metric("probability", "total probability of the correct answers", _probability, higher_is_better=True)


@dataclass(frozen=True, eq=False)
class Trace:
    """What restoring clean activations in noised runs brings back.

    Attributes:
        maps: Of each site and metric; `clean` is the run without noise, `corrupt` the mean of the noised ones.
        deviation: The noise's standard deviation, in the residual stream's units.
        skipped: Numbers of the prompts that the model answers wrongly; they are in no map.
    """

    maps: tuple[NodeMap, ...]
    deviation: float
    skipped: tuple[int, ...]


def causal_trace(
    model: PatchableModel,
    batch: PromptBatch,
    subject: Subject,
    *,
    sites: str | Sequence[str] = TRACED,
    samples: int = 10,
    noise: float = 3.0,
    window: int = 10,
    columns: str | None = None,
    metrics: str | Metric | Sequence[str | Metric] = PROBABILITY,
    seed: int = SEED,
    memory: int = MEMORY,
    progress: Tell | None = None,
) -> Trace:
    """Trace the clean prompts of a batch; its corrupted ones are not used.

    Args:
        subject: Where noise is put: a span that the prompts name; text, one for all prompts or one for each; or the
            positions.
        samples: Noised runs of each prompt.
        noise: Its standard deviation, in standard deviations of the subjects' token embeddings.
        window: How many layers about its own a cell of `mlp_out` and `attn_out` restores.
        columns: How positions are aligned (see `columns_of`). None: one prompt has each position, several have their
            tokens by where they stand to the subject.
        seed: Every prompt has the same draws, as in ROME's code, whose seed is 1.

    Raises:
        TaskError: No prompt is answered rightly, or a prompt has no such subject.
        RunError: The noise, its samples or the window are out of range.
        ACDCError: As `node_maps`.
    """
    if samples < 1 or window < 1 or not noise > 0:
        raise RunError(f"samples ({samples}), noise ({noise:g}) and window ({window}) must be positive")
    metric, names = as_metrics(metrics), several(sites)
    model.check_batch(batch)
    batch = batch.to(model.device)
    where = subject_mask(batch, model.tokenizer, subject)
    right = top1_accuracy(run(model, batch, batch.clean).logits, batch.correct)
    if not bool(right.any()):
        raise TaskError(
            f"{model.name!r} answers {counted(batch.n, 'prompt')} wrongly: no right answer is the most probable token, "
            "so there is nothing to trace"
        )
    kept = right.nonzero()[:, 0]
    start = batch.n_pos - int(batch.lengths[kept].max())
    chosen, there = batch.select(kept), where[kept, start:]
    deviation = noise * _spread(model, chosen, there)
    sides = _noised(model, chosen, there, samples, deviation, seed)
    aligned = _columns(chosen, there, model.tokenizer, columns)
    repeated = Columns(aligned.labels, aligned.where.repeat_interleave(samples, 1))
    options: dict[str, Any] = {"columns": repeated, "window": window, "memory": memory, "progress": progress}
    maps = maps_of_sides(sides, names, (DENOISING,), metric, **options)
    skipped = tuple((~right).nonzero()[:, 0].tolist())
    return Trace(tuple(_averaged(each, samples) for each in maps), deviation, skipped)


def _columns(batch: PromptBatch, subject: Bool[Tensor, "batch pos"], tokenizer: Any, alignment: str | None) -> Columns:
    if alignment is None and batch.n > 1:
        return about_subject(subject, batch.attention)
    found = columns_of(replace(batch, corrupt=batch.clean), tokenizer, alignment)
    inside = [bool((where & subject).any()) for where in found.where]
    marked = tuple(f"{label}*" if noised else label for label, noised in zip(found.labels, inside, strict=True))
    return replace(found, labels=marked)


@torch.no_grad()
def _spread(model: PatchableModel, batch: PromptBatch, subject: Bool[Tensor, "batch pos"]) -> float:
    """The standard deviation of the numbers in the subjects' token embeddings, as large as the stream holds them (some
    families multiply them)."""
    tokens = batch.clean[subject]
    vectors = model.hf.get_input_embeddings()(tokens).double()
    two = torch.stack([tokens.min(), (tokens.min() + 1) % len(model.components.unembed)])
    raw = model.hf.get_input_embeddings()(two).double()
    there = model.embed(two[:, None], torch.zeros_like(two[:, None])).double()[:, 0]
    scale = (there[0] - there[1]).norm() / (raw[0] - raw[1]).norm()
    return float(vectors.std() * scale)


def _noised(
    model: PatchableModel,
    batch: PromptBatch,
    subject: Bool[Tensor, "batch pos"],
    samples: int,
    deviation: float,
    seed: int,
) -> Sides:
    """Each prompt's clean run beside its noised ones, as often as there are of these."""
    index = torch.arange(batch.n, device=batch.clean.device).repeat_interleave(samples)
    many, there = batch.select(index), subject[index]
    check_footprint(model, many)
    clean = run(model, many, many.clean)
    draws = np.random.RandomState(seed).randn(samples, int(subject.sum(1).max()), model.graph.d_model)
    noise = _at_subject(torch.from_numpy(draws) * deviation, subject).to(clean.final)
    corrupt = run(model, many, many.clean, embeddings=clean.outputs.input + noise)
    return Sides(model, many, clean, corrupt, there).checked()


def _at_subject(
    draws: Float[Tensor, "sample width d_model"], subject: Bool[Tensor, "batch pos"]
) -> Float[Tensor, "rows pos d_model"]:
    """Each prompt's samples, the first numbers at its subject's first token."""
    found = draws.new_zeros(len(subject), len(draws), subject.shape[1], draws.shape[-1])
    for i, where in enumerate(subject.cpu()):
        found[i][:, where] = draws[:, : int(where.sum())]
    return found.flatten(0, 1)


def _averaged(found: NodeMap, samples: int) -> NodeMap:
    """The map with the mean over each prompt's noised runs."""
    patched, clean, corrupt = (
        x.reshape(*x.shape[:-1], -1, samples).mean(-1) for x in (found.patched, found.clean, found.corrupt)
    )
    return replace(found, patched=patched, clean=clean, corrupt=corrupt)
