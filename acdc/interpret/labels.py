"""What can be asked of prompts: which answer is right, which of two words it is, which side it comes from."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from acdc.errors import TaskError
from acdc.prompts.batch import PromptBatch
from acdc.prompts.tokens import pieces
from acdc.registry import Registry

__all__ = ["LABELS", "Labelled", "labelled"]


CLEAN, BOTH = ("clean",), ("clean", "corrupt")


@dataclass(frozen=True)
class Labelled:
    """Labels of a batch's prompts: of the clean ones, and then of the corrupted ones where these have a label too.

    Attributes:
        sides: Of which sides.
        names: The label of each prompt.
        words: Of each prompt the token that tells it from its twin: the word type of a control task.
    """

    label: str
    sides: tuple[str, ...]
    names: tuple[str, ...]
    words: tuple[int, ...]


@dataclass(frozen=True)
class Label:
    """A question about prompts.

    Attributes:
        of: The label of each prompt of a batch, side by side.
        sides: Of which sides prompts are asked about.
    """

    name: str
    summary: str
    of: Callable[[PromptBatch, Any], list[str]]
    sides: tuple[str, ...] = CLEAN


def answer(batch: PromptBatch, tokenizer: Any) -> list[str]:
    """The first right answer."""
    return pieces(tokenizer, batch.correct[:, 0].tolist())


def order(batch: PromptBatch, tokenizer: Any) -> list[str]:
    """Whether the right or the wrong answer is named first.

    Raises:
        TaskError: A prompt doesn't name both.
    """
    right, wrong = (_first_column(batch, ids) for ids in (batch.correct, batch.wrong))
    if bool(((right < 0) | (wrong < 0)).any()):
        raise TaskError(
            f"label 'order' asks whether the right or the wrong answer is named first, and task {batch.task!r} has a "
            "prompt that doesn't name both; take another label"
        )
    return ["right first" if a < b else "wrong first" for a, b in zip(right.tolist(), wrong.tolist(), strict=True)]


def side(batch: PromptBatch, tokenizer: Any) -> list[str]:
    """Clean or corrupted."""
    return [name for name in ("clean", "corrupted") for _ in range(batch.n)]


LABELS: Registry[Label] = Registry.of(
    "label",
    [
        Label("answer", "which answer is right", answer),
        Label("order", "whether the right or the wrong answer is named first", order),
        Label("side", "whether the prompt is a clean or a corrupted one", side, BOTH),
    ],
)


def labelled(batch: PromptBatch, label: str, tokenizer: Any) -> Labelled:
    """The labels of a batch's prompts.

    Raises:
        UnknownNameError: There is no such label.
        TaskError: The prompts don't have it.
    """
    kind = LABELS.find(label)
    first = (batch.clean != batch.corrupt).int().argmax(1)[:, None]
    words = [word for name in kind.sides for word in getattr(batch, name).gather(1, first)[:, 0].tolist()]
    return Labelled(kind.name, kind.sides, tuple(kind.of(batch, tokenizer)), tuple(words))


def _first_column(batch: PromptBatch, answers: Int[Tensor, "batch n"]) -> Int[Tensor, " batch"]:
    """The first column of each prompt that holds one of its answers; -1 where none does."""
    if not answers.shape[1]:
        return torch.full((batch.n,), -1)
    found = (batch.clean[:, :, None] == answers[:, None, :]).any(2) & batch.attention
    return torch.where(found.any(1), found.int().argmax(1), -1)
