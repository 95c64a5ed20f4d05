"""Dose against effect: a feature pushed by several amounts, what becomes of a task's metric, and of neutral text."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from acdc.evaluation.values import performance_metric
from acdc.features.acting.moved_tokens import MovedTokens, moved_tokens
from acdc.features.acting.pushing import Push, pushed, pushed_logits
from acdc.features.dictionary import Dictionary
from acdc.interpret.effects import Effect, changes_of, effect_on
from acdc.interpret.neutral import mean_kl, neutral_batch
from acdc.patching.problem import Problem
from acdc.progress.progress import Progress, Tell

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["DoseRow", "Doses", "dose_effects"]


@dataclass(frozen=True, kw_only=True)
class DoseRow(Effect):
    """What one dose does.

    Attributes:
        dose: None: nothing is pushed.
        changes: Each prompt's change of the metric.
        moved: The next tokens whose probability changes most, with the mean change.
    """

    dose: float | None
    changes: tuple[float, ...]
    moved: MovedTokens


@dataclass(frozen=True)
class Doses:
    """What a feature does when it is pushed.

    Attributes:
        metric: What the rows' `metric` is a mean of, over the prompts.
        rows: The first without any dose.
    """

    feature: int
    kind: str
    metric: str
    rows: tuple[DoseRow, ...]
    n_prompts: int
    n_neutral: int

    def frame(self) -> "pd.DataFrame":
        """One row a dose: `dose`, what `Effect.cells` says, and the tokens that it `moves`."""
        import pandas as pd

        return pd.DataFrame(
            [
                {"dose": "none" if row.dose is None else f"{row.dose:g}"}
                | row.cells(self.metric)
                | {"moves": " ".join(f"{token!r} {change:+.3f}" for token, change in row.moved)}
                for row in self.rows
            ]
        )

    def to_dict(self) -> dict[str, Any]:
        """All of it as JSON holds it."""
        return asdict(self)

    def changes(self, i: int) -> Float[np.ndarray, " prompt"]:
        """Each prompt's change by row i."""
        return np.array(self.rows[i].changes)


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
    model, rows = problem.model, list[DoseRow]()
    neutral = neutral_batch(model.tokenizer, bos)
    text = None if neutral is None else pushed(model, dictionary, neutral, None)
    own = pushed_logits(model, dictionary, problem.batch, None)
    for i, dose in enumerate((None, *doses)):
        if progress is not None:
            progress(Progress(i, len(doses) + 1, stage="doses", unit="doses"))
        push = None if dose is None else Push(feature, kind, float(dose))
        logits = own if push is None else pushed_logits(model, dictionary, problem.batch, push)
        side = None
        if neutral is not None and text is not None:
            side = mean_kl(model, neutral, text if push is None else pushed(model, dictionary, neutral, push), text)
        rows.append(
            DoseRow(
                **vars(effect_on(problem, logits, side, own=own)),
                dose=dose,
                changes=tuple(changes_of(problem, logits, own=own).tolist()),
                moved=moved_tokens(model.tokenizer, logits, own),
            )
        )
    n_neutral = 0 if neutral is None else neutral.n
    return Doses(feature, kind, performance_metric(problem).name, tuple(rows), problem.batch.n, n_neutral)
