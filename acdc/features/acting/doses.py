"""Dose against effect: a feature pushed by several amounts, what becomes of a task's metric, and of neutral text."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from acdc.evaluation.confidence import Interval, mean_interval
from acdc.evaluation.values import performance_metric
from acdc.features.acting.pushing import Push, pushed
from acdc.features.dictionary import Dictionary
from acdc.interpret.neutral import mean_kl, neutral_batch
from acdc.patching.problem import Problem
from acdc.progress.progress import Progress, Tell

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Doses", "dose_effects"]


class Row(NamedTuple):
    """What one dose does. `dose` None: nothing is pushed."""

    dose: float | None
    metric: Interval
    neutral_kl: float | None


@dataclass(frozen=True)
class Doses:
    """What a feature does when it is pushed.

    Attributes:
        metric: What the rows' `metric` is a mean of, over the prompts. Their `neutral_kl` is the mean divergence (KL)
            from the model's own predictions over the tokens of neutral text, in nats; None where the tokenizer can
            spell none.
    """

    feature: int
    kind: str
    metric: str
    rows: tuple[Row, ...]
    n_prompts: int
    n_neutral: int

    def frame(self) -> "pd.DataFrame":
        """One row a dose, the first without any: `dose`, the metric, `low`, `high`, `neutral_kl`."""
        import pandas as pd

        return pd.DataFrame(
            [
                {
                    "dose": "none" if row.dose is None else f"{row.dose:g}",
                    self.metric: row.metric.value,
                    "low": row.metric.low,
                    "high": row.metric.high,
                    "neutral_kl": row.neutral_kl,
                }
                for row in self.rows
            ]
        )


def dose_effects(
    problem: Problem,
    dictionary: Dictionary,
    feature: int,
    doses: Sequence[float],
    *,
    kind: str = "clamp",
    bos: bool | None = None,
    progress: Tell | None = None,
) -> Doses:
    """Push a feature by each dose, on a problem's prompts and on neutral text.

    Args:
        kind: `clamp` or `add`.
        doses: In the feature's own unit; a visible effect often takes 5 to 10 times its largest activation. 0 by
            `clamp` ablates it.
        bos: Whether neutral text starts with a BOS token: as the prompts do.

    Raises:
        RunError: The dictionary has no such feature.
        ModelError: It is another model's.
    """
    model, metric, rows = problem.model, performance_metric(problem), list[Row]()
    neutral = neutral_batch(model.tokenizer, bos)
    own = None if neutral is None else pushed(model, dictionary, neutral, None)
    for i, dose in enumerate((None, *doses)):
        if progress is not None:
            progress(Progress(i, len(doses) + 1, stage="doses", unit="doses"))
        push = None if dose is None else Push(feature, kind, float(dose))
        logits = model.unembed(pushed(model, dictionary, problem.batch, push)[:, -1]).double()
        values = metric.function(logits, problem.batch.correct, problem.batch.wrong, problem.clean.logits.double())
        side = (
            None
            if neutral is None or own is None
            else mean_kl(model, neutral, pushed(model, dictionary, neutral, push), own)
        )
        rows.append(Row(dose, mean_interval(values.detach().cpu().numpy()), side))
    n_neutral = 0 if neutral is None else neutral.n
    return Doses(feature, kind, metric.name, tuple(rows), problem.batch.n, n_neutral)
