"""Faithfulness against circuit size: what the best n edges do, for growing n, and what all others do."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from acdc.evaluation.areas import corrected_areas, log_sizes, mib_areas, mib_sizes
from acdc.evaluation.knockouts import Step
from acdc.evaluation.predictions import prompt_text
from acdc.evaluation.values import TASK_VALUES, Values, normalised, prompt_values
from acdc.graph import Graph
from acdc.patching.problem import Problem

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["RANKINGS", "Curve", "areas", "curve", "mib_cpr", "top_edges"]

RANKINGS = ("signed", "absolute")
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


@dataclass(frozen=True)
class Curve:
    """Circuits of growing size.

    Attributes:
        points: One mapping a size: `asked` (edges before pruning), `n_edges` and `n_nodes` (after), for each metric its
            mean as `<metric>` and quantiles over the prompts as `<metric>_q05`…, `<metric>_faithfulness`, the same
            means of the complement as `<metric>_complement` and `<metric>_complement_faithfulness`, and `worst_prompt`,
            on which the circuit is furthest from the model in the problem's metric.
        ranking: signed (by score) or absolute (by the score's size).
        metric: The problem's own.
    """

    points: tuple[Mapping[str, Any], ...]
    ranking: str
    metric: str
    n_edges_of_model: int
    n_prompts: int
    forward_passes: int

    def to_frame(self) -> "pd.DataFrame":
        """One row a size."""
        import pandas as pd

        return pd.DataFrame([{"ranking": self.ranking, **point} for point in self.points])


def top_edges(
    graph: Graph, scores: Float[Tensor, "src dst"], n: int, *, ranking: str = "signed"
) -> Bool[Tensor, "src dst"]:
    """The `n` edges with the highest scores; where scores tie, the earlier edge of the mask's rows.

    A score that wasn't measured counts as 0, as it stands in a circuit file.
    """
    rank = scores.double().nan_to_num(nan=0.0, posinf=torch.inf, neginf=-torch.inf)
    rank = rank.abs() if ranking == "absolute" else rank
    where = graph.edges_mask
    order = rank.cpu()[where].argsort(descending=True, stable=True)
    kept = torch.zeros(len(order), dtype=torch.bool)
    kept[order[:n]] = True
    mask = torch.zeros_like(where)
    mask[where] = kept
    return mask


def curve(
    problem: Problem,
    scores: Float[Tensor, "src dst"],
    *,
    ranking: str = "signed",
    sizes: Sequence[int] | None = None,
    complement: bool = True,
    progress: Step | None = None,
) -> Curve:
    """Measure the circuits of the best n edges, pruned of edges on no path from `input` to `logits`.

    Args:
        scores: Positive where removing an edge hurts.
        ranking: signed or absolute.
        sizes: Which n; MIB's and logarithmically spaced ones if None.
        complement: Measure also all other edges; it takes as many forward passes again.
    """
    graph = problem.model.graph
    asked = sorted(set(sizes if sizes is not None else (*mib_sizes(graph.n_edges), *log_sizes(graph.n_edges))))
    measure, points = _Measure(problem), list[Mapping[str, Any]]()
    for i, n in enumerate(asked):
        mask = graph.prune(top_edges(graph, scores, n, ranking=ranking))
        point: dict[str, Any] = {"asked": n, "n_edges": int(mask.sum()), "n_nodes": len(graph.node_names(mask))}
        point |= measure.circuit(mask)
        if complement:
            point |= measure.complement(graph.edges_mask & ~mask)
        points.append(point)
        if progress is not None:
            progress(i + 1, len(asked))
    name = problem.objective.metric.name
    return Curve(tuple(points), ranking, name, graph.n_edges, problem.batch.n, measure.passes)


def areas(signed: Curve, absolute: Curve) -> dict[str, dict[str, dict[str, float]]]:
    """CPR (from the signed ranking) and CMD (from the absolute one), for each metric, in both modes.

    Both curves need MIB's sizes, none and all edges, as `curve` measures by default.

    Returns:
        `{"mib": {metric: {"cpr", "cmd"}}, "corrected": {metric: {"cpr", "cmd"}}}`; a metric in which the model does
        as if every edge were removed is left out.
    """
    found: dict[str, dict[str, dict[str, float]]] = {"mib": {}, "corrected": {}}
    names = [key.removesuffix("_faithfulness") for key in signed.points[0] if key.endswith("_faithfulness")]
    for name in (name for name in names if not name.endswith("_complement")):
        f = [_faithfulness_at(each, name) for each in (signed, absolute)]
        if any(value is None for each in f for value in each.values()):
            continue
        at = mib_sizes(signed.n_edges_of_model)
        mib = [mib_areas([each[n] for n in at]) for each in f]
        whole = [
            corrected_areas([p["n_edges"] for p in each.points], list(values.values()), each.n_edges_of_model)
            for each, values in zip((signed, absolute), f, strict=True)
        ]
        found["mib"][name] = {"cpr": mib[0][0], "cmd": mib[1][1]}
        found["corrected"][name] = {"cpr": whole[0][0], "cmd": whole[1][1]}
    return found


def mib_cpr(found: Curve) -> dict[str, float]:
    """MIB's CPR of a curve that has MIB's sizes, for each metric in which the model differs from the corrupted run."""
    at = mib_sizes(found.n_edges_of_model)
    names = [key.removesuffix("_faithfulness") for key in found.points[0] if key.endswith("_faithfulness")]
    values = {
        name: [_faithfulness_at(found, name)[n] for n in at] for name in names if not name.endswith("_complement")
    }
    return {name: mib_areas(f)[0] for name, f in values.items() if None not in f}


def _faithfulness_at(found: Curve, metric: str) -> dict[int, Any]:
    return {point["asked"]: point[f"{metric}_faithfulness"] for point in found.points}


class _Measure:
    """Masked forwards, each circuit measured once."""

    def __init__(self, problem: Problem) -> None:
        self.problem, self.known, self.passes = problem, dict[bytes, dict[str, Values]](), 0
        self.model = prompt_values(problem, problem.clean.logits)
        self.corrupted = self.values(torch.zeros_like(problem.model.graph.edges_mask))

    def values(self, mask: Tensor) -> dict[str, Values]:
        key = np.packbits(mask.numpy()).tobytes()
        if key not in self.known:
            self.known[key] = prompt_values(self.problem, self.problem.logits(mask))
            self.passes += 1
        return self.known[key]

    def circuit(self, mask: Tensor) -> dict[str, Any]:
        """Means, quantiles and faithfulness of each metric, and the worst prompt."""
        found, values = self._means(self.values(mask), ""), self.values(mask)
        for name, each in values.items():
            if name not in TASK_VALUES:
                quantiles = np.quantile(each, QUANTILES)
                found |= {f"{name}_q{round(100 * q):02d}": float(x) for q, x in zip(QUANTILES, quantiles, strict=True)}
        own = self.problem.objective.metric.name
        worst = int(np.abs(values[own] - self.model[own]).argmax())
        return found | {"worst_prompt": prompt_text(self.problem, worst)}

    def complement(self, mask: Tensor) -> dict[str, Any]:
        return self._means(self.values(mask), "_complement")

    def _means(self, values: Mapping[str, Values], suffix: str) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, each in values.items():
            found[name + suffix] = float(each.mean())
            if name not in TASK_VALUES:
                found[f"{name}{suffix}_faithfulness"] = normalised(
                    float(each.mean()), float(self.model[name].mean()), float(self.corrupted[name].mean())
                )
        return found
