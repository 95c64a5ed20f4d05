"""A list of pairs as a task."""

import random
from collections.abc import Sequence
from typing import Any

from acdc.errors import TaskError
from acdc.prompts.answers import SINGLE, WHOLE, check_answers
from acdc.prompts.pairs import PromptPair, checked
from acdc.task.base import Task

__all__ = ["PromptList"]


class PromptList(Task):
    """Pairs used as they are: what a list of `PromptPair` becomes where a task is expected.

    Args:
        pairs: At least one.
        name: Name for outputs and messages.
        held_out: Pairs to judge a circuit on; if there are none, every fourth of `pairs` is held out.
        metric: Default metric of discovery.
        answers: How answers of several tokens are taken: see `Task.answers`.

    Raises:
        TaskError: There are no pairs, or one is not a `PromptPair` with fields of their kinds.

    >>> pair = PromptPair("The capital of France is", "The capital of Spain is", [" Paris"], [" Madrid"])
    >>> PromptList([pair], name="capitals").name
    'capitals'
    """

    summary = "prompts that were given as a list"

    def __init__(
        self,
        pairs: Sequence[PromptPair],
        *,
        name: str = "prompts",
        held_out: Sequence[PromptPair] = (),
        metric: str = "kl",
        answers: str = SINGLE,
    ) -> None:
        self._pairs = [checked(pair, f"{name}, pair {i}") for i, pair in enumerate(pairs)]
        self._held_out = [checked(pair, f"{name}, held-out pair {i}") for i, pair in enumerate(held_out)]
        if not self._pairs:
            raise TaskError(f"the list of prompts {name!r} is empty: at least one PromptPair is needed")
        self.name, self.metric = name, metric  # type: ignore[misc]
        self.answers = check_answers(answers)  # type: ignore[misc]
        if answers == WHOLE:
            self.gradient_metric = "answer_logprob"  # type: ignore[misc]
        elif not all(pair.wrong for pair in (*self._pairs, *self._held_out)):
            self.gradient_metric = "nll"  # type: ignore[misc]

    def pairs(self, tokenizer: Any, n: int, rng: random.Random) -> Sequence[PromptPair]:
        """All pairs, whatever `n` is."""
        return self._pairs

    def _chosen(self, tokenizer: Any, n: int, seed: int, held_out: bool) -> tuple[list[PromptPair], str | None]:
        if not self._held_out:
            return super()._chosen(tokenizer, n, seed, held_out)
        pairs = (self._held_out if held_out else self._pairs)[:n]
        return pairs, self._shortfall(len(pairs), n)
