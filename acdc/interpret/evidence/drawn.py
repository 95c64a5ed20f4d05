"""Sequences of random tokens that come twice."""

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import torch

from acdc.errors import TaskError
from acdc.interpret.unmeasured import Unmeasured
from acdc.models import PatchableModel
from acdc.prompts.batch import PromptBatch
from acdc.prompts.tokens import surroundings

__all__ = ["Drawn", "before_text", "draw"]

HALF = 50  # tokens of a half, where there is room
LEAST = 5
SEQUENCES = 10


@dataclass(frozen=True)
class Drawn:
    """The prompts.

    Attributes:
        start: How many special tokens stand first.
        half: T, the tokens of a half.
    """

    batch: PromptBatch
    start: int
    half: int

    @property
    def fresh(self) -> range:
        """Positions of the first half but the very first of all, which sees itself alone."""
        return range(max(1, self.start), self.start + self.half)

    @property
    def repeated(self) -> range:
        """Positions of the second half but the last, after which no token follows."""
        return range(self.start + self.half, self.start + 2 * self.half - 1)


def draw(model: PatchableModel, seed: int) -> Drawn:
    """Draw them.

    Raises:
        Unmeasured: The context or the vocabulary is too small.
    """
    special = set(getattr(model.tokenizer, "all_special_ids", ()))
    usable = [i for i in range(min(len(model.tokenizer), len(model.components.unembed))) if i not in special]
    before = before_text(model.tokenizer)
    room = 2 * HALF if model.n_context is None else model.n_context - len(before)
    half = min(HALF, room // 2, len(usable))
    if half < LEAST:
        raise Unmeasured(f"a context of {2 * LEAST + len(before)} tokens and {LEAST} words are needed")
    generator = torch.Generator().manual_seed(seed)
    orders = [torch.randperm(len(usable), generator=generator)[:half].tolist() for _ in range(SEQUENCES)]
    ids = torch.tensor([[*before, *(usable[i] for i in order * 2)] for order in orders])
    batch = PromptBatch(ids, ids, torch.ones_like(ids, dtype=torch.bool), ids[:, -1:], ids[:, :0], "random tokens")
    return Drawn(batch.to(model.device), len(before), half)


def before_text(tokenizer: Any) -> tuple[int, ...]:
    """The special tokens that the tokenizer itself puts before a text, as before a task's prompts."""
    with suppress(TaskError, KeyError, ValueError):  # a small tokenizer of one's own may know no such sign
        return surroundings(tokenizer, ".").before
    return ()
