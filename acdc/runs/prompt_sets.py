"""Two sets of prompts by what a user names: two files, or the prompts of a task that are answered wrong and right."""

from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from acdc.errors import FileError, RunError, TaskError
from acdc.features.acting import pushed
from acdc.features.acting.contrast import FEWEST
from acdc.features.dictionary import Dictionary
from acdc.metrics import accuracy
from acdc.models import PatchableModel
from acdc.prompts.batch import PromptBatch
from acdc.prompts.texts import text_batch
from acdc.runs.arguments import Arguments
from acdc.runs.text_sources import DATASET, TEXT_KEY, documents, is_text, read_text

__all__ = ["PromptSets", "sets_of_files", "wrong_and_right"]

ROWS = 32  # prompts that run at once
MOST = 100_000  # first rows of a data set of the hub that are looked at


class PromptSets(NamedTuple):
    """Two sets, what they are in words, and what a reader must know of them."""

    first: PromptBatch
    second: PromptBatch
    names: tuple[str, str]
    notes: tuple[str, ...] = ()


def sets_of_files(
    model: PatchableModel, first: str, second: str, *, n: int, seed: int, bos: bool | None = None
) -> PromptSets:
    """The prompts of two files: of a text a line each, of a data file (or `hf:NAME`, its first rows) the column `text`.

    A prompt that comes again is taken once, one that both hold not at all: it tells nothing apart, and no half that is
    tested may hold what the other half has seen.

    Args:
        n: How many are taken of each at most, at random.

    Raises:
        FileError: A file can't be read, or has no column `text`.
        RunError: The two are the same file.
        TaskError: A file has no prompts.
    """
    if first == second:
        raise RunError(f"both sets are {first!r}: name two")
    (ones, again), (others, more) = (_once(_prompts(source)) for source in (first, second))
    shared = set(ones) & set(others)
    batches = []
    for source, texts in ((first, ones), (second, others)):
        kept = [text for text in texts if text not in shared]
        if not kept:
            raise TaskError(f"{source} has no prompts" + (" that the other set has not too" if shared else ""))
        chosen = np.sort(np.random.default_rng(seed).permutation(len(kept))[:n])
        batches.append(text_batch([kept[i] for i in chosen], model.tokenizer, bos=bos, name=Path(source).name))
    notes = []
    if again + more:
        notes.append(f"{again + more} prompts that come again in their file were taken once")
    if shared:
        notes.append(f"{len(shared)} prompts that both files hold were left out")
    return PromptSets(batches[0], batches[1], (Path(first).name, Path(second).name), tuple(notes))


def wrong_and_right(model: PatchableModel, dictionary: Dictionary, arguments: Arguments) -> PromptSets:
    """A task's clean prompts that the model answers wrong, and those that it answers right, each prompt once.

    Raises:
        TaskError: The task can't make such prompts, or they don't fit the model.
        RunError: Answers have several tokens.
    """
    task = arguments.task
    batch = task.batch(model.tokenizer, arguments.n, arguments.seed, bos=arguments.bos)
    model.check_batch(batch)
    if batch.pair_ids is not None:
        raise RunError("prompts with whole answers of several tokens aren't compared: take the answers' first tokens")
    _, first_of = np.unique((batch.clean + 1) * batch.attention, axis=0, return_index=True)
    once = batch.select(np.sort(first_of).tolist())
    right = torch.cat([_right(model, dictionary, once.select(rows)) for rows in torch.arange(once.n).split(ROWS)])
    wrong = (~right).nonzero()[:, 0]
    for what, n in (("wrong", len(wrong)), ("right", once.n - len(wrong))):
        if n < FEWEST:
            raise TaskError(
                f"{model.name!r} answers {n} of {once.n} prompts of task {task.name!r} {what}; {FEWEST} at least are "
                "needed: take more prompts (n, --n), or another task or model"
            )
    again = batch.n - once.n
    notes = (*batch.notes, *([f"{again} prompts that come again were taken once"] if again else []))
    names = (f"{task.name}, answered wrong", f"{task.name}, answered right")
    return PromptSets(once.select(wrong), once.select(right.nonzero()[:, 0]), names, notes)


def _right(model: PatchableModel, dictionary: Dictionary, batch: PromptBatch) -> torch.Tensor:
    logits = model.unembed(pushed(model, dictionary, batch, None)[:, -1])
    return accuracy(logits, batch.correct.to(logits.device), batch.wrong.to(logits.device)).cpu()


def _prompts(source: str) -> list[str]:
    if is_text(source):
        lines = (line.rstrip("\r") for line in read_text(source).split("\n"))
        return [line for line in lines if line.strip()]
    texts = documents(source)
    if texts is None:
        if not source.startswith(DATASET):
            read_text(source)  # says so where it isn't there at all
        raise FileError(f"{source}: expected prompts in the column {TEXT_KEY!r}")
    return list(islice(texts, MOST) if source.startswith(DATASET) else texts)


def _once(texts: list[str]) -> tuple[list[str], int]:
    """Each text once, and how often one came again."""
    found = list(dict.fromkeys(texts))
    return found, len(texts) - len(found)
