"""Two sets of prompts by what a user names: two files, or the prompts of a task that are answered wrong and right."""

from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch

from acdc.errors import FileError, RunError, TaskError
from acdc.evaluation.values import answer_metric, is_defined
from acdc.features.acting.contrast import FEWEST
from acdc.features.acting.pushing import pushed_logits
from acdc.features.dictionary import Dictionary
from acdc.metrics import Metric, accuracy, top1_accuracy
from acdc.models import PatchableModel
from acdc.progress import Progress, Tell
from acdc.prompts.batch import PromptBatch
from acdc.prompts.texts import text_batch
from acdc.runs.arguments import Arguments
from acdc.runs.text_sources import DATASET, TEXT_KEY, documents, is_text, read_text

__all__ = ["By", "PromptSets", "sets_of_files", "wrong_and_right"]

ROWS = 32  # prompts that run at once
By = Literal["accuracy", "top1_accuracy", "metric"]
MOST = 100_000  # first rows of a data set of the hub that are looked at


class PromptSets(NamedTuple):
    """Two sets, what they are in words, and what a reader must know of them.

    Attributes:
        metric: How good the answers to a task's prompts are; None: the prompts have no answers.
    """

    first: PromptBatch
    second: PromptBatch
    names: tuple[str, str]
    notes: tuple[str, ...] = ()
    metric: Metric | None = None


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


def wrong_and_right(
    model: PatchableModel,
    dictionary: Dictionary,
    arguments: Arguments,
    *,
    by: str = "accuracy",
    tell: Tell | None = None,
) -> PromptSets:
    """A task's clean prompts that the model answers wrong, and those that it answers right, each prompt once.

    Args:
        by: What is right: the correct answers have more probability than the wrong ones (`accuracy`); the most probable
            token of all is a correct answer (`top1_accuracy`). Or the quarter of the prompts with the worst metric
            against the quarter with the best (`metric`), for tasks that the model hardly ever does wrong.

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
    metric = answer_metric(arguments.metric, once)
    if not is_defined(metric, once):
        raise TaskError(f"metric {metric.name!r} needs wrong answers, and task {task.name!r} lists none; use kl or nll")
    answered = _answered(model, dictionary, once, metric, tell)
    again = batch.n - once.n
    notes = (*batch.notes, *([f"{again} prompts that come again were taken once"] if again else []))
    if by == "metric":
        ranked, quarter = np.argsort(answered[by], kind="stable"), once.n // 4
        worse, better = np.sort(ranked[:quarter]), np.sort(ranked[len(ranked) - quarter :])
        names = tuple(f"{task.name}, the quarter with the {what} {metric.name}" for what in ("worst", "best"))
    else:
        worse, better = np.flatnonzero(answered[by] == 0), np.flatnonzero(answered[by])
        names = (f"{task.name}, answered wrong", f"{task.name}, answered right")
    _check_enough(model.name, task.name, once.n, (len(worse), len(better)), by, answered)
    return PromptSets(once.select(worse.tolist()), once.select(better.tolist()), (names[0], names[1]), notes, metric)


def _answered(
    model: PatchableModel, dictionary: Dictionary, batch: PromptBatch, metric: Metric, tell: Tell | None
) -> dict[str, np.ndarray]:
    """How well each prompt is answered, higher being better."""
    found: dict[str, list[torch.Tensor]] = {"accuracy": [], "top1_accuracy": [], "metric": []}
    for rows in torch.arange(batch.n).split(ROWS):
        if tell is not None:
            tell(Progress(int(rows[0]), batch.n, stage="answers", unit="prompts"))
        piece = batch.select(rows).to(model.device)
        logits = pushed_logits(model, dictionary, piece, None).double()
        found["accuracy"].append(accuracy(logits, piece.correct, piece.wrong))
        found["top1_accuracy"].append(top1_accuracy(logits, piece.correct))
        found["metric"].append(metric.sign * metric.function(logits, piece.correct, piece.wrong, logits))
    return {name: torch.cat(each).double().cpu().numpy() for name, each in found.items()}


def _check_enough(
    model: str, task: str, n: int, sizes: tuple[int, int], by: str, answered: Mapping[str, np.ndarray]
) -> None:
    """Raise `TaskError` unless both sets are large enough; say what else could be compared."""
    for size, what in zip(sizes, ("wrong", "right"), strict=True):
        if size >= FEWEST:
            continue
        top1 = int((answered["top1_accuracy"] == 0).sum())
        other = "take more prompts (n, --n), or another task or model"
        if by == "accuracy" and what == "wrong" and top1 >= FEWEST:
            other = f"the most probable token is no correct answer in {top1}: take these (by, --by top1_accuracy)"
        elif by != "metric" and n // 4 >= FEWEST:
            other = "compare the quarter with the worst metric with that with the best (by, --by metric)"
        said = f"{model!r} answers {size} of {n} prompts of task {task!r} {what}"
        said = f"a quarter of {n} prompts of task {task!r} is {size}" if by == "metric" else said
        raise TaskError(f"{said}; {FEWEST} at least are needed: {other}")


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
