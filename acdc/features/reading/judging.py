"""Labels of features tested as the field tests them: detection and fuzzing, on examples that the labeller didn't see.

Detection: does the feature fire in this window? Windows in which it does, and random ones in which it doesn't.
Fuzzing: are the marked tokens the ones on which it fires? Windows in which it does, marked rightly, or as many others.

A feature that fires somewhere in nearly every window has none to say no to. Of it detection is over tokens: does it
fire on the marked one? Tokens on which it does, and random ones of the same windows on which it doesn't.

    balanced accuracy = (share of yes among the right ones + share of no among the others) / 2,  chance .5

Its interval joins the two shares' Wilson intervals (Newcombe 1998, the square-and-add method), which is right for few
examples too, and has a width where all are right.

Reference: Paulo et al. 2024 (arXiv 2410.13928), Automatically interpreting millions of features, section 3.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from acdc.errors import RunError
from acdc.evaluation.confidence import share_difference
from acdc.features.reading.windows import Detect, Window

__all__ = ["FEWEST", "Accuracy", "LabelTest", "Questions", "balanced_accuracy", "try_label"]

Over = Literal["windows", "tokens"]
FEWEST = 10  # windows of either kind, below which a label counts as untested


@dataclass(frozen=True)
class Accuracy:
    """Balanced accuracy with its 95% interval, of so many windows of each kind."""

    value: float
    low: float
    high: float
    n_yes: int
    n_no: int


@dataclass(frozen=True)
class LabelTest:
    """What became of a label.

    Attributes:
        detection, fuzzing: Balanced accuracies; None where there were too few windows.
        holds: Whether the intervals of both lie above chance, .5; None: untested. Of detection over tokens, which asks
            what fuzzing asks, its own is enough.
        why: Why something was not tested; else empty.
        over: What detection was asked of: `windows` or `tokens`.
    """

    label: str
    detection: Accuracy | None
    fuzzing: Accuracy | None
    holds: bool | None
    why: str = ""
    over: Over = "windows"


@dataclass(frozen=True)
class Questions:
    """What a label is asked: windows to say yes to, and windows to say no to, none of which it was made from.

    Attributes:
        fires, silent: Of detection; a token of each is marked where it is `over` tokens.
        marked_right, marked_wrong: Of fuzzing.
    """

    fires: tuple[Window, ...]
    silent: tuple[Window, ...]
    marked_right: tuple[Window, ...]
    marked_wrong: tuple[Window, ...]
    over: Over = "windows"


def try_label(label: str, detect: Detect, questions: Questions) -> LabelTest:
    """Test a label.

    Args:
        detect: Called with the label and some windows, all of one question; activations are not told.

    Raises:
        RunError: `detect` doesn't answer each window.
    """
    detection = _asked(label, detect, questions.fires, questions.silent)
    fuzzing = _asked(label, detect, questions.marked_right, questions.marked_wrong)
    measured, over = [each for each in (detection, fuzzing) if each is not None], questions.over
    few = [] if detection else [f"detection has {len(questions.fires)} and {len(questions.silent)} {over}"]
    few += [] if fuzzing else [f"fuzzing has {len(questions.marked_right)} and {len(questions.marked_wrong)}"]
    why = f"{', '.join(few)}; {FEWEST} of each kind are needed" if few else ""
    enough = detection is not None and (fuzzing is not None or over == "tokens")
    holds = all(each.low > 0.5 for each in measured) if enough else None
    return LabelTest(label, detection, fuzzing, holds, why, over)


def _asked(label: str, detect: Detect, yes: Sequence[Window], no: Sequence[Window]) -> Accuracy | None:
    if min(len(yes), len(no)) < FEWEST:
        return None
    mixed = np.random.default_rng(0).permutation(len(yes) + len(no))  # so that their order tells nothing
    both = [*yes, *no]
    said = list(detect(label, [both[i] for i in mixed]))
    if len(said) != len(both):
        raise RunError(f"detect was asked about {len(both)} windows and gave {len(said)} answers; it must answer each")
    answers = np.empty(len(both), dtype=bool)
    answers[mixed] = [bool(each) for each in said]
    return balanced_accuracy(answers[: len(yes)], ~answers[len(yes) :])


def balanced_accuracy(hits: np.ndarray, rejections: np.ndarray) -> Accuracy:
    """The mean of two shares, with its interval.

    >>> found = balanced_accuracy(np.ones(10, dtype=bool), np.zeros(10, dtype=bool))
    >>> found.value, round(found.low, 2), round(found.high, 2)
    (0.5, 0.36, 0.64)
    """
    found = share_difference(hits.astype(float), 1.0 - rejections)  # of yes, among the right ones and the others
    value, low, high = (0.5 + float(each or 0) / 2 for each in (found.value, found.low, found.high))
    return Accuracy(value, low, high, len(hits), len(rejections))
