"""What a label of a feature is asked: of the half of the examples on which no rule is looked for, and no label made."""

from dataclasses import replace

import numpy as np

from acdc.features.reading.excerpts import excerpts
from acdc.features.reading.judging import FEWEST, LabelTest, Questions, try_label
from acdc.features.reading.record import FeatureReading
from acdc.features.reading.windows import Detect, Label, Window

__all__ = ["judged", "questions_of"]


def judged(reading: FeatureReading, index: int, label: str | Label, detect: Detect) -> LabelTest:
    """Test a label of your own, or one that your own language model gives, with it as the judge.

    Args:
        label: The label, or a function that is shown examples with activations, none of which are asked about later.
        detect: Called with the label and windows. Where tokens are marked it says whether they are the ones on which
            the feature fires, else whether it fires anywhere in the window.

    Raises:
        RunError: There is no such feature, or `detect` doesn't answer each window.

    >>> judged(reading, 123, my_model.label, my_model.detect)  # doctest: +SKIP
    """
    reading.check_index(index)
    if not isinstance(label, str):
        where, acts = (x[index][::2] for x in (reading.examples.where, reading.examples.acts))
        label = str(label(excerpts(reading, where, acts)))
    return try_label(label, detect, questions_of(reading, index))


def questions_of(reading: FeatureReading, index: int) -> Questions:
    """Windows in which the feature fires, and in which it doesn't; where there are too few of these, tokens."""
    reading.check_index(index)
    where, acts = (x[index][1::2] for x in (reading.examples.where, reading.examples.acts))
    fires, draw = excerpts(reading, where, acts), np.random.default_rng(index)
    silent = reading.probes[~reading.active[:, index]][1::2][: max(FEWEST, len(fires))]
    right, wrong = list[Window](), list[Window]()
    for window in fires:
        active, others = _active(window), _others(window)
        right.append(_asked(window, active))
        if len(others) >= active.sum():
            wrong.append(_asked(window, _at(window, draw.permutation(others)[: active.sum()])))
    if len(silent) >= FEWEST:
        none = np.zeros(0, dtype=bool)
        yes, no = (tuple(_asked(window, none) for window in each) for each in (fires, excerpts(reading, silent)))
        return Questions(yes, no, tuple(right), tuple(wrong))
    on = tuple(_asked(window, _at(window, draw.permutation(np.flatnonzero(_active(window)))[:1])) for window in fires)
    off = tuple(
        _asked(window, _at(window, draw.permutation(others)[:1])) for window in fires if len(others := _others(window))
    )
    return Questions(on, off, tuple(right), tuple(wrong), over="tokens")


def _active(window: Window) -> np.ndarray:
    return np.array(window.activations) > 0


def _others(window: Window) -> np.ndarray:
    """Columns of the tokens that count and on which the feature doesn't fire."""
    return np.flatnonzero(np.array(window.counted) & ~_active(window))


def _at(window: Window, columns: np.ndarray) -> np.ndarray:
    return np.isin(np.arange(len(window.ids)), columns)


def _asked(window: Window, marked: np.ndarray) -> Window:
    """The window without what is asked."""
    return replace(window, activations=(), marked=tuple(marked.tolist()))
