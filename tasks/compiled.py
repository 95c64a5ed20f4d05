"""Small tasks of models whose circuit is known: hand-set weights (`*-compiled`) and planted circuits (`*-planted`).

Reversal, the share of previous tokens and balanced brackets are those of Lindner et al. 2023 (Tracr), as next words.
Each task's corrupted prompts are drawn so that every variable of the algorithm differs in a good share of the pairs.
"""

import random
from typing import Any

from acdc import PromptPair, Task, TaskError, single_token

TRACR = "after Lindner et al. 2023, Tracr (arXiv 2301.05062)"
SIIT = "planted as in Gupta et al. 2024, InterpBench (arXiv 2407.14494)"

LETTERS = tuple(f" {letter}" for letter in "abcdefghijklmnopqrstuvwxyz")
TENTHS = tuple(
    f" {word}" for word in ("none", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "all")
)


class _Spelled(Task):
    """A task that needs certain words as single tokens."""

    def need(self, tokenizer: Any, words: tuple[str, ...]) -> None:
        """Raise `TaskError` unless every word is one token."""
        if missing := [word for word in words if single_token(tokenizer, word) is None]:
            raise TaskError(
                f"task {self.name!r} needs {missing[0]!r} and {len(missing) - 1} more words as single tokens, and the "
                f"tokenizer of {tokenizer.name_or_path!r} splits them; its own model is {self.default_model!r}"
            )


class Reverse(_Spelled):
    """`" a b c d: d c"` -> `" b"`: different letters, a colon, and their reversal up to some word.

    The corrupted prompt has other letters, and its colon elsewhere, so that another position is to be copied.
    """

    name = "reverse"
    summary = "say a sequence of letters backwards"
    source = TRACR
    default_model = "reverse-compiled"
    shortest, longest = 3, 7

    def pairs(self, tokenizer: Any, n: int, rng: random.Random) -> list[PromptPair]:
        """`n` pairs of several lengths."""
        self.need(tokenizer, (*LETTERS, ":"))
        return [self.pair(rng) for _ in range(n)]

    def pair(self, rng: random.Random) -> PromptPair:
        """Two reversals of sequences of different lengths, cut after the same number of tokens."""
        lengths = range(self.shortest, self.longest + 1)
        while True:
            one, other = rng.sample(lengths, 2)
            ends = range(max(one, other), 2 * min(one, other))  # the target, where both still have a word to say
            if ends:
                break
        end, letters = rng.choice(ends), rng.sample(LETTERS, one + other)
        clean, corrupt = letters[:one], letters[one:]
        return PromptPair(
            _reversal(clean, end), _reversal(corrupt, end), [clean[2 * one - 1 - end]], [corrupt[2 * other - 1 - end]]
        )


def _reversal(letters: list[str], end: int) -> str:
    """The letters, a colon, and as much of the reversal as makes the token at position `end` the last."""
    return "".join([*letters, ":", *letters[::-1][: end - len(letters)]])


class FracPrevs(_Spelled):
    """`" a x b x"` -> `" five"`: the share of the words so far that are x, in tenths, rounded down.

    Both sides have the same number of words; the corrupted one has another share.
    """

    name = "frac-prevs"
    summary = "the share of the letters so far that are x, in tenths"
    source = TRACR
    default_model = "frac-prevs-compiled"
    longest = 12

    def pairs(self, tokenizer: Any, n: int, rng: random.Random) -> list[PromptPair]:
        """`n` pairs of several lengths."""
        self.need(tokenizer, (*LETTERS, *TENTHS))
        return [self.pair(rng) for _ in range(n)]

    def pair(self, rng: random.Random) -> PromptPair:
        """Two sequences of one length in which x stands a different number of times."""
        length = rng.randint(3, self.longest)
        while True:
            clean, corrupt = (rng.randint(0, length) for _ in range(2))
            if 10 * clean // length != 10 * corrupt // length:
                break
        texts = [self.text(length, count, rng) for count in (clean, corrupt)]
        right, wrong = (TENTHS[10 * count // length] for count in (clean, corrupt))
        return PromptPair(texts[0], texts[1], [right], [wrong])

    def text(self, length: int, count: int, rng: random.Random) -> str:
        """Letters of which `count` are x."""
        others = [letter for letter in LETTERS if letter != " x"]
        words = [" x"] * count + [rng.choice(others) for _ in range(length - count)]
        rng.shuffle(words)
        return "".join(words)


class Brackets(_Spelled):
    """`"(()())?"` -> `" yes"`, `"())(()?"` -> `" no"`.

    Half of the clean prompts are balanced, and their corrupted twins are wrong in both ways: a bracket closes that is
    not open, and the numbers differ. The other clean prompts are wrong in just one way, and their twins are balanced.
    """

    name = "brackets"
    summary = "whether brackets are balanced"
    source = TRACR
    default_model = "brackets-compiled"
    longest = 12

    def pairs(self, tokenizer: Any, n: int, rng: random.Random) -> list[PromptPair]:
        """`n` pairs of several lengths."""
        self.need(tokenizer, ("(", ")", "?", " yes", " no"))
        return [self.pair(i, rng) for i in range(n)]

    def pair(self, i: int, rng: random.Random) -> PromptPair:
        """The i-th pair: every second one is balanced."""
        length = 2 * rng.randint(2, self.longest // 2)
        wrong = (True, True) if i % 2 == 0 else rng.choice([(True, False), (False, True)])
        good, bad = (drawn_brackets(length, *faults, rng) + "?" for faults in ((False, False), wrong))
        return PromptPair(good, bad, [" yes"], [" no"]) if i % 2 == 0 else PromptPair(bad, good, [" no"], [" yes"])


def drawn_brackets(length: int, closes_early: bool, uneven: bool, rng: random.Random) -> str:
    """Random brackets with just these faults."""
    while True:
        text = rng.choices("()", k=length) if uneven else rng.sample("()" * (length // 2), length)
        depths = [2 * text[: i + 1].count("(") - i - 1 for i in range(length)]
        if (min(depths) < 0, depths[-1] != 0) == (closes_early, uneven):
            return "".join(text)


class Recall(_Spelled):
    """`" d a c b a"` -> `" c"`: different letters, then one of them again; the answer is the letter after it.

    Half of the corrupted prompts are another order of the same letters, half are other letters.
    """

    name = "recall"
    summary = "the letter that came after this one before"
    source = SIIT
    default_model = "recall-planted"
    n_letters, shortest, longest = 16, 4, 7

    def pairs(self, tokenizer: Any, n: int, rng: random.Random) -> list[PromptPair]:
        """`n` pairs of several lengths."""
        self.need(tokenizer, LETTERS[: self.n_letters])
        return [self.pair(i, rng) for i in range(n)]

    def pair(self, i: int, rng: random.Random) -> PromptPair:
        """The i-th pair, with different answers."""
        known = LETTERS[: self.n_letters]
        letters = rng.sample(known, rng.randint(self.shortest, self.longest))
        asked = rng.randrange(len(letters) - 1)
        while True:
            other = rng.sample(letters if i % 2 else known, len(letters))
            also = rng.randrange(len(letters) - 1)
            if letters[asked + 1] != other[also + 1] and letters[asked] != other[also]:
                break
        return PromptPair(
            "".join([*letters, letters[asked]]),
            "".join([*other, other[also]]),
            [letters[asked + 1]],
            [other[also + 1]],
        )


class Neighbor(_Spelled):
    """`" d b a g+"` -> `" e"`: letters and a sign; the answer is the letter after the first one, with - the one before.

    The alphabet goes round. The corrupted prompt has other letters, in half of the pairs the other sign too.
    """

    name = "neighbor"
    summary = "the letter after the first one in the alphabet, or before it"
    source = SIIT
    default_model = "neighbor-planted"
    n_letters, shortest, longest = 10, 3, 6
    signs = ("+", "-")

    def pairs(self, tokenizer: Any, n: int, rng: random.Random) -> list[PromptPair]:
        """`n` pairs of several lengths."""
        self.need(tokenizer, (*LETTERS[: self.n_letters], *self.signs))
        return [self.pair(i, rng) for i in range(n)]

    def pair(self, i: int, rng: random.Random) -> PromptPair:
        """The i-th pair, with different answers."""
        length, sign = rng.randint(self.shortest, self.longest), rng.randrange(2)
        while True:
            one, other = (rng.sample(range(self.n_letters), length) for _ in range(2))
            right, wrong = self.answer(one[0], sign), self.answer(other[0], sign ^ (i % 2))
            if one[0] != other[0] and right != wrong:
                break
        return PromptPair(self.text(one, sign), self.text(other, sign ^ (i % 2)), [LETTERS[right]], [LETTERS[wrong]])

    def answer(self, first: int, sign: int) -> int:
        """The letter after `first`, or with sign 1 before it."""
        return (first + 1 - 2 * sign) % self.n_letters

    def text(self, letters: list[int], sign: int) -> str:
        """The prompt."""
        return "".join(LETTERS[letter] for letter in letters) + self.signs[sign]
