"""The token ids of a pair's answers: of one token, whole ones of several, or their first; and what to tell of doubt."""

from collections.abc import Sequence
from typing import Any

from acdc.errors import TaskError, unknown_name
from acdc.prompts.tokens import continuation, names_of, single_token

__all__ = ["ANSWERS", "FIRST", "SINGLE", "WHOLE", "answer_ids", "check_answers", "doubtful_answers"]

SINGLE, WHOLE, FIRST = "single", "whole", "first"
ANSWERS = (SINGLE, WHOLE, FIRST)  # how answers of several tokens are taken: refused, as a whole, by their first token


def check_answers(how: str) -> str:
    """How answers of several tokens are taken.

    Raises:
        UnknownNameError: It is none of `ANSWERS`.
    """
    if how not in ANSWERS:
        raise unknown_name("way to take answers", str(how), ANSWERS)
    return how


def answer_ids(
    answers: Sequence[str | int | Sequence[int]], tokenizer: Any, where: str, how: str = SINGLE
) -> list[list[int]]:
    """The tokens of each answer, no answer twice.

    Raises:
        TaskError: An answer isn't one token, and must be. The message shows its tokens, and the same word with a space
            before it where that is one.
    """
    found: list[list[int]] = []
    for answer in answers:
        ids = _ids(answer, tokenizer, where, how)
        if len(ids) > 1 and how == SINGLE:
            raise TaskError(_several(answer, tokenizer, where, ids))
        found.append(ids[:1] if how == FIRST else ids)
    return [list(ids) for ids in dict.fromkeys(map(tuple, found))]


def _ids(answer: str | int | Sequence[int], tokenizer: Any, where: str, how: str) -> list[int]:
    if not isinstance(answer, str):
        return [answer] if isinstance(answer, int) else list(answer)
    token = single_token(tokenizer, answer)
    if token is not None:
        return [token]
    ids = continuation(tokenizer, answer)
    if how == SINGLE or not ids or tokenizer.unk_token_id in ids:
        raise TaskError(_several(answer, tokenizer, where, ids))
    return ids


def doubtful_answers(prompt: str, answers: Sequence[Any], tokenizer: Any) -> list[str]:
    """Answers that would be glued to the prompt's last word, where the same word after a space is one token too."""
    if not prompt[-1:].isalnum():
        return []
    texts = [answer for answer in answers if isinstance(answer, str) and answer[:1].isalpha()]
    return [text for text in texts if single_token(tokenizer, f" {text}") is not None]


def _several(answer: Any, tokenizer: Any, where: str, ids: list[int]) -> str:
    pieces = names_of(tokenizer, ids)
    told = f"{where}: the answer {answer!r} is not a single token of this tokenizer (it gives {pieces})"
    if isinstance(answer, str) and not answer[:1].isspace() and single_token(tokenizer, f" {answer}") is not None:
        return f"{told}; did you mean {f' {answer}'!r}, with the space before it?"
    if len(ids) > 1 and tokenizer.unk_token_id not in ids:
        return (
            f"{told}; use a word that is one token, often one with a leading space, or say how to take several: the "
            "whole answer (answers='whole', --whole-answer) or its first token (answers='first', --first-token)"
        )
    return f"{told}; use a word that is one token, often one with a leading space"
