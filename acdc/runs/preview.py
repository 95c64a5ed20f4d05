"""A task's prompts as a model sees them, token by token, and what it answers: to be looked at before any search."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from acdc.errors import RunError
from acdc.evaluation.predictions import Token, top_predictions
from acdc.metrics import accuracy
from acdc.models.loading import Origin, load_tokenizer
from acdc.options.defaults import N_EXAMPLES, SEED
from acdc.patching.activations import run
from acdc.prompts.batch import PromptBatch
from acdc.prompts.tokens import pieces
from acdc.runs.arguments import resolve_arguments
from acdc.task import load_task
from acdc.zoo import zoo_names, zoo_path

__all__ = ["Example", "Preview", "preview", "written"]


@dataclass(frozen=True)
class Example:
    """One pair, up to its target.

    Attributes:
        clean, corrupt: Tokens as text, special ones included.
        correct, wrong: The answers' tokens.
        top: The most probable tokens after the clean prompt (`model`) and after the corrupted one (`corrupted`).
        p_correct: Probability of all right answers together, after the clean prompt.
        right: Whether one of them is the most probable token.
        spans: The tokens of each span that the task names.
    """

    clean: tuple[str, ...]
    corrupt: tuple[str, ...]
    correct: tuple[str, ...]
    wrong: tuple[str, ...]
    top: Mapping[str, tuple[Token, ...]] = field(default_factory=dict)
    p_correct: float | None = None
    right: bool | None = None
    spans: Mapping[str, Sequence[int]] = field(default_factory=dict)


@dataclass(frozen=True)
class Preview:
    """Examples of a task.

    Attributes:
        model: Who answers, or whose tokenizer it is.
        before: The special tokens that were put before the prompts.
        notes: What else is to be known of the prompts.
        better: Share of the examples in which the right answers have more probability than the wrong ones; None where
            no model was asked, or a prompt lists no wrong answers.
    """

    task: str
    summary: str
    model: str
    before: tuple[str, ...]
    notes: tuple[str, ...]
    examples: tuple[Example, ...]
    better: float | None = None


def written(
    task: Any, *, n: int = N_EXAMPLES, seed: int = SEED, bos: bool | None = None, **task_options: Any
) -> Preview:
    """Examples as the tokenizer of the task's default model splits them; no model is loaded.

    Raises:
        RunError: The default model isn't a bundled one.
        ACDCError: The task can't be used.
    """
    made = load_task(task, **task_options)
    name = made.default_model
    if name not in zoo_names():
        raise RunError(f"the default model of task {made.name!r} is not bundled ({name!r}); name a model (--model)")
    tokenizer = load_tokenizer(Origin(str(zoo_path(name))))
    batch = made.batch(tokenizer, n, seed, bos=bos)
    examples = tuple(_example(batch, tokenizer, row) for row in _asking(batch))
    return Preview(made.name, made.summary, name, batch.before, batch.notes, examples)


def preview(
    model: Any,
    task: Any,
    *,
    n: int = N_EXAMPLES,
    seed: int = SEED,
    k: int = 5,
    bos: bool | None = None,
    tokenizer: Any = None,
    task_options: Mapping[str, Any] | None = None,
    **loading: Any,
) -> Preview:
    """Examples of a task with a model's answers.

    Args:
        model, task, n, seed, bos, tokenizer, task_options, loading: As for `acdc.discover`.
        k: How many of the most probable tokens to give.

    Raises:
        ACDCError: An argument, the model or the task can't be used.
    """
    arguments = resolve_arguments(
        model, task, task_options=task_options, metric="kl", n=n, seed=seed, bos=bos, tokenizer=tokenizer, **loading
    )
    patchable = arguments.model.load()
    problem = arguments.problem(patchable)
    batch = problem.batch
    corrupted = run(patchable, batch, batch.corrupt).logits
    best = top_predictions(problem, {"model": problem.clean.logits, "corrupted": corrupted}, n_prompts=batch.n, k=k)
    p = problem.clean.logits.double().softmax(-1).cpu()
    examples = []
    for row in _asking(batch):
        correct = [token for token in batch.correct[row].tolist() if token >= 0]
        answer = {"top": best[row].top, "p_correct": float(p[row, correct].sum())}
        right = int(p[row].argmax()) in correct
        examples.append(_example(batch, patchable.tokenizer, row, right=right, **answer))
    better, made = None, arguments.task
    if batch.pair_ids is None and all(example.wrong for example in examples):
        better = float(accuracy(problem.clean.logits, batch.correct, batch.wrong).float().mean())
    return Preview(made.name, made.summary, arguments.model.name, batch.before, batch.notes, tuple(examples), better)


def _asking(batch: PromptBatch) -> list[int]:
    """The rows that ask for a right answer; of whole answers, some ask for a wrong one's tokens alone."""
    return (batch.correct >= 0).any(1).nonzero()[:, 0].tolist()


def _example(batch: PromptBatch, tokenizer: Any, row: int, **answer: Any) -> Example:
    start = batch.n_pos - int(batch.lengths[row])
    sides = (batch.clean[row, start:], batch.corrupt[row, start:], batch.correct[row], batch.wrong[row])
    clean, corrupt, correct, wrong = (
        tuple(pieces(tokenizer, [token for token in side.tolist() if token >= 0])) for side in sides
    )
    spans = {} if batch.named is None else batch.named.tokens(row, start)
    return Example(clean, corrupt, correct, wrong, spans=spans, **answer)
