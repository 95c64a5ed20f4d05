"""Which prompts a probe is fitted on and tried on, and the random labels of its control task."""

from collections import Counter
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from acdc.errors import TaskError
from acdc.interpret.labels import Labelled

__all__ = ["Control", "Split", "split_of"]

MOST_CLASSES = 10  # the commonest
HELD_BACK = 4  # every so many training prompts are in no fit: on these a control is tried, whose words must be known
LEAST = 8  # of these


@dataclass(frozen=True)
class Control:
    """A control task: a random label for each word type, the classes as common as in the label that is probed.

    Attributes:
        labels: Of each training row.
        tried: Rows whose words occur among those that are fitted: a control can be learned by heart, and no other way.
    """

    labels: Int[np.ndarray, " n"]
    tried: Int[np.ndarray, " m"]


@dataclass(frozen=True)
class Split:
    """Rows of a label's prompts, fitted and tried.

    Attributes:
        classes: The labels that are told apart: the commonest of the training that are also tried.
        train_rows, test_rows: The prompts that have one of them, as rows of all prompts.
        train, test: Which class each of these has.
        fitted: Which of the training rows are fitted, as places in `train_rows`.
        control: None where hardly a word comes twice.
    """

    classes: tuple[str, ...]
    train_rows: Int[np.ndarray, " n"]
    test_rows: Int[np.ndarray, " m"]
    train: Int[np.ndarray, " n"]
    test: Int[np.ndarray, " m"]
    fitted: Int[np.ndarray, " k"]
    control: Control | None

    @property
    def majority(self) -> float:
        """How often the commonest label of the training is right on the prompts that are tried."""
        return float((self.test == np.bincount(self.train).argmax()).mean())


def split_of(train: Labelled, test: Labelled, *, seed: int) -> Split:
    """The rows of two sets of prompts, and a control task.

    Raises:
        TaskError: Fewer than two labels occur in both sets.
    """
    counts = Counter(train.names)
    shared = [name for name, n in counts.most_common() if n > 1 and name in set(test.names)]
    if len(shared) < 2:
        raise TaskError(
            f"label {train.label!r} can't be probed: {len(shared)} of its {len(counts)} values on the training prompts "
            "are also those of prompts to try it on, and two are needed; take another label, or more prompts"
        )
    classes = tuple(sorted(shared[:MOST_CLASSES]))
    (train_rows, fit), (test_rows, tried) = (_rows(each.names, classes) for each in (train, test))
    fitted = np.array([i for i in range(len(fit)) if i % HELD_BACK != HELD_BACK - 1])
    words = np.array(train.words)[train_rows]
    return Split(classes, train_rows, test_rows, fit, tried, fitted, _control(words, fit, fitted, seed))


def _rows(names: tuple[str, ...], classes: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    """The rows that have one of the classes, and which."""
    number = {name: i for i, name in enumerate(classes)}
    rows = np.array([i for i, name in enumerate(names) if name in number])
    return rows, np.array([number[names[i]] for i in rows])


def _control(words: np.ndarray, classes: np.ndarray, fitted: np.ndarray, seed: int) -> Control | None:
    """Random labels of words, each drawn as a training row's; None where they can't be fitted or tried."""
    rng = np.random.default_rng(seed)
    drawn = {word: rng.choice(classes) for word in dict.fromkeys(words.tolist())}
    labels, known = np.array([drawn[word] for word in words.tolist()]), set(words[fitted].tolist())
    back = np.setdiff1d(np.arange(len(words)), fitted)
    tried = np.array([i for i in back if words[i] in known], dtype=int)
    return Control(labels, tried) if len(tried) >= LEAST and len(set(labels[fitted].tolist())) > 1 else None
