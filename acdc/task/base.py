"""What a circuit is found for: a `Task` gives clean and corrupted prompt pairs, their answers and a metric."""

import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from typing import Any, ClassVar

from acdc.errors import TaskError, printable, unknown_name
from acdc.prompts.answers import SINGLE
from acdc.prompts.batch import PromptBatch, check_count
from acdc.prompts.pairs import PromptPair, checked
from acdc.prompts.pools import EVERY, same_pairs, side_of
from acdc.prompts.tokens import single_token
from acdc.task.users_code import file_of, users_code

__all__ = ["Task"]


class Task(ABC):
    """Base class of tasks: set `name`, and write `pairs`.

    Attributes:
        name: Short name, used on the command line and in output paths.
        summary: One line for `acdc tasks`.
        source: Paper or other origin.
        metric: Default metric of discovery: `kl`, `logit_diff`, `prob_diff` or `nll`.
        gradient_metric: Used instead of `kl` by methods that take gradients at the clean run, where `kl` is flat; `nll`
            if the task lists no wrong answers.
        default_model: The model used when none is named.
        prepend_bos: Whether prompts start with the tokenizer's BOS token. By default (None) a text starts as the
            tokenizer itself starts it, and token ids as they are given. Circuits depend on it, so runs record it; the
            argument `bos` of a run overrides it.
        bare_ids: Whether prompts given as token ids lack the special tokens that the tokenizer puts before a text, and
            are to get them.
        answers: How answers of several tokens are taken: `single` (refused), `whole` (all their tokens, each after the
            answer so far) or `first` (their first token).
        digest: SHA-256 of the file that the prompts come from, if they come from a data file.

    >>> from acdc import PromptPair, Task, discover
    >>> class Capital(Task):
    ...     name = "capital"
    ...     def pairs(self, tokenizer, n, rng):
    ...         return [PromptPair("The capital of France is", "The capital of Spain is", [" Paris"], [" Madrid"])]
    >>> result = discover("acdc-tasks", Capital, tau=0.1, out=None)
    >>> result.metrics["n_prompts"], result.metrics["accuracy"]["circuit"]
    (1, 1.0)
    """

    name: ClassVar[str]
    summary: ClassVar[str] = ""
    source: ClassVar[str] = ""
    metric: ClassVar[str] = "kl"
    gradient_metric: ClassVar[str] = "logit_diff"
    default_model: ClassVar[str] = "acdc-small"
    prepend_bos: ClassVar[bool | None] = None
    bare_ids: ClassVar[bool] = False
    answers: ClassVar[str] = SINGLE
    digest: ClassVar[str | None] = None

    @abstractmethod
    def pairs(self, tokenizer: Any, n: int, rng: random.Random) -> Iterable[PromptPair]:
        """Make `n` prompt pairs for this tokenizer, drawing only from `rng`; fewer if there are no more.

        Raises:
            TaskError: This tokenizer can't express the task.
        """

    def held_out_pairs(self, tokenizer: Any, n: int, rng: random.Random) -> Iterable[PromptPair]:
        """Make `n` pairs on which a circuit is judged; override it where discovery and evaluation can share no words.

        By default `pairs`, from another seed. Where `pairs` has only so many, or draws nothing from `rng` and so gives
        the same ones for every seed, every fourth of them is held out instead, and discovery gets the others.
        """
        return self.pairs(tokenizer, n, rng)

    def choice(self, option: str, value: Any, choices: Iterable[str]) -> str:
        """The value of an option, if it is one of the choices: for the constructor.

        Raises:
            UnknownNameError: It is none of them; the message lists them, with the nearest.
        """
        choices = list(choices)
        if value not in choices:
            raise unknown_name(f"{self.name} {option}", str(value), choices)
        return str(value)

    def numbers(self, option: str, value: Any, choices: range) -> range:
        """The value of an option alone, if it is one of these whole numbers; all of them if None: for the constructor.

        Raises:
            TaskError: It is none of them.
        """
        if value is None:
            return choices
        if isinstance(value, bool) or not isinstance(value, int) or value not in choices:
            step = f" in steps of {choices.step}" if choices.step > 1 else ""
            raise TaskError(
                f"{self.name} {option} must be a whole number from {choices[0]} to {choices[-1]}{step}, not {value!r}"
            )
        return range(value, value + 1)

    def require_single_tokens(self, tokenizer: Any, words: Sequence[str]) -> None:
        """Refuse a tokenizer that splits, or doesn't know, one of these words.

        Raises:
            TaskError: It names the first such word, and the task's own model.
        """
        if missing := [word for word in words if single_token(tokenizer, word) is None]:
            raise TaskError(
                f"task {self.name!r} needs {missing[0]!r} and {len(missing) - 1} more words as single tokens, and the "
                f"tokenizer of {tokenizer.name_or_path!r} splits them; its own model is {self.default_model!r}"
            )

    def batch(
        self, tokenizer: Any, n: int, seed: int = 0, *, held_out: bool = False, bos: bool | None = None
    ) -> PromptBatch:
        """`n` checked and tokenised pairs, or as many as there are; equal for equal seeds.

        Args:
            held_out: Whether they are to judge a circuit, not to find it: drawn from a seed that no discovery has.
            bos: What stands before a prompt, as in `PromptBatch.from_pairs`; `prepend_bos` if None.

        Raises:
            TaskError: `n` is out of range, the task's own code fails or gives no pairs, or the pairs don't pass the
                checks of `PromptBatch.from_pairs`.
        """
        check_count(n)
        pairs, note = self._chosen(tokenizer, n, seed, held_out)
        wish = self.prepend_bos if bos is None else bos
        batch = PromptBatch.from_pairs(
            pairs, tokenizer, task_name=self.name, bos=wish, bare_ids=self.bare_ids, answers=self.answers
        )
        return replace(batch, notes=(*([note] if note else []), *batch.notes))

    def _chosen(self, tokenizer: Any, n: int, seed: int, held_out: bool) -> tuple[list[PromptPair], str | None]:
        """The pairs for discovery or the held-out ones, and what a reader must know of them."""
        start, other_start = (f"held out {seed}", seed) if held_out else (seed, f"held out {seed}")
        if type(self).held_out_pairs is not Task.held_out_pairs:
            pairs, _ = self._made(self.held_out_pairs if held_out else self.pairs, tokenizer, n, start)
            return pairs[:n], self._shortfall(len(pairs), n)
        pairs, drawn = self._made(self.pairs, tokenizer, n, start)
        if drawn and (len(pairs) == n or not same_pairs(pairs, self._made(self.pairs, tokenizer, n, other_start)[0])):
            return pairs[:n], self._shortfall(len(pairs), n)
        if not drawn and len(pairs) == n:  # always the same: there may be more of them, for the other side too
            more = EVERY * n if held_out else n + n // (EVERY - 1) + 1
            with suppress(TaskError):  # some can't give so many
                pairs, _ = self._made(self.pairs, tokenizer, more, start)
        side = side_of(pairs, held_out=held_out, in_order=not drawn)[:n]
        return side, self._split_note(len(pairs), len(side), n, held_out)

    def _made(
        self, make: Callable[..., Iterable[PromptPair]], tokenizer: Any, n: int, seed: int | str
    ) -> tuple[list[PromptPair], bool]:
        """`n` pairs (a list may hold fewer or more), and whether anything was drawn from `rng` to make them."""
        rng = random.Random(seed)
        before = rng.getstate()
        with users_code(f"task {self.name!r} failed to make its pairs", file_of(type(self))):
            made = make(tokenizer, n, rng)
            if isinstance(made, str | bytes | dict) or not isinstance(made, Iterable):
                raise TaskError(
                    f"task {self.name!r} must give a list of PromptPair, not {printable(repr(made), 60)} "
                    f"({type(made).__name__})"
                )
            pairs = list(made) if isinstance(made, list | tuple) else list(islice(made, n))
            checked_pairs = [checked(pair, f"task {self.name!r}, pair {i}") for i, pair in enumerate(pairs)]
        if not pairs:
            raise TaskError(f"task {self.name!r} gave no prompt pairs: at least one is needed")
        return checked_pairs, rng.getstate() != before

    def _shortfall(self, given: int, asked: int) -> str | None:
        """What to say of fewer pairs than were asked for."""
        return None if given >= asked else f"{self._count(given, asked)}; these are used"

    def _split_note(self, given: int, used: int, asked: int, held_out: bool) -> str | None:
        """What to say of a finite list of pairs, of which some are held out."""
        if used == asked:
            return None
        if given == used:
            return f"{self._count(given, asked)}; these are used, and none is held out of so few"
        return f"{self._count(given, asked)}; {used} of them, {'' if held_out else 'not '}held out, are used"

    def _count(self, given: int, asked: int) -> str:
        return f"task {self.name!r} gave {given} pair{'s'[: given != 1]} where {asked} were asked for"
