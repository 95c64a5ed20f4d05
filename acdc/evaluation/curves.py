"""Faithfulness against circuit size: what the best n edges do, for growing n, and what all others do."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from acdc.circuits.graph import Graph
from acdc.circuits.ranking import first_edges, n_tied, ranked_edges
from acdc.evaluation.areas import corrected_areas, log_sizes, mib_areas, mib_sizes
from acdc.evaluation.knockouts import Step
from acdc.evaluation.meaning import no_meaning
from acdc.evaluation.predictions import prompt_text
from acdc.evaluation.recording import AFRESH, Recorder
from acdc.evaluation.values import ROUNDING, TASK_VALUES, Values, circuit_values, normalised, prompt_values
from acdc.patching.problem import Problem

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Area", "Curve", "areas", "curve", "curve_sizes", "mib_cpr", "n_circuits"]

TIE_ORDERS = 5  # orders among equals that are drawn
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


@dataclass(frozen=True)
class Curve:
    """Circuits of growing size.

    Attributes:
        points: One mapping a size: `asked` (edges before pruning), `n_edges` and `n_nodes` (after), for each metric its
            mean as `<metric>` and quantiles over the prompts as `<metric>_q05`…, `<metric>_faithfulness`, the same
            means of the complement as `<metric>_complement` and `<metric>_complement_faithfulness`, and `worst_prompt`,
            on which the circuit is furthest from the model in the problem's metric. `n_tied` edges tie for the last
            places; if any, all numbers are means over the orders drawn among these (the complement is that of the
            first), and `<metric>_faithfulness_low`, `_high` the least and the greatest over them.
        orders: For each order drawn among equals, or the only one, `asked`, `n_edges` and `<metric>_faithfulness` of
            each size.
        ranking: signed (by score) or absolute (by the score's size).
        metric: The problem's own.
        no_meaning: Why faithfulness by a metric has no meaning, for the metrics of which that is so.
    """

    points: tuple[Mapping[str, Any], ...]
    orders: tuple[tuple[Mapping[str, Any], ...], ...]
    ranking: str
    metric: str
    no_meaning: Mapping[str, str]
    n_edges_of_model: int
    n_prompts: int
    forward_passes: int

    def to_frame(self) -> "pd.DataFrame":
        """One row a size."""
        import pandas as pd

        return pd.DataFrame([{"ranking": self.ranking, **point} for point in self.points])


def curve(
    problem: Problem,
    scores: Float[Tensor, "src dst"],
    *,
    ranking: str = "signed",
    sizes: Sequence[int] | None = None,
    complement: bool = True,
    seed: int = 0,
    recorder: Recorder = AFRESH,
    progress: Step | None = None,
) -> Curve:
    """Measure the circuits of the best n edges, pruned of edges that change nothing: see `Problem.prune`.

    Where scores tie for the last places, the circuits of `TIE_ORDERS` orders among the equal ones are measured.

    Args:
        scores: Positive where removing an edge hurts.
        ranking: signed or absolute.
        sizes: Which n; MIB's and logarithmically spaced ones if None.
        complement: Measure also all other edges; it takes as many forward passes again.
        seed: Of the orders among equals.
    """
    graph, by_score = problem.graph, ranking == "signed"
    asked = curve_sizes(graph) if sizes is None else sorted(set(sizes))
    tied = {n: n_tied(graph, scores, n, signed=by_score) for n in asked}
    n_orders = TIE_ORDERS if any(tied.values()) else 1
    orders = [ranked_edges(graph, scores, signed=by_score, ties=TIE_ORDERS * seed + i) for i in range(n_orders)]
    measure, points = _Measure(problem, recorder), list[Mapping[str, Any]]()
    by_order: list[list[Mapping[str, Any]]] = [[] for _ in orders]
    for i, n in enumerate(asked):
        masks = [problem.prune(first_edges(graph, order, n)) for order in (orders if tied[n] else orders[:1])]
        found = [measure.values(mask) for mask in masks]
        point: dict[str, Any] = {"asked": n, "n_tied": tied[n]}
        point |= {"n_edges": _mean(mask.sum() for mask in masks)}
        point |= {"n_nodes": _mean(len(graph.node_names(mask)) for mask in masks)}
        point |= measure.circuits(found)
        if complement:
            point |= measure.complement(graph.edges_mask & ~masks[0])
        points.append(point)
        for o, kept in enumerate(by_order):
            at = o % len(masks)
            kept.append({"asked": n, "n_edges": int(masks[at].sum()), **measure.faithfulness(found[at])})
        if progress is not None:
            progress(i + 1, len(asked))
    return Curve(
        points=tuple(points),
        orders=tuple(map(tuple, by_order)),
        ranking=ranking,
        metric=problem.objective.metric.name,
        no_meaning=measure.no_meaning,
        n_edges_of_model=graph.n_edges,
        n_prompts=problem.batch.n_pairs,
        forward_passes=measure.passes,
    )


def curve_sizes(graph: Graph, *, thorough: bool = True) -> list[int]:
    """MIB's sizes and none; if thorough, logarithmically spaced ones from none to all edges too."""
    return sorted({0, *mib_sizes(graph.n_edges), *(log_sizes(graph.n_edges) if thorough else ())})


Area = float | None | tuple[float | None, float | None]  # an area, or the least and the greatest over orders


def n_circuits(graph: Graph, scores: Float[Tensor, "src dst"], sizes: Sequence[int], *, signed: bool) -> int:
    """How many circuits a curve of these sizes measures: several of each size at which scores tie."""
    return sum(TIE_ORDERS if n_tied(graph, scores, n, signed=signed) else 1 for n in set(sizes))


def areas(signed: Curve, absolute: Curve) -> dict[str, dict[str, dict[str, Area]]]:
    """CPR (from the signed ranking) and CMD (from the absolute one), for each metric, in both modes.

    Where scores tie, each is the mean over the orders drawn among equals. Both curves need MIB's sizes, none and all
    edges, as `curve` measures by default.

    Returns:
        `{"mib": {metric: {"cpr", "cmd"}}, "corrected": {metric: {"cpr", "cmd"}}}`, where scores tie with the least and
        the greatest over the orders as `cpr_spread`, `cmd_spread`; a metric in which the model does as if every edge
        were removed is left out.
    """
    found: dict[str, dict[str, dict[str, Area]]] = {"mib": {}, "corrected": {}}
    names = [key.removesuffix("_faithfulness") for key in signed.orders[0][0] if key.endswith("_faithfulness")]
    for name in names:
        for mode, area in (("mib", _mib_area), ("corrected", _corrected_area)):
            by_order = [[area(each, order, name) for order in each.orders] for each in (signed, absolute)]
            if any(pair is None for pairs in by_order for pair in pairs):
                continue
            cpr, cmd = [pair[0] for pair in by_order[0] if pair], [pair[1] for pair in by_order[1] if pair]
            found[mode][name] = _spread("cpr", cpr) | _spread("cmd", cmd)
    return found


def _mib_area(found: Curve, order: Sequence[Mapping[str, Any]], metric: str) -> tuple[float, float] | None:
    at = {point["asked"]: point[f"{metric}_faithfulness"] for point in order}
    values = [at[n] for n in mib_sizes(found.n_edges_of_model)]
    return None if None in values else mib_areas(values)


def _corrected_area(found: Curve, order: Sequence[Mapping[str, Any]], metric: str) -> tuple[float, float] | None:
    values = [point[f"{metric}_faithfulness"] for point in order]
    sizes = [point["n_edges"] for point in order]
    n_edges = found.n_edges_of_model
    if order[-1]["asked"] == n_edges:  # with spans, some edges of the whole model lie on no path
        n_edges = sizes[-1]
    return None if None in values else corrected_areas(sizes, values, n_edges)


def _spread(name: str, values: list[float]) -> dict[str, Area]:
    """Their mean and, of several, the least and the greatest."""
    found: dict[str, Area] = {name: sum(values) / len(values)}
    return found | {f"{name}_spread": (min(values), max(values))} if len(values) > 1 else found


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

    def __init__(self, problem: Problem, recorder: Recorder) -> None:
        self.problem, self.recorder, self.known, self.passes = problem, recorder, dict[bytes, dict[str, Values]](), 0
        self.model = prompt_values(problem, problem.clean.logits)
        self.known[_key(problem.graph.edges_mask)] = self.model  # with all edges kept the clean run is run again
        self.corrupted = self.values(torch.zeros_like(problem.graph.edges_mask))
        rounding = ROUNDING[problem.model.dtype]
        reasons = {
            name: no_meaning(self.model[name], self.corrupted[name], rounding=rounding)
            for name in self.model
            if name not in TASK_VALUES
        }
        self.no_meaning = {name: reason for name, reason in reasons.items() if reason is not None}

    def values(self, mask: Tensor) -> dict[str, Values]:
        key = _key(mask)
        if key not in self.known:
            self.known[key] = circuit_values(self.problem, mask, self.recorder)
            self.passes += 1
        return self.known[key]

    def circuits(self, found: Sequence[Mapping[str, Values]]) -> dict[str, Any]:
        """Means, quantiles and faithfulness of each metric, and the worst prompt, of the mean of several circuits."""
        values = {name: np.mean([each[name] for each in found], axis=0) for name in found[0]}
        point = self._means(values, "")
        for name, each in values.items():
            if name not in TASK_VALUES:
                quantiles = np.quantile(each, QUANTILES)
                point |= {f"{name}_q{round(100 * q):02d}": float(x) for q, x in zip(QUANTILES, quantiles, strict=True)}
        if len(found) > 1:
            ratios = [self.faithfulness(each) for each in found]
            for name in ratios[0]:
                ends = [value for each in ratios if (value := each[name]) is not None]
                point |= {f"{name}_low": min(ends, default=None), f"{name}_high": max(ends, default=None)}
        own = self.problem.objective.metric.name
        worst = int(np.abs(values[own] - self.model[own]).argmax())
        return point | {"worst_prompt": prompt_text(self.problem, worst)}

    def complement(self, mask: Tensor) -> dict[str, Any]:
        return self._means(self.values(mask), "_complement")

    def faithfulness(self, values: Mapping[str, Values]) -> dict[str, float | None]:
        """Of each metric, as `<metric>_faithfulness`."""
        return {
            f"{name}_faithfulness": normalised(
                float(each.mean()), float(self.model[name].mean()), float(self.corrupted[name].mean())
            )
            for name, each in values.items()
            if name not in TASK_VALUES
        }

    def _means(self, values: Mapping[str, Values], suffix: str) -> dict[str, Any]:
        ratios = {
            f"{name.removesuffix('_faithfulness')}{suffix}_faithfulness": value
            for name, value in self.faithfulness(values).items()
        }
        return {**{name + suffix: float(each.mean()) for name, each in values.items()}, **ratios}


def _key(mask: Tensor) -> bytes:
    return np.packbits(mask.numpy()).tobytes()


def _mean(numbers: Iterable[Any]) -> int:
    """The mean of whole numbers, rounded."""
    listed = [int(number) for number in numbers]
    return round(sum(listed) / len(listed))
