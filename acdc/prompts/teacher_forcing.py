"""Answers of several tokens, asked for token by token: a row for each, after the prompt and the answer so far.

    log p(answer | prompt) = sum over i of log p(answer_i | prompt, answer_1 .. answer_(i-1))

So every row is a prompt like any other, with its target last, and engines need to know nothing of it. Tokens with which
the right and the wrong answer both begin cancel in the difference of the two: they become part of the prompt.
"""

from typing import NamedTuple

from acdc.errors import TaskError

__all__ = ["ForcedRow", "forced_rows"]


class ForcedRow(NamedTuple):
    """What is put behind both sides of the pair, and the tokens that are right and wrong after it."""

    so_far: list[int]
    correct: list[int]
    wrong: list[int]


def forced_rows(correct: list[list[int]], wrong: list[list[int]], where: str) -> list[ForcedRow]:
    """The rows of a pair; one of all answers, if each is one token.

    Raises:
        TaskError: There are several right or several wrong answers, or one answer begins with the other.

    >>> forced_rows([[1, 2, 3]], [[1, 4]], "pair 0")
    [ForcedRow(so_far=[1], correct=[2], wrong=[4]), ForcedRow(so_far=[1, 2], correct=[3], wrong=[])]
    >>> len(forced_rows([[1], [2]], [[3]], "pair 0"))
    1
    """
    if all(len(answer) == 1 for answer in (*correct, *wrong)):
        return [ForcedRow([], [answer[0] for answer in correct], [answer[0] for answer in wrong])]
    if len(correct) != 1 or len(wrong) > 1:
        raise TaskError(
            f"{where}: whole answers of several tokens are compared one with one: give one right answer and at most "
            f"one wrong one, not {len(correct)} and {len(wrong)}; or take their first tokens (answers='first', "
            "--first-token)"
        )
    right, foil = correct[0], wrong[0] if wrong else []
    shared = _n_shared(right, foil)
    if wrong and shared == min(len(right), len(foil)):
        raise TaskError(f"{where}: one answer begins with the other, so no token tells them apart")
    rows = [ForcedRow(right[:shared], right[shared : shared + 1], foil[shared : shared + 1])]
    rows += [ForcedRow(right[:i], [right[i]], []) for i in range(shared + 1, len(right))]
    return rows + [ForcedRow(foil[:i], [], [foil[i]]) for i in range(shared + 1, len(foil))]


def _n_shared(one: list[int], other: list[int]) -> int:
    pairs = zip(one, other, strict=False)
    return next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))
