"""Part `curve`: faithfulness against size by the circuit's scores, CPR and CMD."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from acdc.errors import RunError
from acdc.evaluation.areas import mib_sizes
from acdc.evaluation.cost import Cost
from acdc.evaluation.curves import Area, Curve, areas, curve, curve_sizes, mib_cpr, n_circuits
from acdc.evaluation.figures import draw_curve
from acdc.evaluation.meaning import no_meaning
from acdc.evaluation.numbers import places
from acdc.evaluation.part import Line, Part
from acdc.evaluation.values import normalised
from acdc.evaluation.work import Work

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["PART", "Curves"]


@dataclass(frozen=True)
class Ties:
    """What a curve's ties leave open.

    Attributes:
        n_sizes: Sizes that cut a group of equal scores.
        largest: Edges of the largest such group.
        orders: Over how many orders among equals the numbers are means.
    """

    n_sizes: int
    largest: int
    orders: int


@dataclass(frozen=True)
class Mark:
    """The circuit itself, as a point of the curve: its edges, faithfulness, and mean of the metric."""

    n_edges: int
    faithfulness: float | None
    no_meaning: str | None
    value: float | None


@dataclass(frozen=True)
class Curves(Part):
    """The curves of both rankings, their areas, and what the opposite ranking does.

    Attributes:
        signed, absolute: The curves of the edges ranked by score, and by the score's size.
        areas: CPR and CMD by mode (mib, corrected) and metric: see `acdc.evaluation.areas`.
        ties: By ranking.
        reversed_cpr: MIB's CPR of the reversed signed ranking, by metric.
        metric: The run's.
        circuit: The circuit itself.
        warning: Said where the reversed ranking does better: some tools' scores have the other sign.
        thorough: Whether there are sizes besides MIB's, complements and the reversed ranking.
    """

    name = "curve"
    summary = "faithfulness against size, CPR and CMD"
    order = 80
    unit = "sizes"
    kinds = ("csv", "svg", "png")

    signed: Curve
    absolute: Curve
    areas: Mapping[str, Mapping[str, Mapping[str, Area]]]
    ties: Mapping[str, Ties]
    reversed_cpr: Mapping[str, float]
    metric: str
    circuit: Mark
    n_prompts: int
    forward_passes: int
    warning: str | None = None
    thorough: bool = True

    def __post_init__(self) -> None:
        for each in (self.signed, self.absolute):
            _check_points(each, self.metric)
        for by_metric in self.areas.values():
            for found in by_metric.values():
                _check_areas(found)
        if not self.ties:
            raise ValueError("nothing is said of ties")

    @classmethod
    def measure(cls, work: Work) -> "Curves":
        scores, thorough = _scores(work), work.settings.thorough
        sizes, few = _sizes(work)
        total = 2 * len(sizes) + len(few)

        def measured(before: int, scores: Tensor, sizes: Sequence[int], ranking: str, complement: bool) -> Curve:
            return curve(
                work.problem,
                scores,
                ranking=ranking,
                sizes=sizes,
                complement=complement,
                seed=work.settings.seed,
                recorder=work.recorder,
                progress=work.along(before, total),
            )

        signed = measured(0, scores, sizes, "signed", thorough)
        found = [signed, measured(len(sizes), scores, sizes, "absolute", False)]
        if few:
            found.append(measured(2 * len(sizes), -scores, few, "signed", False))
        absolute, own, other = found[1], mib_cpr(signed), mib_cpr(found[2]) if few else {}
        return cls(
            signed=signed,
            absolute=absolute,
            areas=areas(signed, absolute),
            ties={each.ranking: _ties(each) for each in (signed, absolute)},
            reversed_cpr=other,
            metric=signed.metric,
            circuit=_mark(work),
            n_prompts=signed.n_prompts,
            forward_passes=sum(each.forward_passes for each in found),
            warning=_warning(signed.metric, own, other),
            thorough=thorough,
        )

    def values(self) -> dict[str, Any]:
        return {key: value for key, value in super().values().items() if key != "warning" or value is not None}

    @classmethod
    def cost(cls, work: Work) -> Cost:
        scores, (sizes, few) = _scores(work), _sizes(work)

        def n_runs(sizes: Sequence[int]) -> int:
            signed, absolute = (n_circuits(work.circuit.graph, scores, sizes, signed=way) for way in (True, False))
            return signed + absolute

        reversed = n_circuits(work.circuit.graph, -scores, few, signed=True)
        complements = len(sizes) if work.settings.thorough else 0
        small = n_runs([size for size in sizes if size <= work.circuit.n_edges])
        large = n_runs([size for size in sizes if work.circuit.n_edges < size < work.circuit.graph.n_edges])
        n, others = work.problem.batch.n, complements + reversed
        return Cost(small + large + others, sparse=small * n, dense=(large + others) * n)

    def lines(self) -> Iterator[Line]:
        if self.warning:
            yield "warning", self.warning
        if not self.thorough:
            yield "curve", "at MIB's sizes alone; --thorough adds others, complements and the reversed ranking"
        for mode, by_metric in self.areas.items():
            texts = (
                f"{name} {_shown(found, 'cpr')} / {_shown(found, 'cmd')}"
                + (" (no meaning)" if name in self.signed.no_meaning else "")
                for name, found in by_metric.items()
            )
            yield f"CPR / CMD, {mode}", ", ".join(texts) or "undefined"
        ties = max(self.ties.values(), key=lambda each: (each.orders, each.n_sizes))
        if ties.n_sizes:
            cut = f"{ties.n_sizes} sizes cut ties of up to {ties.largest:,} equal scores"
            orders = f"means over {ties.orders} orders drawn among equals [least, greatest]"
            yield "tied scores", f"{cut}: {orders}"

    def frame(self) -> "pd.DataFrame":
        import pandas as pd

        both = (self.signed, self.absolute)
        return pd.DataFrame([{"ranking": each.ranking, **point} for each in both for point in each.points])

    def draw(self, path: Path, *, circuit: str, prompts: str) -> None:
        untold = " (faithfulness has no meaning here)" if self.metric in self.signed.no_meaning else ""
        mark = None if self.circuit.faithfulness is None else vars(self.circuit)
        draw_curve(self.frame(), path, metric=self.metric, circuit=mark, title=f"{circuit}, {prompts}{untold}")


PART = Curves


def _scores(work: Work) -> Tensor:
    """The circuit's scores, `[src, dst]`; positive where removing an edge hurts."""
    if work.circuit.scores is None:
        raise RunError("the circuit has no scores, so its edges can't be ranked")
    return work.circuit.scores


def _sizes(work: Work) -> tuple[list[int], list[int]]:
    """The sizes that both rankings are measured at, and those for the reversed one."""
    graph, thorough = work.circuit.graph, work.settings.thorough
    return curve_sizes(graph, thorough=thorough), sorted({*mib_sizes(graph.n_edges)}) if thorough else []


def _check_points(found: Curve, metric: str) -> None:
    """Raise `ValueError` unless every point can be drawn."""
    names = (f"{metric}_faithfulness", metric, *(f"{metric}_q{q}" for q in ("05", "25", "75", "95")))
    if not found.points:
        raise ValueError("a curve has no point")
    for point in found.points:
        if type(point.get("n_edges")) is not int:
            raise ValueError("a point of the curve has no whole number 'n_edges'")
        for name, value in point.items():
            drawn = name in names or name.endswith(("_faithfulness", "_faithfulness_low", "_faithfulness_high"))
            if drawn and value is not None and type(value) not in (int, float):
                raise ValueError(f"{name!r} of a point of the curve is not a number")
        if missing := [name for name in names if name not in point]:
            raise ValueError(f"a point of the curve has no {missing[0]!r}")


def _check_areas(found: Mapping[str, Area]) -> None:
    """Raise `ValueError` unless both areas are there."""
    for name in ("cpr", "cmd"):
        if name not in found or isinstance(found[name], tuple):
            raise ValueError(f"a metric has no {name!r}")


def _ties(found: Curve) -> Ties:
    tied = [point["n_tied"] for point in found.points if point["n_tied"]]
    return Ties(len(tied), max(tied, default=0), len(found.orders))


def _mark(work: Work) -> Mark:
    own = work.outcomes.values[work.outcomes.metric]
    means = {who: float(each.mean()) for who, each in own.items()}
    return Mark(
        n_edges=work.circuit.n_edges,
        faithfulness=normalised(means["circuit"], means["model"], means["corrupted"]),
        no_meaning=no_meaning(own["model"], own["corrupted"], rounding=work.outcomes.rounding),
        value=means["circuit"],
    )


def _warning(metric: str, own: Mapping[str, float], other: Mapping[str, float]) -> str | None:
    """What is to be said where the opposite ranking does better."""
    if metric not in own or metric not in other or not other[metric] > own[metric]:
        return None
    return (
        f"the reversed ranking does better (CPR {other[metric]:.3f} against {own[metric]:.3f} by {metric}): the scores "
        "may have the opposite sign; --flip-scores (flip_scores=True) turns them"
    )


def _shown(found: Mapping[str, Area], name: str) -> str:
    """CPR or CMD, and how it varies over orders of equal scores."""
    area, spread = found[name], found.get(f"{name}_spread")
    assert not isinstance(area, tuple)
    return places(area) + (f" [{', '.join(map(places, spread))}]" if isinstance(spread, tuple) else "")
