"""The token ids of a pair's answers, and what to tell of a word that is no single token."""

from collections.abc import Sequence
from typing import Any

from acdc.errors import TaskError
from acdc.prompts.tokens import continuation, names_of, single_token

__all__ = ["answer_ids", "doubtful_answers"]


def answer_ids(answers: Sequence[str | int], tokenizer: Any, where: str) -> list[int]:
    """The token of each answer, none twice.

    Raises:
        TaskError: An answer isn't one token. The message shows its tokens, and the same word with a space before it
            where that is one.
    """
    ids = []
    for answer in answers:
        token = single_token(tokenizer, answer) if isinstance(answer, str) else answer
        if token is None:
            raise TaskError(_several(str(answer), tokenizer, where))
        ids.append(token)
    return list(dict.fromkeys(ids))


def doubtful_answers(prompt: str, answers: Sequence[str | int], tokenizer: Any) -> list[str]:
    """Answers that would be glued to the prompt's last word, where the same word after a space is one token too.

    >>> doubtful_answers("The capital of France is", ["Paris", " Rome"], smollm2.tokenizer)  # doctest: +SKIP
    ['Paris']
    """
    if not prompt[-1:].isalnum():
        return []
    texts = [answer for answer in answers if isinstance(answer, str) and answer[:1].isalpha()]
    return [text for text in texts if single_token(tokenizer, f" {text}") is not None]


def _several(answer: str, tokenizer: Any, where: str) -> str:
    found = names_of(tokenizer, continuation(tokenizer, answer))
    told = f"{where}: the answer {answer!r} is not a single token of this tokenizer (it gives {found})"
    if not answer[:1].isspace() and single_token(tokenizer, f" {answer}") is not None:
        return f"{told}; did you mean {f' {answer}'!r}, with the space before it?"
    return f"{told}; use a word that is one token, often one with a leading space"
