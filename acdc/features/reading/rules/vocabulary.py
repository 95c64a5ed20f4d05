"""How tokens read, and the classes of them that rules name: numbers, capitalised words, line breaks."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Int

__all__ = ["CLASSES", "Vocabulary", "word_of"]

# From what the class is called to whether a token, as it reads, is of it.
CLASSES: dict[str, Callable[[str], bool]] = {
    "a line break": lambda text: "\n" in text,
    "white space": lambda text: bool(text) and text.isspace() and "\n" not in text,
    "a number": lambda text: text.strip().isdecimal(),
    "a capitalised word": lambda text: text.strip().isalpha() and text.strip()[0].isupper() and not text.isupper(),
    "a word in capitals": lambda text: text.strip().isalpha() and text.isupper() and len(text.strip()) > 1,
    "a word or a piece of one": lambda text: text.strip().isalpha(),
    "a single letter": lambda text: text.strip().isalpha() and len(text.strip()) == 1,
    "a word's beginning": lambda text: text[:1] == " " and text[1:].isalpha(),
    "letters that go on without a space": lambda text: text.isalpha(),
    "punctuation": lambda text: bool(text.strip()) and not any(c.isalnum() or c.isspace() for c in text.strip()),
}


def word_of(text: str) -> str:
    """A token as a word, however it is written; empty where it is none.

    >>> word_of(" If"), word_of(" 7")
    ('if', '')
    """
    return text.strip().lower() if text.strip().isalpha() else ""


class Vocabulary:
    """Tokens by their numbers.

    Args:
        names: How they read.
    """

    def __init__(self, names: Mapping[int, str]) -> None:
        self.names = names

    def of_class(self, name: str, ids: Int[np.ndarray, "*shape"]) -> Bool[np.ndarray, "*shape"]:
        """Which of the tokens are of a class; never -1."""
        return self._tables[name][ids]

    @cached_property
    def _tables(self) -> dict[str, Bool[np.ndarray, " ids"]]:
        """For each class a row over all ids, and False behind them, where -1 looks."""
        size = max(self.names, default=-1) + 2
        found = {name: np.zeros(size, dtype=bool) for name in CLASSES}
        for token, text in self.names.items():
            for name, is_of in CLASSES.items():
                found[name][token] = is_of(text)
        return found

    def that_read(self, words: Sequence[str]) -> list[int]:
        """The tokens that are these words, however they are written."""
        return [token for word in words for token in self._words[word]]

    @cached_property
    def _words(self) -> dict[str, list[int]]:
        found = defaultdict(list)
        for token, text in self.names.items():
            found[word_of(text)].append(token)
        return found

    def listed(self, tokens: Iterable[int]) -> str:
        """Tokens in words.

        >>> Vocabulary({3: " the", 5: " of"}).listed([3, 5])
        "' the' or ' of'"
        """
        *most, last = (repr(self.names[token]) for token in tokens)
        return f"{', '.join(most)} or {last}" if most else last

    def joined(self, tokens: Iterable[int]) -> str:
        """Tokens that follow one another, as one text in quotes."""
        return repr("".join(self.names[token] for token in tokens))
