"""The prompts on which a circuit is furthest from its model, as text."""

from dataclasses import dataclass

import numpy as np

from acdc.evaluation.predictions import prompt_text, words
from acdc.evaluation.values import Outcomes
from acdc.evaluation.whole_answers import first_rows
from acdc.patching.problem import Problem

__all__ = ["PromptOutcome", "worst_prompts"]


@dataclass(frozen=True)
class PromptOutcome:
    """One prompt.

    Attributes:
        index: Its row in the batch.
        clean, corrupt: The two sides as text, up to the target.
        correct, wrong: The answers as text.
        distance: |circuit - model| in the metric.
        model, circuit: The metric's values.
    """

    index: int
    clean: str
    corrupt: str
    correct: tuple[str, ...]
    wrong: tuple[str, ...]
    metric: str
    distance: float
    model: float
    circuit: float


def worst_prompts(problem: Problem, outcomes: Outcomes, *, k: int = 5) -> tuple[PromptOutcome, ...]:
    """The `k` prompts with the largest |circuit - model| in the problem's metric, the worst first."""
    values = outcomes.values[outcomes.metric]
    distance = np.abs(values["circuit"] - values["model"])
    worst = np.argsort(-distance, kind="stable")[:k].tolist()
    first = first_rows(problem.batch)
    return tuple(
        PromptOutcome(
            row,
            prompt_text(problem, row),
            prompt_text(problem, row, corrupt=True),
            words(problem, problem.batch.correct[row].tolist()),
            words(problem, problem.batch.wrong[row].tolist()),
            outcomes.metric,
            float(distance[pair]),
            float(values["model"][pair]),
            float(values["circuit"][pair]),
        )
        for pair, row in ((pair, first[pair]) for pair in worst)
    )
