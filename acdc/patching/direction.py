"""From which side a circuit is looked for.

| direction | runs | a removed edge carries | the loss |
|---|---|---|---|
| `noising` | the clean prompts | the corrupted run's activation (or another ablation) | the metric's |
| `denoising` | the corrupted prompts | the clean run's activation | its opposite |

Both read the same metric, against the clean run and the clean prompt's answers. Noising asks of an edge whether
spoiling it loses the answer, denoising whether restoring it brings the answer back. In both an edge stays if its
removal makes the loss rise. So a circuit found by denoising is what the corruption acts through: with all other edges
restored the answer is still gone.

Of two edges that back each other up (an OR) noising keeps one, and denoising both, for each alone brings the answer
back; of two that are needed together (an AND) noising keeps both, and denoising one.

References:
    Heimersheim & Nanda 2024, How to use and interpret activation patching, section 3.
    Chen et al. 2025, Rethinking circuit completeness in language models: AND, OR, and ADDER gates.
"""

from dataclasses import replace

from acdc.errors import unknown_name
from acdc.metrics import Objective
from acdc.patching.ablation import Ablated, from_first
from acdc.patching.activations import run
from acdc.patching.problem import Problem

__all__ = ["DENOISED", "DENOISING", "DIRECTIONS", "NOISING", "check_direction", "denoising", "directed"]

NOISING, DENOISING = "noising", "denoising"
DIRECTIONS = (NOISING, DENOISING)
DENOISED = "corrupt"  # the one ablation that denoising exists for: no prompt's run gives those of zero or mean


def check_direction(name: str) -> None:
    """Raise `UnknownNameError` unless there is such a direction."""
    if name not in DIRECTIONS:
        raise unknown_name("direction", str(name), DIRECTIONS)


def directed(problem: Problem, direction: str) -> Problem:
    """A problem, made for noising, as it is looked at in a direction.

    Raises:
        UnknownNameError: There is no such direction.
    """
    check_direction(direction)
    return problem if direction == NOISING else denoising(problem)


def denoising(problem: Problem) -> Problem:
    """The problem with the two sides' roles swapped, and its loss turned round.

    All edges kept: the corrupted run. None kept: the clean run's logits. Its `clean` is the run of the corrupted
    prompts, and what it calls the loss is minus the problem's own, so removals that restore the answer make it rise.
    """
    batch = replace(problem.batch, clean=problem.batch.corrupt, corrupt=problem.batch.clean)
    metric = problem.objective.metric
    turned = replace(metric, higher_is_better=not metric.higher_is_better, flat_at_clean=False)
    return replace(
        problem,
        batch=batch,
        clean=run(problem.model, batch, batch.clean),
        ablated=Ablated(problem.clean.outputs, from_first(batch.clean != batch.corrupt), coherent=True),
        objective=Objective(turned, batch, problem.clean.logits),
    )
