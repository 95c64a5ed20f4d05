"""Tasks made of words: which of them a tokenizer can write, and which are held out from discovery."""

import random
import re
from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from acdc.errors import TaskError
from acdc.prompts.pairs import PromptPair
from acdc.prompts.tokens import encode, single_token
from acdc.task.base import Task

__all__ = ["WordTask", "Words", "single_tokens", "spellable", "split_words", "word_spans"]

Item = TypeVar("Item")
Forms = TypeVar("Forms", str, tuple[str, str])


def single_tokens(tokenizer: Any, words: Iterable[Forms]) -> list[Forms]:
    """The words that are one token with the space before them; of a word in two forms, both must be."""

    def fits(word: str | tuple[str, ...]) -> bool:
        forms = [word] if isinstance(word, str) else word
        return all(single_token(tokenizer, f" {form}") is not None for form in forms)

    return [word for word in words if fits(word)]


def spellable(tokenizer: Any, texts: Iterable[str]) -> list[str]:
    """The texts that the tokenizer can spell; all of them, unless it is made of whole words.

    A template is read as it stands, without its `{slots}`; a word with the space before it.

    Raises:
        TaskError: It can't spell any of them.
    """
    unknown, texts = tokenizer.unk_token_id, list(texts)
    forms = [re.sub(r" ?\{\w+\}", "", text) if "{" in text else f" {text}" for text in texts]
    spelled = [
        text
        for text, form in zip(texts, forms, strict=True)
        if unknown is None or unknown not in encode(tokenizer, form)
    ]
    if not spelled:
        names = ", ".join(map(repr, texts[:3])) + ("…" if len(texts) > 3 else "")
        raise TaskError(f"the tokenizer of {tokenizer.name_or_path!r} lacks words of each of {names}")
    return spelled


def split_words(words: Sequence[Item], *, held_out: bool, every: int = 4) -> list[Item]:
    """One side of a list: every `every`-th item is for held-out pairs, the others are for discovery.

    Raises:
        TaskError: There are words, but too few for this side.

    >>> split_words(["a", "b", "c", "d", "e"], held_out=False)
    ['a', 'b', 'c', 'e']
    >>> split_words(["a", "b", "c", "d", "e"], held_out=True)
    ['d']
    """
    side = [word for i, word in enumerate(words) if (i % every == every - 1) == held_out]
    if words and not side:
        raise TaskError(f"every {every}th is held out, and there are only {len(words)}: {', '.join(map(repr, words))}")
    return side


def word_spans(clean: Mapping[str, str], corrupt: Mapping[str, str]) -> dict[str, Any]:
    """Spans of words that stand at the same places of both sides, for `PromptPair(..., spans=)`.

    Args:
        clean, corrupt: The word at each span, by its name, in the order of the text; a word that comes more than once
            is told by counting.

    >>> word_spans({"S1": "John", "S2": "John"}, {"S1": "Paul", "S2": "Lisa"})
    {'S1': (('John', 1), ('Paul', 1)), 'S2': (('John', 2), ('Lisa', 1))}
    """
    one, other = (_counted(side) for side in (clean, corrupt))
    return {name: (one[name], other[name]) for name in clean}


def _counted(words: Mapping[str, str]) -> dict[str, tuple[str, int]]:
    found = list(words.values())
    return {name: (word, found[: i + 1].count(word)) for i, (name, word) in enumerate(words.items())}


@dataclass(frozen=True)
class Words:
    """What prompts may be made of: the part of each list that is for discovery, or the part that is held out.

    Every list keeps its order, so that equal seeds draw equal prompts.

    Attributes:
        tokenizer: It must be able to write them.
        held_out: Whether they are the held-out part.
        task: The task's name, for messages.
    """

    tokenizer: Any
    held_out: bool
    task: str

    def single_tokens(self, words: Iterable[Forms], what: str, *, least: int = 1, every: int = 4) -> list[Forms]:
        """This part of those words that are single tokens with the space before them, as `single_tokens` reads them.

        Args:
            what: What they are, in the plural, for the message.
            least: How many the task needs.
            every: One in so many words is held out.

        Raises:
            TaskError: There are fewer than `least`.
        """
        kept = self.split(single_tokens(self.tokenizer, words), every=every)
        return self.need(kept, f"{what} that are single tokens with their leading space", least=least)

    def spellable(self, texts: Iterable[str], *, every: int = 4) -> list[str]:
        """This part of those words or templates that the tokenizer can spell, as `spellable` reads them.

        Raises:
            TaskError: There are none.
        """
        return self.split(spellable(self.tokenizer, texts), every=every)

    def split(self, items: Sequence[Item], *, every: int = 4) -> list[Item]:
        """This part of any list, as `split_words` divides it."""
        return split_words(items, held_out=self.held_out, every=every)

    def need(self, items: list[Item], what: str, *, least: int = 1) -> list[Item]:
        """The items themselves, if there are enough.

        Raises:
            TaskError: There are fewer than `least`; the message says what the task needs, and what the tokenizer has.
        """
        if len(items) < least:
            raise TaskError(
                f"task {self.task!r} needs {what}, at least {least}; the tokenizer of {self.tokenizer.name_or_path!r} "
                f"has {len(items)}{' that are held out' if self.held_out else ''}"
            )
        return items


class WordTask(Task):
    """A task whose discovery and held-out pairs are made of different words: set `name`, and write `draw`.

    >>> class Echo(WordTask):
    ...     name = "echo"
    ...     def draw(self, words, n, rng):
    ...         names = words.single_tokens(("Mary", "John", "Anna", "Paul", "Lisa"), "names", least=2)
    ...         drawn = [rng.sample(names, 2) for _ in range(n)]
    ...         return [PromptPair(f" {a} {b} {a}", f" {b} {a} {b}", [f" {b}"], [f" {a}"]) for a, b in drawn]
    """

    @abstractmethod
    def draw(self, words: Words, n: int, rng: random.Random) -> Iterable[PromptPair]:
        """Make `n` pairs of these words, drawing only from `rng`.

        Raises:
            TaskError: The tokenizer can't express the task with them.
        """

    def pairs(self, tokenizer: Any, n: int, rng: random.Random) -> Iterable[PromptPair]:
        """`n` pairs of the words for discovery."""
        return self.draw(Words(tokenizer, False, self.name), n, rng)

    def held_out_pairs(self, tokenizer: Any, n: int, rng: random.Random) -> Iterable[PromptPair]:
        """`n` pairs of the words that are held out."""
        return self.draw(Words(tokenizer, True, self.name), n, rng)
