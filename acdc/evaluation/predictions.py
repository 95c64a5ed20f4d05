"""What the model, a circuit and the corrupted run predict on a few prompts, as text: whether numbers mean anything is
often seen here first."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jaxtyping import Float
from torch import Tensor

from acdc.errors import printable
from acdc.patching.problem import Problem

__all__ = ["Prediction", "Token", "prediction_lines", "prompt_text", "top_predictions", "words"]

LONGEST = 100  # letters of a prompt that are shown: its end


@dataclass(frozen=True)
class Token:
    """A token as text, and its probability."""

    token: str
    p: float


@dataclass(frozen=True)
class Prediction:
    """One prompt.

    Attributes:
        prompt: Its clean side as text, up to the target.
        correct, wrong: The answers as text.
        top: The most probable tokens, by who predicts: `model`, `circuit`, `corrupted`.
    """

    prompt: str
    correct: tuple[str, ...]
    wrong: tuple[str, ...]
    top: Mapping[str, tuple[Token, ...]]


def top_predictions(
    problem: Problem, logits: Mapping[str, Float[Tensor, "batch vocab"]], *, n_prompts: int = 3, k: int = 5
) -> tuple[Prediction, ...]:
    """The `k` most probable tokens on the first `n_prompts` prompts.

    Args:
        logits: Target logits on the problem's prompts, by who gives them.
    """
    rows = range(min(n_prompts, problem.batch.n))
    probabilities = {who: each[: len(rows)].double().softmax(-1).cpu() for who, each in logits.items()}
    return tuple(
        Prediction(
            prompt_text(problem, row),
            words(problem, problem.batch.correct[row].tolist()),
            words(problem, problem.batch.wrong[row].tolist()),
            {who: _best(problem, p[row], k) for who, p in probabilities.items()},
        )
        for row in rows
    )


def _best(problem: Problem, p: Float[Tensor, " vocab"], k: int) -> tuple[Token, ...]:
    values, ids = p.sort(descending=True, stable=True)
    texts = words(problem, ids[:k].tolist())
    return tuple(Token(text, value) for text, value in zip(texts, values[:k].tolist(), strict=True))


def prediction_lines(found: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """A `Prediction`, as JSON holds it, in words: a heading, and a line for each who predicts."""
    prompt = found["prompt"] if len(found["prompt"]) <= LONGEST else f"…{found['prompt'][-LONGEST:]}"
    answers = _some(found["correct"]) + (f", not {_some(found['wrong'])}" if found["wrong"] else "")
    yield "prompt", printable(f"{prompt!r} ({answers})", 3 * LONGEST)
    for who, tokens in found["top"].items():
        yield f"  {who} predicts", printable(", ".join(map(_with_p, tokens)))


def _with_p(token: Mapping[str, Any]) -> str:
    """A token and its probability, which a file has as null where logits weren't finite."""
    return f"{token['token']!r} " + ("undefined" if token["p"] is None else f"{token['p']:.2g}")


def _some(answers: Sequence[str]) -> str:
    return "/".join(map(repr, answers[:3])) + ("/…" if len(answers) > 3 else "")


def prompt_text(problem: Problem, row: int, *, corrupt: bool = False) -> str:
    """A prompt's clean side as text, without padding."""
    batch = problem.batch
    side = batch.corrupt if corrupt else batch.clean
    tokenizer: Any = problem.model.tokenizer
    return str(tokenizer.decode(side[row][batch.attention[row]].tolist()))


def words(problem: Problem, ids: list[int]) -> tuple[str, ...]:
    """Tokens as text; fillers (-1) are left out."""
    return tuple(str(problem.model.tokenizer.decode([token])) for token in ids if token >= 0)
