"""One circuit's faithfulness under every choice of how to measure it (Miller et al. 2024), in one table.

| choice | values |
|---|---|
| prompts | as the caller names them: `discovery`, `held-out` |
| ablation | what an edge carries that isn't the circuit's: see `acdc.patching.ablations` |
| direction | `noising`: the clean prompt runs, and the edges outside the circuit carry ablated activations; `denoising`: the corrupted prompt runs, and the circuit's edges carry the clean run's activations |
| granularity | `edges`: as found; `among nodes`: every edge from its nodes to the inputs (q, k, v apart) that it reads; `whole nodes`: every edge out of its nodes |
| metric | each that is defined on the prompts |

Noising asks whether the circuit is enough with everything else spoilt; what it computes is made of live activations.
Denoising asks whether restoring the circuit's messages alone restores the behaviour; what it carries is copied from the
clean run. Both give 1 for the whole model and 0 for the empty circuit. Denoising exists for `corrupt` alone: no prompt's
run gives the activations of `zero` or `mean`, and those of `noise` and `resample` are of no prompt's corrupted side.

Reference:
    Miller et al. 2024, Transformer circuit faithfulness metrics are not robust, section 3.
"""  # noqa: E501  a table

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from acdc.circuits.graph import Graph
from acdc.errors import TaskError
from acdc.evaluation.confidence import faithfulness_interval
from acdc.evaluation.knockouts import Step
from acdc.evaluation.recording import AFRESH, Recorder
from acdc.evaluation.values import ROUNDING, TASK_VALUES, prompt_values, recorded_values
from acdc.patching.ablations import ABLATIONS, ablate
from acdc.patching.direction import DENOISED
from acdc.patching.masked import masked_logits
from acdc.patching.problem import Problem

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "CHOICES",
    "GRANULARITIES",
    "Specification",
    "Specifications",
    "denoised_logits",
    "passes_of_a_set",
    "specifications",
]

CHOICES = ("prompts", "ablation", "direction", "granularity", "metric")
RESAMPLES = 1000


def _among_nodes(graph: Graph, mask: Tensor) -> Tensor:
    return _whole_nodes(graph, mask) & mask.any(0)[None, :]


def _whole_nodes(graph: Graph, mask: Tensor) -> Tensor:
    return graph.edges_mask & graph.at_sites(graph.writing(mask))


GRANULARITIES: Mapping[str, Callable[[Graph, Tensor], Tensor]] = {
    "edges": lambda graph, mask: mask,
    "among nodes": _among_nodes,
    "whole nodes": _whole_nodes,
}


@dataclass(frozen=True)
class Specification:
    """One way to measure, and what it says.

    Attributes:
        n_edges: Edges of the circuit at this granularity.
        faithfulness: With its interval over the prompts; None where it isn't defined.
        value, model, corrupted: Means of the metric: of the patched run, of the whole model, and of no edge.
        no_meaning, under_covers: Of the faithfulness: see `Interval`.
    """

    prompts: str
    ablation: str
    direction: str
    granularity: str
    metric: str
    n_prompts: int
    n_edges: int
    faithfulness: float | None
    low: float | None
    high: float | None
    value: float
    model: float
    corrupted: float
    no_meaning: str | None
    under_covers: bool


@dataclass(frozen=True)
class Specifications:
    """All ways to measure that the prompts allow; `skipped` says why for the others."""

    rows: tuple[Specification, ...]
    skipped: Mapping[str, str]
    forward_passes: int

    def to_frame(self) -> "pd.DataFrame":
        """One row a specification."""
        import pandas as pd

        return pd.DataFrame(list(self.rows))


def specifications(
    problems: Mapping[str, Problem],
    mask: Bool[Tensor, "src dst"],
    *,
    ablations: Sequence[str] = tuple(ABLATIONS),
    seed: int = 0,
    recorder: Recorder = AFRESH,
    progress: Step | None = None,
) -> Specifications:
    """Measure the circuit in every way.

    Args:
        problems: Prompt sets by name; their own ablation and metric don't matter here.
        ablations: Kinds to try; one that a prompt set doesn't allow is left out.
    """
    rows, skipped, passes = list[Specification](), dict[str, str](), 0
    runs = [(name, kind) for name in problems for kind in ablations]
    for i, (name, kind) in enumerate(runs):
        problem = problems[name]
        learned = problem.ablated.learned
        try:
            if ABLATIONS.find(kind).learns and learned is None:
                raise TaskError(f"{kind} is measured only where the circuit was found or is evaluated with it")
            ablated = ablate(kind, problem.model, problem.batch, problem.clean.outputs, seed=seed, learned=learned)
        except TaskError as error:
            skipped[f"{name}, {kind}"] = str(error)
        else:
            found = list(_measured(name, kind, replace(problem, ablated=ablated), mask, seed, recorder))
            rows += [row for each in found for row in each]
            passes += len(found) + 1
        if progress is not None:
            progress(i + 1, len(runs))
    return Specifications(tuple(rows), skipped, passes)


def passes_of_a_set(ablations: Sequence[str] = tuple(ABLATIONS)) -> int:
    """At most how many forward passes `specifications` takes for one prompt set."""
    noising = len(ablations) * (1 + len(GRANULARITIES))  # the empty circuit, and each granularity
    return noising + (len(GRANULARITIES) if DENOISED in ablations else 0)


def denoised_logits(problem: Problem, mask: Bool[Tensor, "src dst"]) -> Float[Tensor, "batch vocab"]:
    """Target logits on the corrupted prompts when the circuit's edges carry the clean run's activations.

    `x_d = Σ_{s->d in C} clean_s + Σ_{s->d not in C} out_s + constants`, `out` being live, from the corrupted prompt on:
    the masked forward with the two sides' roles and the mask swapped.
    """
    batch = replace(problem.batch, clean=problem.batch.corrupt, corrupt=problem.batch.clean)
    live = problem.graph.edges_mask & ~mask
    return masked_logits(problem.model, batch, problem.clean.outputs, live, ranks=problem.ranks)


def _measured(
    prompts: str, ablation: str, problem: Problem, mask: Tensor, seed: int, recorder: Recorder
) -> Iterator[list[Specification]]:
    """The rows of each run: one for each metric."""
    graph = problem.graph
    model = prompt_values(problem, problem.clean.logits)
    corrupted = recorded_values(
        problem, f"{prompts}, {ablation}".encode(), lambda: problem.logits(torch.zeros_like(mask)), recorder
    )
    for granularity, widen in GRANULARITIES.items():
        kept = widen(graph, mask)
        directions: dict[str, Callable[[], Tensor]] = {"noising": partial(problem.logits, kept)}
        if ablation == DENOISED:
            directions["denoising"] = partial(denoised_logits, problem, kept)
        for direction, logits in directions.items():
            rows, question = [], f"{prompts}, {ablation}, {granularity}, {direction}"
            for metric, values in recorded_values(problem, question.encode(), logits, recorder).items():
                if metric in TASK_VALUES:
                    continue
                found = faithfulness_interval(
                    values,
                    model[metric],
                    corrupted[metric],
                    rounding=ROUNDING[problem.model.dtype],
                    resamples=RESAMPLES,
                    seed=seed,
                )
                rows.append(
                    Specification(
                        prompts=prompts,
                        ablation=ablation,
                        direction=direction,
                        granularity=granularity,
                        metric=metric,
                        n_prompts=problem.batch.n_pairs,
                        n_edges=int(kept.sum()),
                        faithfulness=found.value,
                        low=found.low,
                        high=found.high,
                        value=float(values.mean()),
                        model=float(model[metric].mean()),
                        corrupted=float(corrupted[metric].mean()),
                        no_meaning=found.no_meaning,
                        under_covers=found.under_covers,
                    )
                )
            yield rows
