"""Two-digit arithmetic (Stolfo et al. 2023, MIB): "47+35=" -> "82"."""

import random
from collections.abc import Callable
from functools import cache, partial
from typing import Any, NamedTuple

from acdc import PromptPair, TaskError, Words, WordTask, word_spans

OPERATIONS = {"addition": "+", "subtraction": "-", "both": "+-"}
RESULTS = ("auto", "one-token", "first-token")
OPERANDS = range(10, 100)  # the numbers of two digits
MAX_TRIES = 2000


class Problem(NamedTuple):
    """Two operands and the sign between them."""

    first: int
    sign: str
    second: int

    @property
    def value(self) -> int:
        """Its result."""
        return self.first + self.second if self.sign == "+" else self.first - self.second

    @property
    def text(self) -> str:
        """The prompt."""
        return "".join(self.parts.values()) + "="

    @property
    def parts(self) -> dict[str, str]:
        """Its parts, by the names of their spans."""
        return {"first": str(self.first), "sign": self.sign, "second": str(self.second)}

    @property
    def is_held_out(self) -> bool:
        """One in four unordered pairs of operands, evenly over all results."""
        low, high = sorted((self.first, self.second))
        return (2 * low + high) % 4 == 3


class Answer(NamedTuple):
    """What the tokenizer makes of a problem."""

    n_prompt: int
    token: int


def random_operands(problem: Problem, rng: random.Random) -> Problem:
    """Two other operands."""
    return problem._replace(first=rng.choice(OPERANDS), second=rng.choice(OPERANDS))


def other_operand(problem: Problem, rng: random.Random) -> Problem:
    """Another second operand."""
    return problem._replace(second=rng.choice(OPERANDS))


def other_operator(problem: Problem, rng: random.Random) -> Problem:
    """The other operation on the same operands."""
    return problem._replace(sign="-" if problem.sign == "+" else "+")


CORRUPTIONS: dict[str, Callable[[Problem, random.Random], Problem]] = {
    "random-operands": random_operands,
    "other-operand": other_operand,
    "other-operator": other_operator,
}


class Arithmetic(WordTask):
    """Sums and differences of two two-digit numbers; no result is negative.

    Discovery and held-out pairs share no pair of operands, in either order. Spans are the `first` operand, the `sign`
    and the `second` operand.

    Args:
        corruption: `random-operands`, `other-operand` (the second one) or `other-operator`.
        operation: `addition`, `subtraction` or `both`.
        result: `one-token` (only problems whose result the tokenizer writes as one token, as GPT-2's does with all),
            `first-token` (problems with results of two digits; the answer is the first token, a digit in many
            tokenizers: of sums of three digits it would be a 1), or `auto`: `one-token` where the tokenizer writes two
            digits as one token, else `first-token`.
    """

    name = "arithmetic"
    summary = "sums and differences of two-digit numbers"
    source = "Stolfo et al. 2023 (arXiv 2305.15054), MIB (arXiv 2504.13151)"
    default_model = "acdc-arithmetic"

    def __init__(self, corruption: str = "random-operands", operation: str = "addition", result: str = "auto") -> None:
        self.corruption = self.choice("corruption", corruption, CORRUPTIONS)
        self.signs = OPERATIONS[self.choice("operation", operation, OPERATIONS)]
        self.result = self.choice("result", result, RESULTS)

    def draw(self, words: Words, n: int, rng: random.Random) -> list[PromptPair]:
        """`n` pairs; the wrong answer is the corrupted prompt's."""
        tokenizer = words.tokenizer
        example = Problem(47, "-" if "-" in self.signs or self.corruption == "other-operator" else "+", 35)
        asked = self.result
        if asked == "auto":
            asked = "one-token" if self.answer(tokenizer, "one-token", example) else "first-token"
        answer, pairs = cache(partial(self.answer, tokenizer, asked)), []
        for _ in range(n):
            if (pair := self.pair(answer, rng, held_out=words.held_out)) is None:
                text = f"{example.text}{example.value}"
                pieces = tokenizer.convert_ids_to_tokens(tokenizer.encode(text, add_special_tokens=False))
                raise TaskError(
                    f"arithmetic with result {asked} can't be written with the tokenizer of "
                    f"{tokenizer.name_or_path!r}, which splits {text!r} into {pieces}"
                    + ("; result=first-token takes results of several tokens" if asked == "one-token" else "")
                )
            pairs.append(pair)
        return pairs

    def pair(
        self, answer: Callable[[Problem], Answer | None], rng: random.Random, *, held_out: bool
    ) -> PromptPair | None:
        """One pair, drawn again until both sides can be written, with different answers; None if they never can."""
        for _ in range(MAX_TRIES):
            clean = Problem(rng.choice(OPERANDS), rng.choice(self.signs), rng.choice(OPERANDS))
            corrupt = CORRUPTIONS[self.corruption](clean, rng)
            if clean.is_held_out != held_out or corrupt.is_held_out != held_out:
                continue
            right, wrong = answer(clean), answer(corrupt)
            if right and wrong and right.n_prompt == wrong.n_prompt and right.token != wrong.token:
                spans = word_spans(clean.parts, corrupt.parts)
                return PromptPair(clean.text, corrupt.text, correct=[right.token], wrong=[wrong.token], spans=spans)
        return None

    def answer(self, tokenizer: Any, asked: str, problem: Problem) -> Answer | None:
        """The first token after the prompt, or None if this problem can't be used."""
        if problem.value < 0:
            return None
        prompt = tokenizer.encode(problem.text, add_special_tokens=False)
        whole = tokenizer.encode(f"{problem.text}{problem.value}", add_special_tokens=False)
        result = whole[len(prompt) :]
        if whole[: len(prompt)] != prompt or not result or tokenizer.unk_token_id in whole:
            return None
        usable = len(result) == 1 if asked == "one-token" else problem.value in OPERANDS
        return Answer(len(prompt), result[0]) if usable else None
