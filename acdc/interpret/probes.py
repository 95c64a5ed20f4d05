"""Where a label is encoded: linear probes of the residual stream, their controls, and whether the model uses it.

At each layer and place a logistic regression is fitted on the discovery prompts and tried on held-out ones, which share
no words with these where the task can hold words out. Beside its accuracy stand

    majority      always saying the commonest label of the training
    control       accuracy on random labels, one for each word (Hewitt & Liang 2019), on new prompts of the same words
    selectivity   accuracy - control
    causal        (m(clean) - m(label taken away)) / (m(clean) - m(corrupted))

for encoded is not used: the last one projects what tells the class means apart out of the residual stream there.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Float
from torch import Tensor

from acdc.errors import TaskError
from acdc.evaluation.confidence import share_interval
from acdc.interpret.directions import Removal, class_means
from acdc.interpret.labels import LABELS, labelled
from acdc.interpret.packages import need_scikit_learn
from acdc.interpret.places import Places, places_of
from acdc.interpret.probe_split import Split, split_of
from acdc.interpret.residuals import residuals, rows_of, stream_names
from acdc.options.defaults import SEED
from acdc.patching.problem import Problem
from acdc.prompts.batch import PromptBatch

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["MOST_LAYERS", "Probes", "default_label", "hits", "probe"]

MOST_LAYERS = 12
ONE_SIDED = 0.9  # share of the commonest label, from which on a probe has nothing to tell
Step = Callable[[int, int], None]


class Cell(NamedTuple):
    """One residual stream at one place: the numbers of `Probes`."""

    accuracy: float
    low: float
    high: float
    control: float
    causal: float


@dataclass(frozen=True)
class Probes:
    """What linear probes of one label find.

    Attributes:
        rows, columns: The residual streams by name, and the places.
        classes: The labels that are told apart.
        cells: `[row][column]`: accuracy on the held-out prompts with Wilson's 95% interval; control accuracy, NaN where
            hardly a word comes twice; and the share of the metric's difference between clean and corrupted prompts that
            is lost where the label is taken away, NaN where that has no meaning.
        majority: Accuracy of the training's commonest label on the held-out prompts.
        notes: What a reader must know.
    """

    label: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    classes: tuple[str, ...]
    cells: tuple[tuple[Cell, ...], ...]
    majority: float
    n_train: int
    n_test: int
    notes: tuple[str, ...] = ()

    def grid(self, name: str) -> Float[np.ndarray, "row column"]:
        """One of the numbers of all cells, by its name in `Cell`, or their `selectivity`."""
        if name == "selectivity":
            return self.grid("accuracy") - self.grid("control")
        return np.array([[getattr(cell, name) for cell in row] for row in self.cells])

    def frame(self) -> "pd.DataFrame":
        """One row a residual stream and place."""
        import pandas as pd

        return pd.DataFrame(
            [
                {"stream": stream, "place": place, **cell._asdict(), "selectivity": cell.accuracy - cell.control}
                | {"majority": self.majority}
                for stream, row in zip(self.rows, self.cells, strict=True)
                for place, cell in zip(self.columns, row, strict=True)
            ]
        )


def probe(
    train: PromptBatch,
    problem: Problem,
    *,
    label: str | None = None,
    places: Callable[[PromptBatch], Places] = places_of,
    layers: Sequence[int] | None = None,
    seed: int = SEED,
    step: Step = lambda done, total: None,
) -> Probes:
    """Fit probes on `train`, and try them on the problem's prompts.

    Args:
        problem: Held-out prompts, and the metric that the causal check reads.
        label: A name in `acdc.interpret.labels.LABELS`; the first that fits if None: see `default_label`.
        places: The columns to look at.
        layers: The residual streams before these blocks; about a dozen, evenly spaced, if None.
        seed: Of the control's random labels.
        step: Told how many cells are done.

    Raises:
        TaskError: The prompts don't have the label, or the held-out ones share too few of its values with the others.
        RunError: scikit-learn isn't installed.

    Reference:
        Hewitt & Liang 2019, Designing and Interpreting Probes with Control Tasks.
    """
    need_scikit_learn()
    model, test = problem.model, problem.batch
    label = default_label(train, test, model.tokenizer) if label is None else label
    known, asked = (labelled(batch, label, model.tokenizer) for batch in (train, test))
    split, removal = split_of(known, asked, seed=seed), Removal.make(problem)
    layers = rows_of(model, MOST_LAYERS) if layers is None else layers
    here, there = _shared(places(train), places(test))
    fitted, tried = (residuals(model, batch, known.sides, at, layers) for batch, at in ((train, here), (test, there)))

    def cell(i: int, j: int, name: str) -> Cell:
        x, y = fitted[i, j][split.train_rows], tried[i, j][split.test_rows]
        share = removal.share(layers[i], there[name], class_means(x, split.train))
        step(i * len(here) + j + 1, len(layers) * len(here))
        return Cell(*_accuracy(x, y, split), _control_accuracy(x, split), np.nan if share is None else share)

    return Probes(
        label=label,
        rows=tuple(stream_names(model, layers)),
        columns=tuple(here),
        classes=split.classes,
        cells=tuple(tuple(cell(i, j, name) for j, name in enumerate(here)) for i in range(len(layers))),
        majority=split.majority,
        n_train=len(split.fitted),
        n_test=len(split.test),
        notes=_notes(split, removal),
    )


def default_label(train: PromptBatch, test: PromptBatch, tokenizer: Any) -> str:
    """The first label that can be probed and is not nearly always the same: the answer; the order in which right and
    wrong answer are named; or which side a prompt is of, which always can."""
    for name in LABELS:
        try:
            split = split_of(*(labelled(batch, name, tokenizer) for batch in (train, test)), seed=SEED)
        except TaskError:
            continue
        if len(split.test) == len(LABELS[name].sides) * test.n and split.majority < ONE_SIDED:
            return name
    return "side"


def _shared(here: Places, there: Places) -> tuple[Places, Places]:
    """The places that both sets of prompts have."""
    names = [name for name in here if name in there]
    return {name: here[name] for name in names}, {name: there[name] for name in names}


def _accuracy(x: Tensor, y: Tensor, split: Split) -> tuple[float, float, float]:
    """On the held-out prompts, with its interval."""
    found = share_interval(hits(x[split.fitted], split.train[split.fitted], y, split.test))
    assert found.value is not None and found.low is not None and found.high is not None, "a share has an interval"
    return found.value, found.low, found.high


def _control_accuracy(x: Tensor, split: Split) -> float:
    """Of random labels of the words, on prompts that weren't fitted."""
    if (control := split.control) is None:
        return np.nan
    fitted, tried = split.fitted, control.tried
    return float(hits(x[fitted], control.labels[fitted], x[tried], control.labels[tried]).mean())


def hits(x: Tensor, classes: np.ndarray, y: Tensor, wanted: np.ndarray) -> np.ndarray:
    """Where a logistic regression that is fitted on x, standardised by x, is right about y: 1, else 0."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    known, asked = (each.double().cpu().numpy() for each in (x, y))
    fit = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(known, classes)
    return (fit.predict(asked) == wanted).astype(float)


def _notes(split: Split, removal: Removal) -> tuple[str, ...]:
    found = []
    if split.control is None:
        found.append("there is no control task: hardly a word comes twice among the training prompts")
    if removal.no_meaning is not None:
        found.append(f"the causal check has no meaning: {removal.no_meaning}")
    return tuple(found)
