"""ACDC's threshold: a number in the metric's unit, or a share of the task's whole effect, like '5%'.

The whole effect is the loss with every edge removed minus the loss of the model: what there is to be explained.
"""

import logging
from typing import Annotated, NamedTuple

from acdc.errors import RunError, printable
from acdc.options.ranges import Checked, Range
from acdc.patching.problem import Problem

__all__ = ["Tau", "Threshold", "share_of", "threshold"]

logger = logging.getLogger(__name__)


def share_of(text: str) -> float:
    """The share that a text like '5%' means.

    Raises:
        RunError: It isn't such a text, or the share isn't within 0% and 100%.
    """
    number = text.strip().removesuffix("%")
    try:
        share = float(number) / 100 if number != text.strip() else -1.0
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise RunError(
            "tau must be a number of at least 0 (an edge is removed if the loss rises by less), or a share of the "
            f"whole effect from 0% to 100%, like 5%, not {printable(text, 60)!r}"
        )
    return share


Tau = Annotated[float, Range(0, why="an edge is removed if the loss rises by less")] | Annotated[str, Checked(share_of)]


class Threshold(NamedTuple):
    """Tau in the metric's unit, and ACDC's rule with it.

    Attributes:
        whole_effect: In the metric's unit too.
        warnings: What to know of the two.
        is_share: Tau was given as a share of the whole effect.
        absolute: The change's size is compared, not the rise.
    """

    tau: float
    whole_effect: float
    warnings: list[str]
    is_share: bool = False
    absolute: bool = False

    def removes(self, rise: float) -> bool:
        """Whether an edge is removed, or a block of them, at this rise of the loss."""
        return (abs(rise) if self.absolute else rise) < self.tau


def threshold(problem: Problem, tau: float | str, *, absolute: bool = False) -> Threshold:
    """Tau as a number. It takes a forward pass, and warns at once where there is nothing to find.

    Raises:
        RunError: A share is asked for and there is no effect to take it of.
    """
    effect = problem.empty_loss - problem.model_loss
    metric = problem.objective.metric.name
    if isinstance(tau, str):
        if not effect > 0:
            raise RunError(
                f"tau {tau} is a share of the whole effect, but {metric} gets no worse with every edge removed (its "
                f"loss changes by {effect:.3g}); give tau as a number, or take another metric or ablation"
            )
        return Threshold(share_of(tau) * effect, effect, [], is_share=True, absolute=absolute)
    warnings = list[str]()
    if effect <= 0:
        warnings.append(
            f"{metric} gets no worse with every edge removed (its loss changes by {effect:.3g}), so there is no effect "
            "to find a circuit of; look whether the model does this task, or take another metric or ablation"
        )
    elif effect < tau:
        warnings.append(
            f"tau {tau:g} is above the whole effect of removing every edge, {effect:.3g} by {metric}, so nearly every "
            f"edge can be removed; give less, like tau=5% (here {0.05 * effect:.2g})"
        )
    for warning in warnings:
        logger.warning("%s", warning)
    return Threshold(float(tau), effect, warnings, absolute=absolute)
